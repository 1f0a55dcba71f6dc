"""The live view's image datablock and the editors that show it. Main thread only."""

from __future__ import annotations

import bpy
import numpy as np

from ..windows import redraw

IMAGE = "StyleRig Portrait"


def live_image(width: int, height: int) -> bpy.types.Image:
    """The live view's image at this size; made when missing (undo may take it away)."""
    image = bpy.data.images.get(IMAGE)
    if image is None:
        # Float, because pixels come scene-linear; Blender shows linear floats as sRGB.
        image = bpy.data.images.new(IMAGE, width, height, alpha=True, float_buffer=True)
        image.alpha_mode = "PREMUL"
    elif tuple(image.size) != (width, height):
        image.scale(width, height)
    return image


def show_pixels(pixels: np.ndarray) -> None:
    """Put (H, W, 4), row 0 at the bottom, into the image; 0.3 ms at 512²."""
    height, width, _ = pixels.shape
    image = bpy.data.images.get(IMAGE)
    resized = image is None or tuple(image.size) != (width, height)
    image = live_image(width, height)
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    if resized:
        fit_views(image)
    redraw("IMAGE_EDITOR")


def editors() -> set[int]:
    """Image Editors that show the image, as addresses: they outlive undo."""
    return {
        area.spaces.active.as_pointer()
        for window in bpy.context.window_manager.windows
        for area in window.screen.areas
        if area.type == "IMAGE_EDITOR" and area.spaces.active.image is not None and area.spaces.active.image.name == IMAGE
    }


def restore(pixels: np.ndarray, shown_in: set[int]) -> None:
    """Put the pixels back after undo, and the image into the editors that showed it."""
    show_pixels(pixels)
    image, lost = bpy.data.images[IMAGE], False
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            space = area.spaces.active
            if area.type == "IMAGE_EDITOR" and space.image is None and space.as_pointer() in shown_in:
                space.image, lost = image, True
    if lost:
        fit_views(image)


def keep_image() -> None:
    """Pack the image into the file: it is there when the file is opened again, and Blender does not ask
    at its end whether a changed image shall be saved."""
    image = bpy.data.images.get(IMAGE)
    if image is not None and image.is_dirty and image.has_data:
        image.pack()


def fit_views(image: bpy.types.Image) -> None:
    """Zoom the editors that show the image so that it fills them."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "IMAGE_EDITOR" and area.spaces.active.image == image:
                region = next(region for region in area.regions if region.type == "WINDOW")
                with bpy.context.temp_override(window=window, area=area, region=region):
                    bpy.ops.image.view_all(fit_view=True)
