"""Pictures that stand for photographs: the shipped generator's people, before a background."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch
from PIL import Image

from models.editing.inversion.photo import Photo, read_photo
from models.rigging import Controls, Rig

BACKGROUND = (0.25, 0.4, 0.35)


@cache
def shipped_rig() -> Rig:
    return Rig.load(None, name="stylerig")


@cache
def person(seed: int, size: int = 256) -> np.ndarray:
    """A portrait (size, size, 3) uint8."""
    frame = shipped_rig().frame(shipped_rig().new_portrait(seed), Controls(), size, ("HeadMatte", "Portrait"))
    matte = frame["HeadMatte"]
    colour = frame["Portrait"] - (1 - matte) * 0.5 + (1 - matte) * np.float32(BACKGROUND)
    return np.uint8(np.clip(255 * colour, 0, 255).round())


def scene(seeds: tuple[int, ...], height: int = 400, width: int = 640) -> Image.Image:
    """People beside each other in a larger picture."""
    picture = Image.new("RGB", (width, height), tuple(round(255 * value) for value in BACKGROUND))
    step = width // len(seeds)
    for index, seed in enumerate(seeds):
        picture.paste(Image.fromarray(person(seed)), (index * step + (step - 256) // 2, (height - 256) // 2))
    return picture


def saved(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def photo(*seeds: int) -> Photo:
    """The scene of these people, read as a file is."""
    return read_photo(saved(scene(seeds)), "photo.png")


def noise(seed: int = 0) -> Photo:
    """A picture of nothing."""
    values = torch.rand(3, 200, 300, generator=torch.Generator().manual_seed(seed))
    return read_photo(saved(Image.fromarray((values.movedim(0, -1).numpy() * 255).astype(np.uint8))), "noise.png")
