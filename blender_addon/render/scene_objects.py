"""The scene's objects before and behind the portrait: a second scene renders them, and depths are compared.

A scene has one engine. So objects are rendered by another scene, as Blender's users do it, with EEVEE or
Cycles; its Render Layers node stands in the compositor of the first, which then renders both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import bpy

from ..errors import UserError
from ..rig.read_rig import head_of, is_rig
from .compositor_nodes import PLATE, arrange, math_node, mix_node, named_node, over_node, set_option, show_scene
from .ignored_settings import with_children

OBJECTS = f"{PLATE} Objects"  # the Render Layers node of the other scene
DEPTH_LAYER = "StyleRig Depth"


@dataclass(frozen=True)
class Compared:
    """Sockets: the picture with the scene's objects, the head's matte as far as they leave it to be seen, and their alpha."""

    picture: bpy.types.NodeSocket
    matte: bpy.types.NodeSocket
    objects: bpy.types.NodeSocket


def objects_layer(scene: bpy.types.Scene, name: str, layer: str) -> bpy.types.ViewLayer:
    """The view layer of another scene that renders the objects, with Z; by default of one that is made for it.

    ``name``: of the other scene; ``layer``: of its view layer, by default the first. Raises UserError.
    """
    other = bpy.data.scenes.get(name) if name else copy_of(scene)
    if other is None or other == scene or other.render.engine == "STYLERIG":
        raise UserError(
            "bad_objects_scene",
            "“{name}” is no other scene whose engine renders objects.",
            "Choose a scene with EEVEE or Cycles, or none: then one is made.",
            name=name,
        )
    view_layer = other.view_layers.get(layer) if layer else other.view_layers[0]
    if view_layer is None:
        raise UserError("bad_objects_layer", "The scene has no view layer “{name}”.", "Choose another one.", name=layer)
    view_layer.use_pass_z = True
    other.render.film_transparent = True
    if other.camera is None:
        other.camera = scene.camera
    hide_heads(other)
    return view_layer


def check_depth(tree: bpy.types.NodeTree, view_layer: bpy.types.ViewLayer) -> None:
    """Raise UserError unless the engine of the view layer's scene makes the pass Z."""
    node = layer_node(tree, view_layer, "Asked")
    socket = node.outputs.get("Depth")
    tells = socket is not None and socket.enabled
    tree.nodes.remove(node)
    if not tells:
        raise UserError(
            "no_depth",
            "The engine of the scene “{name}” tells no depth: nobody knows what is before the portrait.",
            "Let that scene have EEVEE or Cycles.",
            name=view_layer.id_data.name,
        )


def copy_of(scene: bpy.types.Scene) -> bpy.types.Scene:
    """A scene with the same objects, collections, camera, world and times, for EEVEE, without a compositor: made once."""
    name = f"{scene.name} Objects"
    if name in bpy.data.scenes:
        return bpy.data.scenes[name]
    other = scene.copy()
    other.name = name
    other.stylerig.live = False
    if hasattr(other, "compositing_node_group"):
        other.compositing_node_group = None
    else:
        other.use_nodes = False
    other.render.engine = "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"
    return other


def hide_heads(scene: bpy.types.Scene) -> None:
    """Let the meshes of portraits cast shadows but not be seen: the portrait is seen in their place."""
    shown = [
        item.instance_collection.all_objects for item in scene.objects if item.instance_type == "COLLECTION" and item.instance_collection
    ]
    for item in (one for objects in (scene.objects, *shown) for one in objects):
        head = head_of(item) if is_rig(item) else None
        if head is not None and head.is_editable:
            head.visible_camera = False


def depth_layer(view_layer: bpy.types.ViewLayer) -> bpy.types.ViewLayer:
    """The layer whose Z and alpha know what is held out too: another one where the layer holds out collections.

    Held-out objects have no depth. The other layer shows the same collections and holds out none.
    """
    if not any(one.holdout for one in with_children(view_layer.layer_collection)):
        return view_layer
    layers = view_layer.id_data.view_layers
    other = layers.get(DEPTH_LAYER) or layers.new(DEPTH_LAYER)
    other.use_pass_z = True
    pairs = zip(with_children(view_layer.layer_collection), with_children(other.layer_collection), strict=True)
    for shown, same in pairs:
        same.exclude, same.hide_viewport, same.holdout, same.indirect_only = shown.exclude, shown.hide_viewport, False, shown.indirect_only
    return other


