"""Small pictures in panels: arrays into Blender's icon previews."""

from __future__ import annotations

from pathlib import Path

import bpy
import bpy.utils.previews
import numpy as np

from ..protocol import colour

_PREVIEWS: dict[str, bpy.utils.previews.ImagePreviewCollection] = {}


def show(name: str, pixels: np.ndarray) -> int:
    """Put display values (H, W, 4), row 0 at the bottom, 0 to 1, into the icon of this name; returns its id."""
    collection = previews()
    preview = collection[name] if name in collection else collection.new(name)
    fill(preview, pixels)
    return preview.icon_id


def show_file(name: str, data: bytes) -> int:
    """Put the picture in a PNG file's bytes into the icon of this name; returns its id.

    Blender's own icons of files are kept in a folder of the user's, where a photo has no place.
    """
    path = Path(bpy.app.tempdir) / f"stylerig-{name}.png"
    path.write_bytes(data)
    image = bpy.data.images.load(str(path))
    try:
        width, height = image.size
        pixels = np.empty((height, width, 4), np.float32)
        image.pixels.foreach_get(pixels.ravel())
    finally:
        bpy.data.images.remove(image)
        path.unlink()
    return show(name, pixels)


def fill(preview: bpy.types.ImagePreview, pixels: np.ndarray) -> None:
    """Put display values (H, W, 4) into a preview."""
    height, width = pixels.shape[:2]
    if tuple(preview.image_size) != (width, height):
        preview.image_size = (width, height)
    preview.image_pixels_float.foreach_set(np.ascontiguousarray(pixels, dtype=np.float32).ravel())


def icon_of(name: str) -> int:
    """The id of the icon of this name; 0 (no icon) without one."""
    collection = _PREVIEWS.get("")
    return collection[name].icon_id if collection is not None and name in collection else 0


def previews() -> bpy.utils.previews.ImagePreviewCollection:
    """The one collection of the extension, made when it is first needed."""
    if "" not in _PREVIEWS:
        _PREVIEWS[""] = bpy.utils.previews.new()
    return _PREVIEWS[""]


def display(combined: np.ndarray) -> np.ndarray:
    """Scene-linear premultiplied (H, W, 4), row 0 at the top -> opaque display values, row 0 at the bottom."""
    opaque = np.ones((*combined.shape[:2], 4), dtype=np.float32)
    opaque[..., :3] = colour.linear_to_srgb(colour.combined_over_backdrop(combined))
    return opaque[::-1]


def forget() -> None:
    """Remove all icons."""
    while _PREVIEWS:
        bpy.utils.previews.remove(_PREVIEWS.popitem()[1])
