"""What the tests of output share: a scene with a rig, and a backend whose frames are known exactly."""

from __future__ import annotations

import importlib
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import fake_backend
import numpy as np

MAX_ROLL = np.radians(25)  # of heads in whole-head frames
READ_EXR = """
import sys, numpy, OpenEXR
with OpenEXR.File(sys.argv[1], separate_channels=True) as file:
    numpy.savez(sys.argv[2], **{name: one.pixels for part in file.parts for name, one in part.channels.items()})
"""


@dataclass
class KnownClient:
    """Stands in for the backend's client: frames are drawn by ``draw(controls, size)``; requests for them are kept."""

    draw: object
    requests: list = field(default_factory=list)

    def frame(self, portrait, controls, size=None, passes=(), cancelled=None) -> dict[str, np.ndarray]:
        self.requests.append({"portrait": portrait, "controls": controls, "size": size, "passes": tuple(passes)})
        return self.draw(controls, size)

    def mesh(self, portrait) -> dict[str, np.ndarray]:
        return fake_backend.mesh_of(portrait)


def random_frame(_controls: dict, size: int) -> dict[str, np.ndarray]:
    """Passes of noise, the same for the same size; Combined is opaque and made of sRGB bytes."""
    random = np.random.default_rng(size)
    widths = {
        "Portrait": 3,
        "HeadMatte": 1,
        "FaceMask": 1,
        "Normal": 3,
        "Albedo": 3,
        "Shading": 3,
        "Specular": 3,
        "Occlusion": 1,
        "UV": 2,
        "Position": 3,
    }
    passes = {name: random.random((size, size, width), dtype=np.float32) for name, width in widths.items()}
    passes["Depth"] = np.where(passes["FaceMask"] > 0.3, 100 + 40 * passes["FaceMask"], np.float32(1e10))
    passes["Combined"] = np.ones((size, size, 4), dtype=np.float32)
    passes["Combined"][..., :3] = to_linear(srgb_bytes(size) / 255)
    return passes


def white_frame(controls: dict, size: int) -> dict[str, np.ndarray]:
    """White and opaque, without a mesh: all of one depth."""
    frame = random_frame(controls, size) | {"placement": np.zeros(6)}
    frame["Depth"] = np.full((size, size, 1), 1e10, dtype=np.float32)
    frame["Combined"][..., :3] = 1
    frame["HeadMatte"] = frame["Combined"][..., 3:]
    return frame


def srgb_bytes(size: int) -> np.ndarray:
    """What the PNG of ``random_frame`` must hold, (size, size, 3)."""
    return np.random.default_rng(1).integers(0, 256, (size, size, 3))


def to_linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def module(extension, name: str):
    """A module of the extension: module(extension, "render.engine")."""
    return importlib.import_module(f"{extension.__name__}.{name}")


def use_client(extension, monkeypatch, client) -> None:
    """Let engine and texture talk to ``client`` instead of a backend process."""
    for name in ("render.engine", "render.texture"):
        monkeypatch.setattr(module(extension, name), "connector", lambda: lambda: client)


def add_rig(extension, seed: int = 7) -> bpy.types.Object:
    """A rig in the scene, of the fake backend's portrait."""
    portrait = fake_backend.new_portrait(seed, 0.7)
    return module(extension, "rig.build").build_rig(bpy.context, portrait, fake_backend.mesh_of(portrait))


def prepare(extension, scene: bpy.types.Scene, width: int = 48, height: int = 48, placement: str = "CROP") -> bpy.types.Object:
    """A rig, a camera, the engine and transparent film in an empty scene; returns the rig."""
    rig = add_rig(extension)
    scene.stylerig.placement = placement
    scene.render.film_transparent = True
    scene.render.engine = "STYLERIG"
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100
    scene.frame_start, scene.frame_end = 1, 3
    module(extension, "render.portrait_camera").ensure_camera(scene)
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


POINTS = {"left eye": slice(36, 42), "right eye": slice(42, 48), "mouth": [48, 54]}  # of the 68 landmarks


