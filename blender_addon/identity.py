"""Which datablock is meant: names change, and those of linked libraries exist twice."""

from __future__ import annotations

import bpy


def key_of(data: bpy.types.ID) -> int:
    """A number that a datablock has while the file is open, through renaming and undo; an evaluated one has its original's."""
    return data.original.session_uid


def found(collection: bpy.types.bpy_prop_collection, key: int, name: str = "") -> bpy.types.ID | None:
    """The datablock of this key; None when it is not there any more. ``name``: its last known one, where it is looked for first."""
    likely = collection.get(name)
    if likely is not None and likely.session_uid == key:
        return likely
    return next((data for data in collection if data.session_uid == key), None)
