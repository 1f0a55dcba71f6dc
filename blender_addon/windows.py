"""What Blender's windows show: having them drawn again."""

from __future__ import annotations

import bpy


def redraw(kind: str, part: str | None = None) -> None:
    """Have all areas of a kind drawn again, or only their regions of the type ``part``."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type != kind:
                continue
            if part is None:
                area.tag_redraw()
            for region in area.regions:
                if region.type == part:
                    region.tag_redraw()
