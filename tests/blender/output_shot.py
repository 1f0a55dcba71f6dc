"""What the tests of output share: a scene with a rig, and a backend whose frames are known exactly."""

from __future__ import annotations

import importlib
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np

import fake_backend

READ_EXR = """
import sys, numpy, OpenEXR
with OpenEXR.File(sys.argv[1], separate_channels=True) as file:
    numpy.savez(sys.argv[2], **{name: one.pixels for part in file.parts for name, one in part.channels.items()})
"""


@dataclass
class KnownClient:
    """Stands in for the backend's client: frames are drawn by ``draw(controls, size)``; requests are kept."""

    draw: object
    requests: list = field(default_factory=list)

    def frame(self, portrait, controls, size=None, passes=()) -> dict[str, np.ndarray]:
        self.requests.append({"portrait": portrait, "controls": controls, "size": size, "passes": tuple(passes)})
        return self.draw(controls, size)


def random_frame(_controls: dict, size: int) -> dict[str, np.ndarray]:
    """Passes of noise, the same for the same size; Combined is opaque and made of sRGB bytes."""
    random = np.random.default_rng(size)
    widths = {"FaceMask": 1, "Normal": 3, "Albedo": 3, "Shading": 3}
    passes = {name: random.random((size, size, width), dtype=np.float32) for name, width in widths.items()}
    passes["Depth"] = np.where(passes["FaceMask"] > 0.3, 100 + 40 * passes["FaceMask"], np.float32(1e10))
    passes["Combined"] = np.ones((size, size, 4), dtype=np.float32)
    passes["Combined"][..., :3] = to_linear(srgb_bytes(size) / 255)
    return passes


def srgb_bytes(size: int) -> np.ndarray:
    """What the PNG of ``random_frame`` must hold, (size, size, 3)."""
    return np.random.default_rng(1).integers(0, 256, (size, size, 3))


def to_linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def module(extension, name: str):
    """A module of the extension: module(extension, "output.engine")."""
    return importlib.import_module(f"{extension.__name__}.{name}")


def use_client(extension, monkeypatch, client) -> None:
    """Let engine and texture talk to ``client`` instead of a backend process."""
    for name in ("output.engine", "output.texture"):
        monkeypatch.setattr(module(extension, name), "backend_client", lambda: client)


def add_rig(extension, seed: int = 7) -> bpy.types.Object:
    """A rig in the scene, of the fake backend's portrait."""
    portrait = fake_backend.new_portrait(seed, 0.7)
    return module(extension, "rig.build").build_rig(bpy.context, portrait, fake_backend.mesh_of(portrait))


def prepare(extension, scene: bpy.types.Scene, width: int = 48, height: int = 48) -> bpy.types.Object:
    """A rig, a camera and the engine in an empty scene; returns the rig."""
    rig = add_rig(extension)
    scene.render.engine = "STYLERIG"
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100
    scene.frame_start, scene.frame_end = 1, 3
    module(extension, "output.camera").ensure_camera(scene)
    return rig


def read_png(path: Path) -> np.ndarray:
    """Bytes (H, W, 4) of a PNG, row 0 at the top."""
    image = bpy.data.images.load(str(path))
    pixels = np.empty(image.size[0] * image.size[1] * 4, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    pixels = pixels.reshape(image.size[1], image.size[0], 4)[::-1]
    bpy.data.images.remove(image)
    return np.round(pixels * 255).astype(int)


def read_exr(path: Path, tmp_path: Path) -> dict[str, np.ndarray]:
    """Channels (H, W) of an EXR by name, row 0 at the top, read by OpenEXR in the backend's environment."""
    arrays = tmp_path / f"{path.stem}-channels.npz"
    command = [os.environ["STYLERIG_PYTHON"], "-c", READ_EXR, path, arrays]
    subprocess.run(list(map(str, command)), check=True, timeout=60, capture_output=True)
    with np.load(arrays) as channels:
        return dict(channels)


def stacked(channels: dict[str, np.ndarray], name: str, letters: str) -> np.ndarray:
    """One pass (H, W, C) out of an EXR's channels; 4.5 calls a single channel V."""
    letters = [letter if f"{name}.{letter}" in channels else "V" for letter in letters]
    return np.stack([channels[f"{name}.{letter}"] for letter in letters], axis=-1)


def render_still(scene: bpy.types.Scene, path: Path) -> np.ndarray:
    """F12 and save: bytes (H, W, 4)."""
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return read_png(path)
