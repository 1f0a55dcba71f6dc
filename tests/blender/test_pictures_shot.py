"""Blender's part of docs/pictures/shot.py: a portrait in a shot by both engines."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import addon_utils
import bpy

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "shot.py"


def test_a_shot_is_drawn_by_both_engines(backend, empty_scene, tmp_path):
    specification = importlib.util.spec_from_file_location("pictures_shot", SCRIPT)
    shot = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(shot)
    shot.WIDTH, shot.HEIGHT, shot.SAMPLES, shot.SHOTS = 24, 16, 1, shot.SHOTS[:1]
    addon_utils.enable("cycles")
    shot.render_shots(shot.prepare(seed=7), tmp_path)
    for engine in ("CYCLES", "STYLERIG"):
        picture = bpy.data.images.load(str(tmp_path / f"{engine}-0.png"))
        assert tuple(picture.size) == (24, 16)
        alpha = picture.pixels[:][3::4]
        assert max(alpha) > 0.9 and min(alpha) < 0.1, f"no head before nothing by {engine}"
