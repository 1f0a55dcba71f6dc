"""Pictures that people look at: bytes of pixels, grids, PNG and JPEG files.

An image is a tensor (C, H, W) of display values 0–1 or an array (H, W, C) uint8; C is 3, or 4 with straight alpha.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.io.atomic_write import write_atomic

if TYPE_CHECKING:  # whoever has a tensor has imported torch; films and doctors do without
    from torch import Tensor

JPEG_QUALITY = 88
LABEL_HEIGHT = 16  # pixels below each labelled image
LABEL_COLOUR = (225, 225, 225)
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def to_uint8(image: Tensor | np.ndarray) -> np.ndarray:
    """An image as an array (H, W, C) uint8, rounded to the nearest; values beyond 0–1 are clipped.

    Raises ValueError for what is no image.
    """
    if not isinstance(image, np.ndarray):
        image = (image.detach().float().clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy()
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (3, 4):
        raise ValueError(f"an image is (3 or 4, H, W) 0–1 or (H, W, 3 or 4) uint8, not {image.shape} {image.dtype}")
    return np.ascontiguousarray(image)


def image_grid(
    images: Sequence[Tensor | np.ndarray] | Tensor,
    columns: int,
    gap: int = 0,
    background: tuple[int, int, int] = (0, 0, 0),
    labels: Sequence[str] = (),
) -> np.ndarray:
    """RGB images of one size, ``columns`` beside each other: (H', W', 3) uint8.

    ``gap`` pixels of ``background`` lie around and between them; each label stands below its image.
    """
    tiles = [to_uint8(image) for image in images]
    height, width = tiles[0].shape[:2]
    step_x, step_y = width + gap, height + gap + (LABEL_HEIGHT if labels else 0)
    rows = -(-len(tiles) // columns)
    canvas = Image.new("RGB", (columns * step_x + gap, rows * step_y + gap), background)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    for number, tile in enumerate(tiles):
        if tile.shape != (height, width, 3):
            raise ValueError(f"an image of {tile.shape} in a grid of ({height}, {width}, 3)")
        x, y = gap + number % columns * step_x, gap + number // columns * step_y
        canvas.paste(Image.fromarray(tile), (x, y))
        if labels:
            draw.text((x + width / 2, y + height + 2), labels[number], fill=LABEL_COLOUR, font=font, anchor="ma")
    return np.asarray(canvas)


def encode_image(image: Tensor | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a "PNG" or "JPEG"; ``options`` are those of Pillow's writer."""
    if kind == "JPEG":
        options = {"quality": JPEG_QUALITY, "optimize": True} | options
    stream = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(stream, kind, **options)
    return stream.getvalue()


def save_image(path: str | Path, image: Tensor | np.ndarray, **options: Any) -> Path:
    """Write an image whole, in the format of the path's ending (.png, .jpg). Raises StyleRigError where it cannot be written."""
    return write_atomic(path, encode_image(image, FORMATS[Path(path).suffix.lower()], **options))
