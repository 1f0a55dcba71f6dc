"""What build.py is made of: environments, package, demo, tests, checks. Standard library only.

It shares ``blender_addon.install`` with the extension. The add-on's own ``__init__`` imports bpy, so
outside Blender its folder stands as a package without running that.
"""

import sys
from pathlib import Path
from types import ModuleType

if "blender_addon" not in sys.modules:
    package = ModuleType("blender_addon")
    package.__path__ = [str(Path(__file__).resolve().parents[2] / "blender_addon")]
    sys.modules["blender_addon"] = package
