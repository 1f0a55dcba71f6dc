"""Our rasteriser against Cycles, pixel for pixel: the same meshes before the same cameras."""

from __future__ import annotations

import math
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch

from models.face import load_face_model
from models.face.alignment import align, place
from models.face.camera import PORTRAIT_CAMERA, Camera
from models.face.parameters import RigParameters
from models.face.rasterizer import render

SIZE, SAMPLES = 192, 36  # pixels, rays through each
SCRIPT = Path(__file__).parents[1] / "helpers" / "cycles_reference.py"


@dataclass
class Scene:
    """A person (a seed, 0 is the mean), a pose in degrees, expressions, and a camera."""

    person: int
    rotation: tuple[float, float, float]
    expression: dict[str, float]
    camera: Camera = PORTRAIT_CAMERA


SCENES = {
    "mean face": Scene(0, (0, 0, 0), {}),
    "turned": Scene(1, (35, 8, 0), {"mouthSmile_L": 1, "mouthSmile_R": 1}),
    "jaw open": Scene(2, (-20, -12, 0), {"jawOpen": 0.8, "eyeBlink_L": 1}),
    "profile": Scene(3, (-75, 0, 0), {"browDown_L": 1, "eyeLookUp_R": 1}),
    "near camera": Scene(4, (15, 5, 0), {"mouthPucker": 1}, Camera(distance=45.0, half_width=14.0)),
}


@pytest.fixture(scope="module")
def face():
    return load_face_model(None)


@pytest.fixture(scope="module")
def ours(face) -> dict[str, tuple[dict, np.ndarray]]:
    """What we draw of each scene, and its vertices (V, 3)."""
    drawn = {}
    for name, scene in SCENES.items():
        parameters = parameters_of(face, scene)
        pictures = render(face, parameters, SIZE, scene.camera, outputs=("mask", "normals", "albedo", "depth"))
        vertices = place(face.vertices(parameters.identity, parameters.expression), parameters)
        drawn[name] = {key: value[0].numpy() for key, value in pictures.items()}, vertices[0].numpy()
    return drawn


@pytest.fixture(scope="module")
def theirs(face, ours, blender, tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """What Cycles draws: alpha, premultiplied colour and normals, and depth."""
    folder = tmp_path_factory.mktemp("cycles")
    albedo = face.albedo_for(torch.zeros(1, face.albedo.shape[0]))[0].numpy()
    cameras = [(scene.camera.distance, scene.camera.half_width) for scene in SCENES.values()]
    vertices = np.stack([points for _, points in ours.values()])
    arrays = {"vertices": vertices, "triangles": face.triangles.numpy(), "albedo": albedo, "cameras": cameras}
    np.savez(folder / "scenes.npz", **arrays, size=SIZE, samples=SAMPLES)
    command = [blender.executable, SCRIPT, folder / "scenes.npz", folder]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return {name: read_passes(folder / f"{number}.exr") for number, name in enumerate(SCENES)}


def parameters_of(face, scene: Scene) -> RigParameters:
    """Aligned parameters of a scene, mean skin."""
    parameters = RigParameters.neutral(face)
    random = torch.Generator().manual_seed(scene.person)
    identity = 0.8 * min(scene.person, 1) * torch.randn(parameters.identity.shape, generator=random)
    expression = parameters.expression.clone()
    for name, value in scene.expression.items():
        expression[0, face.expression_names.index(name)] = value
    rotation = torch.tensor([scene.rotation]).deg2rad().float()
    return align(face, parameters.replace(identity=identity, expression=expression, rotation=rotation), scene.camera)


def read_passes(path: Path) -> dict[str, np.ndarray]:
    """alpha (H, W), albedo (H, W, 3) times alpha, unit normals (H, W, 3) and depth (H, W) of Cycles' EXR."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
    found = lambda passes, parts: np.stack([channels[f"ViewLayer.{passes}.{part}"] for part in parts], axis=-1)
    normals = found("Normal", "XYZ")
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-6)
    return {"mask": found("Combined", "A"), "albedo": found("Combined", "RGB"), "normals": normals, "depth": found("Depth", "Z")}


@pytest.mark.parametrize("name", SCENES)
def test_masks_agree(ours, theirs, name):
    mine, other = ours[name][0]["mask"], theirs[name]["mask"]
    assert 0.2 < other.mean() < 0.9
    assert np.minimum(mine, other).sum() / np.maximum(mine, other).sum() >= 0.995


@pytest.mark.parametrize("name", SCENES)
def test_what_the_pixels_see_agrees(ours, theirs, name):
    """Where both masks are full: normals within 1° on average, depth and albedo with them."""
    mine, other = ours[name][0], theirs[name]
    inside = (mine["mask"][..., 0] > 0.999) & (other["mask"][..., 0] > 0.999)
    cosine = (mine["normals"] * other["normals"]).sum(axis=-1)[inside]
    assert math.degrees(np.arccos(cosine.clip(-1, 1)).mean()) <= 1.0
    assert np.abs(mine["depth"] - other["depth"])[inside].mean() < 0.05  # cm
    assert np.abs(mine["albedo"] - other["albedo"])[inside].mean() < 0.003
