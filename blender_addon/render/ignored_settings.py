"""What Blender offers for a render and the engine leaves out, where a scene has it switched on."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from ..rig import scene_light
from ..translations import tr
from .compositor_nodes import scene_tree


def left_out(scene: bpy.types.Scene) -> list[str]:
    """Names of what the scene asks for in vain, in Blender's language."""
    render, camera = scene.render, scene.camera
    collections = [one for layer in scene.view_layers for one in with_children(layer.layer_collection)]
    asked = {
        tr("Motion Blur"): render.use_motion_blur and scene.stylerig.motion_samples < 2,
        tr("Depth of Field"): camera is not None and camera.type == "CAMERA" and camera.data.dof.use_dof and not is_defocused(scene),
        tr("Freestyle"): render.use_freestyle,
        tr("Holdout"): any(one.holdout or one.indirect_only for one in collections) or any(one.is_holdout for one in scene.objects),
        tr("Material Override"): any(layer.material_override for layer in scene.view_layers),
        tr("World Picture"): not render.film_transparent and has_picture(scene.world),
    }
    return [name for name, wanted in asked.items() if wanted]


def is_defocused(scene: bpy.types.Scene) -> bool:
    """Whether the scene's compositor blurs what is out of focus."""
    tree = scene_tree(scene) if scene.render.use_compositing else None
    return tree is not None and any(node.bl_idname == "CompositorNodeDefocus" for node in tree.nodes)


def has_picture(world: bpy.types.World | None) -> bool:
    """Whether a world shows more than a color behind everything."""
    source = scene_light.background(world)
    return source is not None and bool(source[2])


def with_children(collection: bpy.types.LayerCollection) -> Iterator[bpy.types.LayerCollection]:
    yield collection
    for child in collection.children:
        yield from with_children(child)
