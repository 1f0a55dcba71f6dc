"""Adding, removing and moving the looks of a rig; what animates a look goes along with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import bpy

from ..errors import UserError
from ..protocol import frames
from .animation import curves_of
from .looks import StyleRigLook, fill

PATH = re.compile(r"stylerig\.looks\[(\d+)\]\..+")  # of what animates a look


def add_look(rig: bpy.types.Object, entry: dict) -> StyleRigLook:
    """Add a look of the backend's list below the others, and choose it. Raises UserError where there is no room."""
    settings = rig.stylerig
    if len(settings.looks) >= frames.MAX_LOOKS:
        raise UserError("too_many", "A portrait can have {most} looks.", "Remove one first.", most=frames.MAX_LOOKS)
    look = settings.looks.add()
    fill(look, entry)
    settings.active_look = len(settings.looks) - 1
    rig.update_tag()
    return look


def remove_look(rig: bpy.types.Object, index: int) -> None:
    """Take a look away with what animates it; the others keep theirs."""
    for curves, curve, _ in list(animated(rig, index)):
        curves.remove(curve)
    rig.stylerig.looks.remove(index)
    renumber(rig, lambda old: old - (old > index))
    rig.stylerig.active_look = max(min(rig.stylerig.active_look, len(rig.stylerig.looks) - 1), 0)
    rig.update_tag()


def move_look(rig: bpy.types.Object, index: int, by: int) -> None:
    """Exchange a look with the one above (-1) or below (1); what animates them goes along."""
    other = index + by
    if not 0 <= other < len(rig.stylerig.looks):
        return
    rig.stylerig.looks.move(index, other)
    renumber(rig, lambda old: {index: other, other: index}.get(old, old))
    rig.stylerig.active_look = other
    rig.update_tag()


def renumber(rig: bpy.types.Object, new: Callable[[int], int]) -> None:
    """Let keys and drivers follow looks that have another place now."""
    for _, curve, number in list(animated(rig)):
        before, after = curve.data_path.split(f"[{number}]", 1)
        curve.data_path = f"{before}[{new(number)}]{after}"


def animated(rig: bpy.types.Object, index: int | None = None) -> Iterator[tuple]:
    """F-curves and drivers of looks: what they are in, they themselves, and the look's number; of one look or of all."""
    drivers = rig.animation_data.drivers if rig.animation_data else ()
    for curves in (curves_of(rig) or (), drivers):
        for curve in curves:
            found = PATH.fullmatch(curve.data_path)
            if found and index in (None, int(found[1])):
                yield curves, curve, int(found[1])