def layer_node(tree: bpy.types.NodeTree, view_layer: bpy.types.ViewLayer, name: str) -> bpy.types.Node:
    """A Render Layers node of another scene's view layer."""
    node = named_node(tree, "CompositorNodeRLayers", name)
    show_scene(node, view_layer.id_data)
    node.layer = view_layer.name
    return node


def covered(
    tree: bpy.types.NodeTree,
    portraits: tuple[bpy.types.NodeSocket, ...],
    plate: bpy.types.NodeSocket,
    view_layer: bpy.types.ViewLayer,
    through_lens: Callable[[bpy.types.NodeSocket], bpy.types.NodeSocket],
) -> Compared:
    """Nodes that put portraits and objects over an opaque plate: each before what is farther from the camera.

    ``portraits``: their picture, HeadMatte and HeadDepth. Where an object is nearer it lies over the portrait, else
    under it, both mixed along the smoothed border of where it is. ``through_lens``: makes of a rendered picture how
    the plate's lens sees it.
    """
    portrait, head_matte, depth = portraits
    objects = layer_node(tree, view_layer, "Objects")
    with_depth = depth_layer(view_layer)
    deep = objects if with_depth == view_layer else layer_node(tree, with_depth, "Objects Depth")
    nearer = math_node(tree, "Nearer", "LESS_THAN", deep.outputs["Depth"], depth)
    smooth = named_node(tree, "CompositorNodeAntiAliasing", "Smooth")
    tree.links.new(nearer.outputs["Value"], smooth.inputs["Image"])
    seen = through_lens(portrait if deep == objects else cut_out(tree, portrait, deep, objects))
    rendered, portrait = through_lens(objects.outputs["Image"]), seen if deep == objects else through_lens(portrait)
    behind = over_node(tree, "Objects Behind", plate, rendered)
    back = over_node(tree, "Portrait Before", behind.outputs["Image"], portrait)
    under = over_node(tree, "Portrait Behind", plate, seen)
    front = over_node(tree, "Objects Before", under.outputs["Image"], rendered)
    picture = mix_node(tree, "Compared", "MIX", through_lens(smooth.outputs["Image"]), back.outputs["Image"], front.outputs["Image"])
    hidden = math_node(tree, "Hidden", "MULTIPLY", smooth.outputs["Image"], deep.outputs["Alpha"])
    left = math_node(tree, "Not Hidden", "SUBTRACT", 1.0, hidden.outputs["Value"])
    matte = math_node(tree, "Seen Matte", "MULTIPLY", head_matte, left.outputs["Value"])
    arrange(
        (objects, 0, 520), (deep, 0, 520 if deep == objects else 860), (nearer, 300, 700), (smooth, 480, 700),
        (behind, 320, 420), (back, 520, 420), (under, 320, 200), (front, 520, 200), (picture.node, 740, 420),
        (hidden, 740, 700), (left, 920, 700), (matte, 1100, 700),
    )  # fmt: skip
    return Compared(picture, through_lens(matte.outputs["Value"]), through_lens(objects.outputs["Alpha"]))


def cut_out(
    tree: bpy.types.NodeTree, portrait: bpy.types.NodeSocket, deep: bpy.types.Node, objects: bpy.types.Node
) -> bpy.types.NodeSocket:
    """The portrait without what is held out: what covers a pixel in the layer with depth, and does not in the other."""
    held_out = math_node(tree, "Held Out", "SUBTRACT", deep.outputs["Alpha"], objects.outputs["Alpha"])
    held_out.use_clamp = True
    left = math_node(tree, "Not Held Out", "SUBTRACT", 1.0, held_out.outputs["Value"])
    cut = named_node(tree, "CompositorNodeSetAlpha", "Cut Out")
    set_option(cut, "mode", "Type", "APPLY", "Apply Mask")
    tree.links.new(portrait, cut.inputs["Image"])
    tree.links.new(left.outputs["Value"], cut.inputs["Alpha"])
    arrange((held_out, 300, 980), (left, 480, 980), (cut, 660, 980))
    return cut.outputs["Image"]
