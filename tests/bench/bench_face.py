"""What drawing the face costs: frames with all modes, passes, gradients, against pixels and vertices.

Times are the best of many runs, which is what the code takes when nothing else runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from tqdm import tqdm

from models.face import FaceModel, load_face_model
from models.face.alignment import align
from models.face.harmonics import soft_key
from models.face.parameters import RigParameters
from models.face.rasterizer import render

PASSES = ("face_mask", "normals", "albedo", "shading", "depth")
SIZES = (64, 128, 256, 512, 1024)


def best_milliseconds(work: Callable[[], object], seconds: float = 0.7, least: int = 5) -> float:
    """The shortest wall-clock time of ``work()`` in ms, tried for ``seconds`` and ``least`` times after two more."""
    times = []
    work(), work()
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        started = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - started))
    return min(times)


def portrait_of(face: FaceModel) -> RigParameters:
    """A person with all modes in use, turned aside, under a soft light."""
    random = torch.Generator().manual_seed(1)
    parameters = RigParameters.neutral(face)
    return align(face, parameters.replace(
        identity=torch.randn(parameters.identity.shape, generator=random),
        reflectance=torch.randn(parameters.reflectance.shape, generator=random),
        expression=0.2 * torch.rand(parameters.expression.shape, generator=random),
        rotation=torch.tensor([[0.3, 0.1, 0.0]]),
        light=soft_key()[None],
    ))  # fmt: skip


def forward(face: FaceModel, size: int, outputs: tuple[str, ...] = ("colour", "mask")) -> float:
    """Milliseconds of one frame without gradients."""
    parameters = portrait_of(face)
    with torch.inference_mode():
        return best_milliseconds(lambda: render(face, parameters, size, outputs=outputs))


def forward_and_backward(face: FaceModel, size: int) -> float:
    """Milliseconds of one frame and of its gradients for all parameters."""
    leaves = RigParameters(*(part.clone().requires_grad_() for part in portrait_of(face).parts().values()))

    def step() -> None:
        drawn = render(face, leaves, size)
        (drawn["colour"] * drawn["mask"]).square().mean().backward()

    return best_milliseconds(step)


COLUMNS = {
    "forward": forward,
    "5 passes": lambda face, size: forward(face, size, PASSES),
    "forward + backward": forward_and_backward,
}


def run() -> dict[str, float]:
    head = load_face_model(None)
    meshes = {"full": head, "proxy": head.proxy}
    cells = [(name, size, column) for name in meshes for size in SIZES for column in COLUMNS]
    cost = {
        (name, size, column): COLUMNS[column](meshes[name], size)
        for name, size, column in tqdm(cells, desc="face", file=sys.stderr, leave=False)
    }
    print(f"face: {head.identity.shape[0]} + {head.expression.shape[0]} modes, {torch.get_num_threads()} threads, ms a frame")
    print("mesh   vertices  triangles  pixels " + "".join(f"{column:>20}" for column in COLUMNS))
    for name, mesh in meshes.items():
        for size in SIZES:
            numbers = "".join(f"{cost[name, size, column]:20.1f}" for column in COLUMNS)
            print(f"{name:6} {len(mesh.mean):8} {len(mesh.triangles):10} {size:5}² {numbers}")
    return {
        "proxy_256_forward_ms": cost["proxy", 256, "forward"],
        "full_256_forward_ms": cost["full", 256, "forward"],
        "proxy_256_forward_backward_ms": cost["proxy", 256, "forward + backward"],
        "full_1024_passes_ms": cost["full", 1024, "5 passes"],
        "proxy_1024_passes_ms": cost["proxy", 1024, "5 passes"],
    }
