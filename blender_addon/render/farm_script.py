"""A script that the set-up buttons leave in the file, for a render farm to run first.

A Blender without the extension renders the bare mesh with another engine and says nothing. It can run this too.
"""

from __future__ import annotations

import bpy

NAME = "StyleRig Check"  # of the text in the file, as docs/user-guide.md has it
SCRIPT = '''"""Ends with an error unless this Blender can render the file's portraits, and no render has failed in it.

    blender -b SHOT.blend --python-exit-code 1 --python-expr "import bpy; exec(bpy.data.texts['StyleRig Check'].as_string())"
"""
import bpy

if not hasattr(bpy.types.Scene, "stylerig"):
    raise RuntimeError("The extension StyleRig is missing or switched off in this Blender, which would render the bare mesh.")
bpy.ops.stylerig.check_render()
'''


def leave_script() -> None:
    """Put it into the open file, or what an earlier version put there up to date."""
    text = bpy.data.texts.get(NAME) or bpy.data.texts.new(NAME)
    text.from_string(SCRIPT)
