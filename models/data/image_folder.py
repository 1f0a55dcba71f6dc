"""Reading training pictures: a set rendered by models.synthetic with its truth, or a plain folder of pictures.

The set's format: ``index.json``, ``00000/000000.png`` (RGBA, sRGB colour premultiplied by alpha, folder =
number // 1000) and beside each its ``.npz``. The PNG is written last, so a picture exists when its PNG does.
Format 2 holds FFHQ crops (latent, parameters, landmarks), format 3 whole heads of which the FFHQ crop is cut
here (latent, aligned parameters, landmarks and the crop); there some pictures are larger than ``size``.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image, ImageOps

from models.errors import StyleRigError

FORMATS = (2, 3)
WHOLE_HEADS = 3  # the format whose pictures show more than the FFHQ crop
SUFFIXES = (".png", ".jpg", ".jpeg")
PLAIN_MODES = ("RGB", "RGBA", "L", "LA", "P")
Numbers = TypeVar("Numbers", int, np.ndarray)  # one, or those of an array
LISTED = 5  # how many bad files an error names
SLACK = 2  # steps of 255 by which rounding may lift colour above alpha
DAMAGE = (OSError, ValueError, KeyError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error,
          Image.DecompressionBombError)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One picture by its number, and where its truth lies (None in a plain folder)."""

    number: int
    picture: Path
    truth: Path | None


