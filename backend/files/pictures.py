"""Pictures that a person gives, PNG, JPEG and EXR: their colours as a network takes them, and the same file with others.

What the colours do not tell stays as it was: alpha, values beyond 0 to 1, passes, parts, metadata.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from backend.files.image_metadata import EXR_START, MAX_FILE_SIZE, texts_of
from backend.protocol.colour import BACKDROP, linear_to_srgb, srgb_to_linear
from models.errors import StyleRigError
from models.io.atomic_write import write_atomic
from models.io.regular_file import open_regular

SUFFIXES = (".png", ".jpg", ".jpeg", ".exr")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I;16")
HALF_MAX = 65504.0  # of an EXR's 16-bit numbers
LARGEST_SIDE = 16_384


class Picture(ABC):
    """One file's colours; row 0 is the top.

    ``shown`` (H, W, 3) float32, 0 to 1 in sRGB, is what a network sees: straight colour, and the backdrop where nothing is.
    """

    suffix: ClassVar[str]  # of the file that is written
    shown: np.ndarray

    @abstractmethod
    def write(self, path: Path, shown: np.ndarray, texts: dict[str, str]) -> Path:
        """Write the file whole with other colours, and ``texts`` beside those it had. Raises StyleRigError."""


class DisplayPicture(Picture):
    """A PNG or JPEG of 8 bits; what is written is a PNG, grey ones in colour."""

    suffix = ".png"

    def __init__(self, path: Path, image: Image.Image):
        if image.mode not in MODES:
            raise bad_picture(path, f"its pixels are {image.mode}", "Save it as RGB or RGBA.")
        self.profile, self.texts = image.info.get("icc_profile"), known_texts(path)
        if image.mode == "I;16":
            image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
        self.pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
        self.shown = np.where(self.pixels[..., 3:] > 0, np.float32(self.pixels[..., :3]) / 255, np.float32(BACKDROP))

    def write(self, path: Path, shown: np.ndarray, texts: dict[str, str]) -> Path:
        pixels = self.pixels.copy()
        pixels[..., :3] = np.where(pixels[..., 3:] > 0, np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8), pixels[..., :3])
        opaque = bool((pixels[..., 3] == 255).all())
        info = PngImagePlugin.PngInfo()
        for name, text in (self.texts | texts).items():
            info.add_itxt(name, text) if not text.isascii() or ":" in name else info.add_text(name, text)
        stream = io.BytesIO()
        Image.fromarray(pixels[..., :3] if opaque else pixels).save(stream, "PNG", pnginfo=info, icc_profile=self.profile, compress_level=3)
        return write_atomic(path, stream.getvalue())


class SceneColours:
    """Scene-linear colours (H, W, 3), premultiplied by ``alpha`` (H, W, 1), as a network sees them in ``shown``, and back.

    Where a colour is brighter than 1 a network sees it as bright as 1 and of the same hue, and its answer is brightened
    as much; what is below 0 is added again. So a network that changes nothing changes nothing here.
    """

    def __init__(self, colour: np.ndarray, alpha: np.ndarray):
        self.colour, self.alpha, self.covered = colour, alpha, alpha > 0
        straight = np.divide(colour, alpha, out=np.zeros_like(colour), where=self.covered)
        self.gain = np.maximum(straight.max(axis=2, keepdims=True), 1)
        self.below = np.minimum(straight, 0)
        self.shown = np.where(self.covered, linear_to_srgb(np.clip(straight / self.gain, 0, 1)), np.float32(BACKDROP))

    def back(self, shown: np.ndarray) -> np.ndarray:
        """The colours that ``shown`` (H, W, 3) stands for; what is not covered stays."""
        colour = (srgb_to_linear(np.clip(shown, 0, 1)) * self.gain + self.below) * self.alpha
        return np.where(self.covered, colour, self.colour)


class ScenePicture(Picture):
    """An EXR, scene-linear with premultiplied alpha, seen as ``SceneColours``."""

    suffix = ".exr"

    def __init__(self, path: Path):
        self.file = read_exr(path)
        self.channels, self.group = find_colours(path, self.file.parts)
        colour = np.stack([self.channels[self.group + letter].pixels for letter in "RGB"], axis=2).astype(np.float32)
        alpha = self.channels.get(f"{self.group}A")
        opacity = np.ones((*colour.shape[:2], 1), np.float32) if alpha is None else alpha.pixels[..., None].astype(np.float32)
        if not (np.isfinite(colour).all() and np.isfinite(opacity).all()):
            raise bad_picture(path, "it has values that are not numbers", "Render this frame again.")
        self.colours = SceneColours(colour, opacity)
        self.shown = self.colours.shown

    def write(self, path: Path, shown: np.ndarray, texts: dict[str, str]) -> Path:
        colour, covered = self.colours.back(shown), self.colours.covered[..., 0]
        for index, letter in enumerate("RGB"):
            channel = self.channels[self.group + letter]
            channel.pixels = as_type(np.where(covered, colour[..., index], channel.pixels), channel.pixels.dtype)
        for part in self.file.parts:
            for name, text in texts.items():
                part.header.pop(name[0].lower() + name[1:], None)  # as earlier versions wrote it
                part.header[name] = text
        return write_atomic(path, self.write_to)

    def write_to(self, path: Path) -> None:
        try:
            self.file.write(str(path))
        except RuntimeError as error:  # the library's words: 'Failed to write … file "PATH". No space left on device.'
            raise OSError(str(error).rpartition('". ')[2].rstrip(".")) from error


def as_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``values`` in contiguous rows of a channel's type; none becomes infinite."""
    return np.ascontiguousarray(np.clip(values, -HALF_MAX, HALF_MAX) if dtype == np.float16 else values, dtype)


