"""What pictures took is given back to the system while an animation renders.

Passes are a few tens of megabytes each and are made in threads: glibc keeps such memory for later, apart for each thread,
so that Blender grew by gigabytes over a long sequence.
"""

from __future__ import annotations

import ctypes
import sys

import bpy
from bpy.app.handlers import persistent

MIN_BYTES = 256 << 20  # of pictures, before it is worth the time
_drawn = 0  # bytes since the last time


def note(count: int) -> None:
    """That pictures of so many bytes were drawn."""
    global _drawn
    _drawn += count


@persistent
def after_frame(_scene: bpy.types.Scene = None, _depsgraph: bpy.types.Depsgraph = None) -> None:
    """When a frame of an animation was written, or a render ends."""
    global _drawn
    if _drawn >= MIN_BYTES:
        _drawn = 0
        give_back()


def give_back() -> bool:
    """Have glibc return what is free; False on systems that have none, which do so by themselves."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is None:
        return False
    trim(ctypes.c_size_t(0))
    return True


def handlers() -> tuple[list, ...]:
    events = bpy.app.handlers
    return events.render_write, events.render_complete, events.render_cancel


def register() -> None:
    for functions in handlers():
        functions.append(after_frame)


def unregister() -> None:
    for functions in handlers():
        functions.remove(after_frame)
