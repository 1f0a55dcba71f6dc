"""A sequence of frames as an MP4 and as a contact sheet.

python -m backend.files.video FRAMES_FOLDER OUTPUT_FOLDER [--rate 24]
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from backend.cli.terminal import outputs
from models.errors import StyleRigError
from models.io.images import image_grid, save_image
from models.io.movie import write_movie

BACKGROUND = (24, 24, 24)
GAP = 4  # pixels between the pictures of a sheet
NUMBERED = re.compile(r"(.*?)(-?)([0-9]*)([^0-9]*)$", re.DOTALL)  # name, hyphen, the last number, what follows it


def frames_in(folder: Path) -> list[Path]:
    """The folder's PNG frames, by their numbers. Raises StyleRigError when there is none."""
    frames = in_order(list(folder.glob("*.png")))
    if not frames:
        raise StyleRigError(f"There are no PNG frames in {folder}.", "Render first.", code="no_frames")
    return frames


def in_order(frames: list[Path]) -> list[Path]:
    """Sequences by name, numbers in the names as numbers; in each the frames by theirs, the last number of the name.

    A hyphen before it is a minus where nothing but a sign can stand ("f_-0002"), or where other frames have the same
    name without it ("f-0002", "f0000").
    """
    parts = {path: NUMBERED.findall(path.stem)[0] for path in frames}
    unsigned = {name for name, hyphen, _, _ in parts.values() if not hyphen}

    def place(path: Path) -> tuple:
        name, hyphen, number, rest = parts[path]
        minus = hyphen and (name in unsigned or not name[-1:].isalnum())
        sequence = name if minus else name + hyphen
        return natural(sequence), rest, -int(number) if minus else int(number or 0), path.name

    return sorted(frames, key=place)


def natural(name: str) -> list[tuple[str, int]]:
    """What sorts "shot_2" before "shot_10"."""
    return [(text, int(number or 0)) for text, number in re.findall(r"([^0-9]*)([0-9]*)", name)]


def read_frame(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """A frame as RGB. ``size`` is the (width, height) that it must have. Raises StyleRigError."""
    try:
        picture = Image.open(path).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise StyleRigError(f"{path} is not a whole picture.", "Delete it and render again.", code="bad_frame") from error
    if size and picture.size != size:
        raise StyleRigError(
            f"{path} is {picture.size}, the frames before it {size}.",
            "Render all frames at one size.",
            code="bad_frame",
        )
    return picture


def contact_sheet(frames: list[Path], path: Path, most: int = 12, columns: int = 4) -> Path:
    """Write a sheet of at most ``most`` frames, evenly spread, first and last among them."""
    count = min(most, len(frames))
    chosen = [frames[round(i * (len(frames) - 1) / max(count - 1, 1))] for i in range(count)]
    columns = min(columns, count)
    size = read_frame(chosen[0]).size
    images = [np.asarray(read_frame(frame, size)) for frame in chosen]
    return save_image(path, image_grid(images, columns, GAP, BACKGROUND, [frame.stem for frame in chosen]))


def movie(frames: list[Path], path: Path, rate: float = 24.0) -> Path:
    """Write the frames as an MP4 at ``rate`` frames per second. Raises StyleRigError."""
    size = read_frame(frames[0]).size
    return write_movie(path, (np.asarray(read_frame(frame, size)) for frame in frames), size, rate)


def film_and_sheet(frames: list[Path], folder: Path, rate: float) -> list[Path]:
    """Write contact-sheet.png and film.mp4 into ``folder``. Raises StyleRigError."""
    return [contact_sheet(frames, folder / "contact-sheet.png"), movie(frames, folder / "film.mp4", rate)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m backend.files.video", description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rate", type=float, default=24.0, help="frames per second")
    arguments = parser.parse_args()
    try:
        frames = frames_in(arguments.frames)
        print(f"@step Contact sheet and film of {len(frames)} frames", flush=True)
        film_and_sheet(frames, arguments.output, arguments.rate)
    except StyleRigError as error:
        print(f"@error {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    with outputs():
        status = main()
    sys.exit(status)