def read_picture(path: Path) -> Picture:
    """Raises StyleRigError for a file that is missing, damaged, or whose colours are not RGB or grey."""
    try:
        with open_regular(path, MAX_FILE_SIZE) as file:
            is_exr = file.read(len(EXR_START)) == EXR_START
            if is_exr != (path.suffix.lower() == ScenePicture.suffix):
                raise bad_picture(path, "it is not what its name says", "Name it by what it is: .png, .jpg or .exr.")
            if is_exr:
                return ScenePicture(path)
            file.seek(0)
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                if max(image.size) > LARGEST_SIDE:
                    raise bad_picture(path, f"it has {image.width} x {image.height} pixels", f"Sides are at most {LARGEST_SIDE} pixels.")
                image.load()
                return DisplayPicture(path, image)
    except StyleRigError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise bad_picture(path, "it is no whole PNG, JPEG or EXR", "Choose another file, or make it again.") from error


def written_suffix(path: Path) -> str:
    """The ending of what ``read_picture(path)`` writes."""
    kind = ScenePicture if path.suffix.lower() == ScenePicture.suffix else DisplayPicture
    return kind.suffix


def read_exr(path: Path) -> Any:
    """An OpenEXR.File, all channels by themselves. Raises RuntimeError or StyleRigError."""
    import OpenEXR

    texts_of(path)  # cheap, and finds what is cut off
    file = OpenEXR.File(str(path), separate_channels=True)
    sides = [side for part in file.parts for side in (part.width(), part.height())]
    if max(sides) > LARGEST_SIDE:
        raise bad_picture(path, f"it has {sides[0]} x {sides[1]} pixels", f"Sides are at most {LARGEST_SIDE} pixels.")
    return file


def find_colours(path: Path, parts: Iterable[Any]) -> tuple[dict[str, Any], str]:
    """The channels of the part that shows the picture, and what the names of its colours begin with: nothing, or a layer's name."""
    found = [
        (part.channels, name.removesuffix("R"))
        for part in parts
        for name in part.channels
        if name == "R" or name.endswith("Combined.R")
        if all(is_plain(part.channels.get(name.removesuffix("R") + letter)) for letter in "RGB")
    ]
    if not found:
        names = ", ".join(name for part in parts for name in part.channels)[:120]
        raise bad_picture(path, f"it has no channels R, G and B, but {names}", "Choose a picture in colour; R, G and B may be alike.")
    return min(found, key=lambda each: bool(each[1]))


def is_plain(channel: Any) -> bool:
    """Whether a channel has a floating-point number for every pixel."""
    return channel is not None and channel.pixels.dtype.kind == "f" and (channel.xSampling, channel.ySampling) == (1, 1)


def known_texts(path: Path) -> dict[str, str]:
    """The texts of a PNG; of a JPEG none."""
    try:
        return texts_of(path)
    except ValueError:
        return {}


def check_shows_something(path: Path | str, shown: np.ndarray) -> None:
    """Raise StyleRigError for a reference of one colour."""
    if np.ptp(shown) < 1e-3:
        raise bad_picture(path, "it is of one colour, and shows nobody", "Choose a portrait.")


def bad_picture(path: Path | str, reason: str, hint: str) -> StyleRigError:
    return StyleRigError(f"{path} cannot be used: {reason}.", hint, code="bad_picture")
