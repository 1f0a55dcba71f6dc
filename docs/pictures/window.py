"""Makes the docs' pictures of the extension in Blender's window: docs/images/live-view.jpg and addon-*.jpg.

    .venv/bin/python docs/pictures/window.py [--kept] [--blender PROGRAM]

Plays the session and the panels of ``tests/blender/full_blender.py`` anew, with the weights that ship, and
cuts what they leave. --kept: cut what was left the last time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from models.io.images import save_image

SCREENSHOTS = ROOT / "build" / "full-blender"
IMAGES = ROOT / "docs" / "images"
GAP = 12  # pixels between pictures that stand side by side
PATH_ENDS = 254  # pixels from the top of the preferences
TABS = 30  # pixels of the sidebar's width
LETTERS = 150  # of 255: brighter than the panels, their lines and the grid behind
GREY = (48, 48, 48)


def main() -> int:
    parser = argparse.ArgumentParser(prog="window.py")
    parser.add_argument("--kept", action="store_true")
    parser.add_argument("--blender", metavar="PROGRAM")
    options = parser.parse_args()
    if not options.kept:
        command = [sys.executable, str(ROOT / "tests" / "blender" / "full_blender.py"), "session", "panels"]
        subprocess.run(command + (["--blender", options.blender] if options.blender else []), check=True)
    missing = [source for sources, _, _ in PICTURES.values() for source in sources if not (SCREENSHOTS / source).is_file()]
    if missing:
        sys.exit(f"Not in {SCREENSHOTS}: {', '.join(missing)}")
    for name, (sources, scale, arrange) in PICTURES.items():
        pictures = [Image.open(SCREENSHOTS / source).convert("RGB") for source in sources]
        write(name, arrange(*pictures), scale)
    return 0


def write(name: str, picture: Image.Image, scale: float) -> None:
    size = round(scale * picture.width), round(scale * picture.height)
    path = save_image(IMAGES / f"{name}.jpg", np.asarray(picture.resize(size, Image.Resampling.LANCZOS)), quality=80)
    print(f"{path} {size[0]} x {size[1]}, {path.stat().st_size // 1000} kB", flush=True)


def side_by_side(*pictures: Image.Image) -> Image.Image:
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    joined, left = Image.new("RGB", (width, max(picture.height for picture in pictures)), GREY), 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width + GAP
    return joined


def folded(mesh: Image.Image, sidebar: Image.Image) -> Image.Image:
    """The mesh and the sidebar, which is higher than a page, in two columns."""
    panel = np.asarray(sidebar).astype(int)[:, 12:-TABS].max(axis=2)
    written = np.nonzero(panel.max(axis=1) > LETTERS)[0]
    end = int(written[-1]) + 16
    gaps = np.nonzero(np.diff(written) > 12)[0]  # between one row of widgets and the next
    middles = (written[gaps] + written[gaps + 1]) // 2
    fold = int(middles[np.abs(middles - end // 2).argmin()])
    height, x, y = max(fold, end - fold), (mesh.width - sidebar.width) // 2, mesh.height // 2
    view = mesh.crop((x - height * 7 // 20, y - height // 2, x + height * 7 // 20, y - height // 2 + height))
    columns = (sidebar.crop((0, top, sidebar.width - TABS, bottom)) for top, bottom in ((0, fold), (fold, end)))
    return side_by_side(view, *columns)


def below_the_path(preferences: Image.Image) -> Image.Image:
    """Without the lines that tell where the extension is on this computer."""
    return preferences.crop((0, PATH_ENDS, *preferences.size))


PICTURES = {
    "live-view": (("live.png",), 0.75, side_by_side),
    "addon-render": (("render.png",), 0.75, side_by_side),
    "addon-overlay": (("overlay_corner.png", "overlay_head.png"), 0.8, side_by_side),
    "addon-panels": (("mesh.png", "sidebar.png"), 0.9, folded),
    "addon-preferences": (("preferences.png",), 1.0, below_the_path),
}


if __name__ == "__main__":
    sys.exit(main())
