"""Pictures that stand for photographs: the shipped generator's people, before a background."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch
from PIL import Image

from models.editing.inversion.photo import Photo, read_photo
from models.io.images import to_uint8
from models.rigging import Rig

BACKGROUND = (0.25, 0.4, 0.35)


@cache
def shipped_rig() -> Rig:
    return Rig.load(None, name="stylerig")


@cache
def person(seed: int) -> np.ndarray:
    """A portrait (256, 256, 3) uint8."""
    rig = shipped_rig()
    w = torch.from_numpy(rig.new_portrait(seed).w)[None]
    with torch.no_grad():
        colour, alpha = rig.generator.foreground(w)
    picture = colour[0] + (1 - alpha[0]) * torch.tensor(BACKGROUND)[:, None, None]
    return to_uint8(picture)


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