def point_frame(extension, portrait: dict):
    """draw(controls, size) of a backend whose picture is three dots: red and green eyes, a blue mouth.

    It aligns the head's landmarks and moves the crop as the real one does, and says the same placement.
    """
    alignment, camera = (module(extension, f"protocol.{name}") for name in ("alignment", "camera"))
    placement = module(extension, "protocol.placement")
    landmarks = placement.Landmarks.of_mesh(fake_backend.mesh_of(portrait))

    def draw(controls: dict, size: int) -> dict[str, np.ndarray]:
        yaw, pitch, roll = controls["rotation"]
        points = landmarks.points(controls["expression"])
        own_roll, place = alignment.align(points, yaw, pitch)
        _, reference = alignment.align(landmarks.points(portrait["parameters"]["expression"]), yaw, pitch)
        angle, scale = roll - own_roll, controls["scale"] * camera.FFHQ.depth_of(place) / camera.FFHQ.depth_of(reference)
        turn = scale * np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
        pivot = xy(camera.FFHQ.project(place))
        target = xy(camera.FFHQ.project(reference)) + 2 * np.array(controls["translation"])
        placed = points @ camera.rotation_to_matrix((yaw, pitch, own_roll)).T + place
        crop = placed[:, :2] * (camera.FFHQ.focal / (camera.FFHQ.distance - placed[:, 2]))[:, None]
        seen = (crop - pivot) @ turn.T + target
        depth = camera.FFHQ.depth_of(reference) / controls["scale"]
        where = np.array((*(target * depth / camera.FFHQ.focal), camera.FFHQ.distance - depth))
        return dots(seen, size) | {"placement": np.array((yaw, pitch, roll, *where))}

    return draw


def whole_head_frame(extension, portrait: dict):
    """The same of a backend whose pictures show the whole head, as its guided renderer plans them."""
    camera, placement = module(extension, "protocol.camera"), module(extension, "protocol.placement")
    landmarks, frame = placement.Landmarks.of_mesh(fake_backend.mesh_of(portrait)), portrait["frame"]

    def draw(controls: dict, size: int) -> dict[str, np.ndarray]:
        yaw, pitch, roll = controls["rotation"]
        seen_by = camera.PortraitCamera(controls["distance"], 2 * frame["half_width"])
        upright = min(max(roll, -MAX_ROLL), MAX_ROLL)  # what is beyond is turned in the picture
        turn = camera.rotation_to_matrix((yaw, pitch, upright))
        places = (landmarks.points(controls["expression"]) - frame["center"]) @ turn.T
        moved = controls["scale"] * np.exp(1j * (roll - upright))
        seen = np.array([seen_by.project(place) * moved for place in places]) + 2 * complex(*controls["translation"])
        return dots(np.stack((seen.real, seen.imag), axis=1), size) | {"placement": np.array((yaw, pitch, roll, 0, 0, 0))}

    return draw


def xy(place: complex) -> np.ndarray:
    """A place in a picture as (2,)."""
    return np.array((place.real, place.imag))


def dots(seen: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """A frame of opaque black with a soft dot at each of the points, given as NDC of 68 landmarks (68, 2)."""
    line = (np.arange(size) + 0.5) * 2 / size - 1
    passes = random_frame({}, size)
    passes["Combined"] = np.zeros((size, size, 4), dtype=np.float32)
    passes["Combined"][..., 3] = 1
    for channel, rows in enumerate(POINTS.values()):
        x, y = seen[rows].mean(axis=0)
        squared = (line[None] - x) ** 2 + (-line[:, None] - y) ** 2
        passes["Combined"][..., channel] = np.exp(-squared * size**2 / 32)
    return passes


def dots_in(picture: np.ndarray) -> np.ndarray:
    """Where the three dots of a rendered picture (H, W, C) lie (3, 2): x, y in pixels from its lower left corner."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width) + 0.5, height - np.arange(height) - 0.5)
    light = picture[..., :3].astype(float)
    return np.stack([(light * axis[..., None]).sum((0, 1)) / light.sum((0, 1)) for axis in (x, y)], axis=-1)
