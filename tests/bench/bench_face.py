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
SECONDS, LEAST = 0.7, 5  # how long, and at least how often each is tried


def best_milliseconds(work: Callable[[], object], seconds: float) -> float:
    """The shortest wall-clock time of ``work()`` in ms, tried for ``seconds`` and some times after two more."""
    times = []
    if seconds:
        work(), work()
    end = time.perf_counter() + seconds
    while len(times) < (LEAST if seconds else 1) or time.perf_counter() < end:
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


def forward(face: FaceModel, size: int, seconds: float, outputs: tuple[str, ...] = ("colour", "mask")) -> float:
    """Milliseconds of one frame without gradients."""
    parameters = portrait_of(face)
    with torch.inference_mode():
        return best_milliseconds(lambda: render(face, parameters, size, outputs=outputs), seconds)


def forward_and_backward(face: FaceModel, size: int, seconds: float) -> float:
    """Milliseconds of one frame and of its gradients for all parameters."""
    leaves = RigParameters(*(part.clone().requires_grad_() for part in portrait_of(face).parts().values()))

    def step() -> None:
        drawn = render(face, leaves, size)
        (drawn["colour"] * drawn["mask"]).square().mean().backward()

    return best_milliseconds(step, seconds)


COLUMNS = {
    "forward": forward,
    "5 passes": lambda face, size, seconds: forward(face, size, seconds, PASSES),
    "forward + backward": forward_and_backward,
}


def run(quick: bool = False) -> dict[str, float]:
    seconds, sizes = (0, SIZES[:1]) if quick else (SECONDS, SIZES)
    head = load_face_model(None)
    meshes = {"full": head, "proxy": head.proxy}
    cells = [(name, size, column) for name in meshes for size in sizes for column in COLUMNS]
    cost = {
        (name, size, column): COLUMNS[column](meshes[name], size, seconds)
        for name, size, column in tqdm(cells, desc="face", file=sys.stderr, leave=False)
    }
    print(f"face: {head.identity.shape[0]} + {head.expression.shape[0]} modes, {torch.get_num_threads()} threads, ms a frame")
    print("mesh   vertices  triangles  pixels " + "".join(f"{column:>20}" for column in COLUMNS))
    for name, mesh in meshes.items():
        for size in sizes:
            numbers = "".join(f"{cost[name, size, column]:20.1f}" for column in COLUMNS)
            print(f"{name:6} {len(mesh.mean):8} {len(mesh.triangles):10} {size:5}² {numbers}")
    middle, largest = (sizes[0], sizes[0]) if quick else (256, 1024)
    return {
        f"proxy_{middle}_forward_ms": cost["proxy", middle, "forward"],
        f"full_{middle}_forward_ms": cost["full", middle, "forward"],
        f"proxy_{middle}_forward_backward_ms": cost["proxy", middle, "forward + backward"],
        f"full_{largest}_passes_ms": cost["full", largest, "5 passes"],
        f"proxy_{largest}_passes_ms": cost["proxy", largest, "5 passes"],
    }