@dataclass(frozen=True)
class ImageFolder:
    """A folder and its index; ``index`` is None for a plain folder."""

    folder: Path
    index: dict[str, Any] | None

    @property
    def size(self) -> int:
        """Side of the pictures in pixels; 0 for a plain folder, where the first picture says it."""
        return self.index["size"] if self.index else 0

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The truth's fields that the set can give, with their shapes."""
        if self.index is None:
            return {}
        parameters = max((place[1] for place in self.index["parameters"].values()), default=0)
        shapes = {"latent": (self.index["latents"],), "parameters": (parameters,), "landmarks": (68, 2)}
        return shapes | ({"camera": (2,), "body": (3,)} if self.shows_whole_heads else {})

    def people(self, numbers: Numbers) -> Numbers:
        """Whose the pictures of ``numbers`` are; in older sets and plain folders each shows somebody else."""
        return numbers // (self.index or {}).get("shots", 1)

    @property
    def larger_sizes(self) -> list[int]:
        """Sides that some pictures have beside ``size``."""
        large = (self.index or {}).get("large_size")
        return [large] if isinstance(large, int) else []

    @property
    def shows_whole_heads(self) -> bool:
        """Whether the FFHQ crop has to be cut from the pictures."""
        return self.index is not None and self.index["format"] == WHOLE_HEADS

    def entries(self) -> list[Entry]:
        """All pictures that exist now, by number. Raises StyleRigError for an unreadable folder."""
        try:
            if self.index is None:
                paths = sorted(p for p in self.folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
                return [Entry(number, path, None) for number, path in enumerate(paths)]
            found = []
            for part in sorted(item.path for item in os.scandir(self.folder) if item.name.isdigit() and item.is_dir()):
                found += [Path(part, name) for name in os.listdir(part) if name.endswith(".png") and name[:-4].isdigit()]
        except OSError as error:
            raise unreadable(self.folder, error) from error
        return [Entry(int(path.stem), path, path.with_suffix(".npz")) for path in sorted(found)]


def open_folder(folder: str | Path) -> ImageFolder:
    """The folder with its index, if it has one. Raises StyleRigError if either cannot be read."""
    folder = Path(folder)
    if not folder.is_dir():
        raise StyleRigError(
            f"There is no folder of pictures at {folder}.",
            "Render a set first (python -m models.synthetic --output DIR) or name a folder of .png or .jpg pictures.",
            code="no_training_data",
        )
    path = folder / "index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except OSError as error:
        raise unreadable(folder, error) from error
    except ValueError as error:
        raise bad_index(path, f"it is not JSON ({error})") from error
    if index is not None:
        check_index(path, index)
    return ImageFolder(folder, index)


def check_index(path: Path, index: Any) -> None:
    if not isinstance(index, dict) or index.get("format") not in FORMATS:
        raise bad_index(path, f"it is not of format {' or '.join(map(str, FORMATS))}")
    for name, least in (("size", 8), ("latents", 0), ("count", 0)):
        if not isinstance(index.get(name), int) or index[name] < least:
            raise bad_index(path, f"{name} is {index.get(name)!r}")
    for name in ("layout", "parameters"):
        places = index.get(name)
        if not isinstance(places, dict) or not all(is_place(place) for place in places.values()):
            raise bad_index(path, f"{name} does not map names to [first, after last]")


def is_place(place: Any) -> bool:
    return isinstance(place, list) and len(place) == 2 and all(isinstance(n, int) for n in place) and 0 <= place[0] <= place[1]


def read_picture(path: Path, plain: bool) -> np.ndarray:
    """One picture as (H, W, 4) uint8, premultiplied; raises one of ``DAMAGE`` for what cannot be used.

    Plain pictures may be RGB, grey or palette (alpha 1) or have straight alpha, as files do.
    """
    with Image.open(path) as image:
        if plain:
            if image.mode not in PLAIN_MODES:
                raise ValueError(f"its pixels are {image.mode}, expected 8-bit RGB or RGBA")
            return premultiply(np.asarray(ImageOps.exif_transpose(image).convert("RGBA")))
        if image.mode != "RGBA":
            raise ValueError(f"its pixels are {image.mode}, expected RGBA")
        pixels = np.asarray(image)
    if (pixels[..., :3].max(axis=2).astype(np.int16) > pixels[..., 3].astype(np.int16) + SLACK).mean() > 0.01:
        raise ValueError("its colour exceeds its alpha, so it is not premultiplied")
    return pixels


def premultiply(straight: np.ndarray) -> np.ndarray:
    """Colour times alpha of (H, W, 4) uint8."""
    if (straight[..., 3] == 255).all():
        return straight
    result = straight.copy()
    result[..., :3] = (straight[..., :3].astype(np.uint16) * straight[..., 3:] + 127) // 255
    return result


def shrink(pixels: np.ndarray, size: int) -> np.ndarray:
    """Box filter of premultiplied (H, W, 4) uint8 to (size, size, 4); H = W is a multiple of ``size``."""
    factor = pixels.shape[0] // size
    if factor == 1:
        return pixels
    blocks = pixels.reshape(size, factor, size, factor, 4).astype(np.uint32).sum(axis=(1, 3))
    return ((blocks + factor * factor // 2) // (factor * factor)).astype(np.uint8)


def cut(pixels: np.ndarray, crop: np.ndarray, size: int) -> np.ndarray:
    """The square (size, size, 4) of premultiplied (H, W, 4) uint8 that ``crop`` (4,) tells: centre and half axis x, NDC, y up."""
    half = len(pixels) / 2
    to_pixels = lambda x, y: (half * (1 + x) - 0.5, half * (1 - y) - 0.5)
    centre, axis = crop[:2], crop[2:]
    up = np.array([-axis[1], axis[0]])
    corners = [to_pixels(*(centre - axis + up)), to_pixels(*(centre + axis + up)), to_pixels(*(centre - axis - up))]
    target = [(-0.5, -0.5), (size - 0.5, -0.5), (-0.5, size - 0.5)]
    matrix = cv2.getAffineTransform(np.array(corners, np.float32), np.array(target, np.float32))
    return cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR)


def in_crop(points: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Points (…, 2) of the whole picture in the coordinates of its ``crop`` (4,)."""
    axis = crop[2:]
    turn = np.array([axis, [-axis[1], axis[0]]]) / (axis @ axis)
    return (points - crop[:2]) @ turn.T


def read_truth(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The fields named by ``shapes`` as float32; raises one of ``DAMAGE``."""
    if not path.is_file():
        raise ValueError(f"its truth {path.name} is missing")
    values = {}
    with np.load(path, allow_pickle=False) as archive:
        for name, shape in shapes.items():
            if name not in archive:
                raise ValueError(f"{path.name} has no {name}")
            value = archive[name]
            if value.shape != shape or value.dtype.kind != "f" or not np.isfinite(value).all():
                raise ValueError(f"{name} in {path.name} is {value.dtype} {value.shape}, expected finite floats {shape}")
            values[name] = value.astype(np.float32)
    return values


def unreadable(folder: Path, error: OSError) -> StyleRigError:
    return StyleRigError(
        f"The folder {folder} cannot be read: {error.strerror or error}.",
        "Allow reading it, or choose another folder.",
        code="bad_training_data",
    )


def bad_index(path: Path, reason: str) -> StyleRigError:
    return StyleRigError(
        f"{path} does not describe a set of pictures: {reason}.",
        "Render the set again with python -m models.synthetic; for a plain folder of pictures delete this file.",
        code="bad_training_data",
    )


def bad_files(folder: Path, problems: list[tuple[Path, str]]) -> StyleRigError:
    """One error for all files that cannot be used: the first few with the reason, and how many."""
    named = "; ".join(f"{path}: {reason}" for path, reason in problems[:LISTED])
    more = f"; and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    return StyleRigError(
        f"{len(problems)} of the pictures in {folder} cannot be used: {named}{more}.",
        "Delete these files (the .png and its .npz) and render or copy them again.",
        code="bad_training_data",
    )
