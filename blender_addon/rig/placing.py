"""Where a new portrait goes so that a person sees it: at the 3D cursor, beside what stands there, framed in the views."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import mathutils
import numpy as np

from .read_rig import head_of

GAP = 0.1  # metres between a new head and what is beside it
SURROUNDINGS = 5.0  # metres; what is larger is a floor or a room, and a portrait may stand in it
SOLID = {"MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES", "POINTCLOUD", "VOLUME"}
FRONT = mathutils.Euler((np.pi / 2, 0, 0)).to_quaternion()  # a view along +Y
VIEW_DISTANCE = 0.9  # metres from which a 3D view shows a head
Box = tuple[np.ndarray, np.ndarray]  # lowest and highest corner (3,) in the world


def place_at_cursor(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """Move the rig to the 3D cursor, or to the right of it as far as other things need room."""
    rig.location = context.scene.cursor.location
    context.view_layer.update()
    own = [rig, *rig.children_recursive]
    others = [box for item in context.visible_objects if item not in own and (box := box_of(item)) is not None]
    head = head_of(rig)
    box = box_of(head) if head is not None else None
    if box is not None:
        rig.location.x += free_step(box, others)
        context.view_layer.update()


def box_of(item: bpy.types.Object) -> Box | None:
    """What an object takes up in the world; None for what has no body, or is the surroundings of others."""
    if item.type not in SOLID:
        return None
    corners = np.array([item.matrix_world @ mathutils.Vector(corner) for corner in item.bound_box])
    low, high = corners.min(axis=0), corners.max(axis=0)
    return (low, high) if 0 < (high - low).max() <= SURROUNDINGS else None


def free_step(box: Box, others: list[Box]) -> float:
    """How far to the right a box has to go until it touches none of ``others``, metres."""
    low, high = box[0] - GAP, box[1] + GAP
    step = 0.0
    for left, right in sorted((other for other in others if overlap(1, low, high, other)), key=lambda other: other[0][0]):
        if left[0] < high[0] + step and right[0] > low[0] + step:
            step = float(right[0] - low[0])
    return step


def overlap(first_axis: int, low: np.ndarray, high: np.ndarray, other: Box) -> bool:
    """Whether two boxes share room along the axes from ``first_axis`` on."""
    return bool(((other[0] < high) & (other[1] > low))[first_axis:].all())


def frame_in_views(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """Show the rig's head from the front in the 3D views of this window."""
    for view in views_of(context):
        if view.view_perspective == "CAMERA":
            view.view_perspective = "PERSP"
        view.view_location, view.view_rotation, view.view_distance = rig.matrix_world.translation, FRONT, VIEW_DISTANCE


def views_of(context: bpy.types.Context) -> Iterator[bpy.types.RegionView3D]:
    """The 3D views of the window."""
    for area in context.screen.areas if context.screen else ():
        if area.type == "VIEW_3D":
            yield area.spaces.active.region_3d
