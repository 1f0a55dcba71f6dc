"""A lens' distortion: what is rendered is distorted as the plate is, by a movie clip's tracking camera."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import bpy

from ..errors import UserError
from .compositor_nodes import PLATE, arrange, named_node, set_option
from .overscan import frame_size

WIDER = "Overscan"  # ends the name of a clip's copy for pictures with overscan
POWERS = {"nuke_k1": 2, "nuke_k2": 4, "nuke_p1": 1, "nuke_p2": 1}  # of radius: Nuke's model measures it in pictures, not focal lengths


def lens_of(name: str, tree: bpy.types.NodeTree, scene: bpy.types.Scene) -> Callable[[bpy.types.NodeSocket], bpy.types.NodeSocket]:
    """What the lens of the movie clip of this name does to a rendered picture; without a name nothing. Raises UserError."""
    if not name:
        return lambda picture: picture
    clip = bpy.data.movieclips.get(name)
    if clip is None:
        raise UserError("no_clip", "There is no movie clip “{name}”.", "Open the plate in the Movie Clip Editor.", name=name)
    return partial(distorted, tree, wider(clip, scene) if any(scene.stylerig.overscan) else clip)


def distorted(tree: bpy.types.NodeTree, clip: bpy.types.MovieClip, picture: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """A Movie Distortion node: a rendered picture as the clip's lens sees it."""
    node = named_node(tree, "CompositorNodeMovieDistortion", f"Lens {picture.node.name.removeprefix(PLATE).strip()} {picture.name}")
    node.clip = clip
    set_option(node, "distortion_type", "Type", "DISTORT", "Distort")
    tree.links.new(picture, node.inputs["Image"])
    arrange((node, picture.node.location.x + 60, picture.node.location.y - 160))
    return node.outputs["Image"] if bpy.app.version >= (5, 0, 0) else moved_back(tree, node)


def moved_back(tree: bpy.types.NodeTree, lens: bpy.types.Node) -> bpy.types.NodeSocket:
    """What the Movie Distortion node of Blender 4.5 makes lies a pixel too far to the left and down, whatever the lens."""
    node = tree.nodes.new("CompositorNodeTranslate")
    node.name = node.label = f"{lens.name} Back"
    node.inputs["X"].default_value = node.inputs["Y"].default_value = 1.0
    tree.links.new(lens.outputs["Image"], node.inputs["Image"])
    arrange((node, lens.location.x + 60, lens.location.y - 60))
    return node.outputs["Image"]


def wider(clip: bpy.types.MovieClip, scene: bpy.types.Scene) -> bpy.types.MovieClip:
    """A copy for pictures with overscan: Blender takes every picture for the clip's whole one, so its lens sees as much more."""
    known = bpy.data.movieclips.get(f"{clip.name} {WIDER}")
    if known is not None:
        bpy.data.movieclips.remove(known)
    copy = clip.copy()
    copy.name = f"{clip.name} {WIDER}"
    share = frame_size(scene)[0] / scene.render.resolution_x
    camera, lens = clip.tracking.camera, copy.tracking.camera
    lens.focal_length_pixels = share * camera.focal_length_pixels
    lens.principal_point = [share * place for place in camera.principal_point]
    for name, power in ((name, power) for name, power in POWERS.items() if hasattr(lens, name)):
        setattr(lens, name, getattr(camera, name) / share**power)
    return copy
