"""Blender's part of docs/pictures/composite.py, at its smallest: two frames of the whole shot."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import addon_utils
import bpy
import numpy as np
from output_shot import read_png

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "composite.py"


def test_the_shot_is_rendered(backend, empty_scene, tmp_path):
    specification = importlib.util.spec_from_file_location("pictures_composite", SCRIPT)
    composite = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(composite)
    composite.CYCLES_SAMPLES = 1
    width, height, frames = 64, 36, 2
    for frame in range(1, frames + 1):
        plate = bpy.data.images.new(f"plate {frame}", width, height)
        plate.pixels.foreach_set(np.tile(np.float32((0.2 * frame, 0.3, 0.9, 1)), width * height))
        plate.filepath_raw, plate.file_format = str(tmp_path / f"plate_{frame:04}.png"), "PNG"
        plate.save()
    addon_utils.enable("cycles")
    composite.render_frames(tmp_path, {"width": width, "frames": frames, "every": 1, "samples": 2, "seeds": [7, 8]})
    pictures = [read_png(tmp_path / f"frame_{frame:04}.png") for frame in (1, 2)]
    for frame, picture in enumerate(pictures, 1):
        assert picture.shape == (height, width, 4)
        assert abs(np.median(picture[:4, :20, 0]) - 51 * frame) < 3  # the plate of this frame
        skin = (picture[..., 0] > picture[..., 2] + 10) & (picture[..., 0] > picture[..., 1])
        assert skin.sum() > 40
