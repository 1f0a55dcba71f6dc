"""Reading a photograph: whatever a camera or a phone writes, upright and in sRGB."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from models.editing.inversion.errors import bad_photo
from models.errors import StyleRigError
from models.io.regular_file import UnreadableFile, read_regular

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "MPO")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".mpo")
LARGEST_FILE = 64 << 20
MOST_PIXELS = 200_000_000
LARGEST, SMALLEST = 2048, 64  # longest side that is kept, shortest that is taken
CHOOSE = "Choose another picture, or save it as JPEG or PNG."


@dataclass(frozen=True, eq=False)
class Photo:
    """``pixels`` (3, H, W) sRGB 0 to 1, row 0 at the top; ``matte`` (1, H, W) where the file has one that leaves something out."""

    name: str
    pixels: Tensor
    matte: Tensor | None
    digest: str  # SHA-256 of the file


def load_photo(path: str | Path) -> Photo:
    """Raises StyleRigError for a file that is missing or shows nothing that can be read."""
    name = Path(path).name
    try:
        data = read_regular(path, LARGEST_FILE)
    except UnreadableFile as error:
        raise bad_photo(str(path), error.reason, CHOOSE) from error
    return read_photo(data, name)


def read_photo(data: bytes, name: str) -> Photo:
    """The same of a file's bytes; errors call it ``name``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's, for pictures that are large, which is looked at below
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                check_size(name, image)
                shrink_while_reading(image)
                pixels = upright(image)
    except StyleRigError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise bad_photo(name, "it is no whole picture", CHOOSE) from error
    values = torch.from_numpy(np.asarray(pixels, dtype=np.float32) / 255).movedim(-1, 0)
    matte = values[3:] if float(values[3].min()) < 1 else None
    if matte is not None and float(matte.max()) < 0.5:
        raise bad_photo(name, "it is transparent all over", CHOOSE)
    return Photo(name, values[:3].contiguous(), matte, hashlib.sha256(data).hexdigest())


def check_size(name: str, image: Image.Image) -> None:
    """Raise StyleRigError for a picture that is too small to show anybody, or too large to be read."""
    if min(image.size) < SMALLEST:
        raise bad_photo(name, f"it has only {image.width} x {image.height} pixels", f"Choose one of at least {SMALLEST} a side.")
    if image.width * image.height > MOST_PIXELS:
        raise bad_photo(name, f"it has {image.width} x {image.height} pixels", f"Make it smaller: {LARGEST} a side are enough.")


def shrink_while_reading(image: Image.Image) -> None:
    """A JPEG is read at a half, a quarter or an eighth where that is enough."""
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (LARGEST, LARGEST))


def upright(image: Image.Image) -> Image.Image:
    """RGBA of at most ``LARGEST`` a side, turned as the camera says, in sRGB."""
    image = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colour = in_srgb(whole_bytes(image), profile)
    colour.putalpha(alpha or 255)
    return colour


def whole_bytes(image: Image.Image) -> Image.Image:
    """Grey of 16 and 32 bits, and of numbers from 0 to 1, as 8 bits; others as they are."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=np.float64)
    most = values.max()
    gain = 255 if image.mode.startswith("F") and most <= 1 else 1 / 257 if most > 255 else 1
    return Image.fromarray(np.uint8(np.clip(values * gain, 0, 255)))


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB; by the picture's own colour profile where it has one that can be read."""
    plain = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")
    if profile:
        try:
            source: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            found = ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if found is not None:
                return found
        except (ImageCms.PyCMSError, OSError, ValueError):  # of another kind of colours, or damaged
            pass
    return plain.convert("RGB")
