"""A rig that needs no weights, with the real one's interface; and the backend's command line over it.

    python -m tests.helpers.fake_rig serve --port 0

A head pose moves a disc across the picture, so that frames differ and tests can tell them apart.
Environment variables make it misbehave: FAKE_RIG_SECONDS per frame, FAKE_RIG_FAULT
is "fault", "memory" or "nan"; FAKE_RIG_FAULT_AT is the yaw at which alone a frame fails. A roll of DEADLY ends the
process. FAKE_RIG_WEIGHTS is the hash of its weights. FAKE_RIG_PATIENCE are the seconds that the server waits for a request.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from models.editing.directions import Directions, Header, generator_hash
from models.errors import StyleRigError
from models.face.model import FaceModel
from models.face.parameters import RigParameters
from models.generators import Generator
from models.generators.config import StyleGAN2Config
from models.rigging import Rig
from models.rigging.controls import Controls, Frame, Portrait
from models.rigging.frame_renderer import MATTES
from tests.helpers.synthetic_face import synthetic_face
from tests.helpers.untrained_rig import untrained_rig

RESOLUTION, NUM_WS, W_DIM = 32, 6, 512
WIDTHS = {
    "HeadMatte": 1,
    "FaceMask": 1,
    "Normal": 3,
    "Albedo": 3,
    "Shading": 3,
    "Specular": 3,
    "Occlusion": 1,
    "Depth": 1,
    "UV": 2,
    "Position": 3,
    **dict.fromkeys(MATTES, 1),
}
OUTSIDE = 1e10  # depth where there is no face
DEADLY = 9.0  # radians
FAULTS = {"fault": ZeroDivisionError, "memory": MemoryError}


@dataclass
class FakeRig:
    face: FaceModel
    generator: SimpleNamespace
    name: str = "studio"
    weights_hash: str = "f" * 64
    shows_whole_heads: bool = False

    def __post_init__(self):
        self.attributes = fake_attributes(self.generator)
        self.generator_hash = generator_hash(self.generator)

    directions_for, attribute_ranges, edited = Rig.directions_for, Rig.attribute_ranges, Rig.edited

    def engine(self, precision: str = "exact") -> SimpleNamespace:
        return SimpleNamespace(name="nothing at all", notice="")

    def new_portrait(self, seed: int = 0, truncation: float = 0.7) -> Portrait:
        random = torch.Generator().manual_seed(seed)
        w = truncation * torch.randn(1, W_DIM, generator=random).repeat(NUM_WS, 1)
        face = self.face
        parameters = RigParameters(
            identity=torch.randn(1, len(face.identity), generator=random),
            reflectance=torch.randn(1, len(face.albedo), generator=random),
            expression=torch.rand(1, len(face.expression), generator=random),
            light=torch.randn(1, 9, 3, generator=random),
            rotation=0.1 * torch.randn(1, 3, generator=random),
            translation=torch.randn(1, 3, generator=random),
        )
        return Portrait(self.name, self.weights_hash, seed, truncation, w.numpy(), parameters)

    def portrait_from_latent(self, w: np.ndarray, seed: int, truncation: float, head: RigParameters | None = None) -> Portrait:
        """Its parameters are as many of w's own numbers as are needed."""
        places = RigParameters.slices(self.face)
        parameters = RigParameters.from_vector(torch.from_numpy(w[:1, : places["translation"].stop]), self.face)
        return Portrait(self.name, self.weights_hash, seed, truncation, w, parameters)

    def frame(self, portrait: Portrait, controls: Controls, size=None, passes=tuple(WIDTHS), precision: str = "exact") -> Frame:
        controls.check(self.face)
        portrait = self.edited(portrait, controls.attributes)
        time.sleep(float(os.environ.get("FAKE_RIG_SECONDS", 0)))
        fault = os.environ.get("FAKE_RIG_FAULT")
        if fault in FAULTS or str(controls.rotation and controls.rotation[0]) == os.environ.get("FAKE_RIG_FAULT_AT"):
            raise FAULTS[fault or "fault"]("made to fail")
        if controls.rotation and controls.rotation[2] == DEADLY:
            os._exit(1)
        size = size or RESOLUTION
        rotation = controls.rotation or portrait.parameters.rotation[0].tolist()
        y, x = np.mgrid[:size, :size] / size - 0.5
        distance = np.hypot(x - 0.5 * rotation[0], y)[..., None]
        alpha = np.clip((0.3 - distance) * size / 4 + 0.5, 0, 1)
        colour = np.abs(np.concatenate((x[..., None], y[..., None], distance), axis=2) + 0.1 * portrait.w[0, :3])
        arrays = {"Combined": np.concatenate((colour * alpha, alpha), axis=2), "Portrait": colour}
        if fault == "nan":
            colour[0, 0] = np.nan
        for name in (name for name in passes if name in WIDTHS):
            random = np.random.default_rng((portrait.seed, len(name)))
            arrays[name] = np.where(alpha > 0, random.random((size, size, WIDTHS[name])), 0)
        if "Depth" in passes:
            arrays["Depth"][alpha == 0] = OUTSIDE
        return Frame({name: array.astype(np.float32) for name, array in arrays.items()}, (*rotation, 0.0, 0.0, 0.0))


def load(device: str = "cpu"):
    """A new fake rig; FAKE_RIG_MISSING makes it fail as one without weights does, FAKE_RIG_REAL is ``real_rig``."""
    if os.environ.get("FAKE_RIG_REAL"):
        return real_rig(device)
    if os.environ.get("FAKE_RIG_MISSING"):
        raise StyleRigError("The weights are not there.", "Install StyleRig again.", code="missing_weights")
    weights = os.environ.get("FAKE_RIG_WEIGHTS", "f" * 64)
    return FakeRig(synthetic_face(vertices=200), fake_generator(), weights_hash=weights)


def fake_generator() -> SimpleNamespace:
    """What is asked of a generator without drawing: the layers of a small one, which have hardly any channels."""
    config = StyleGAN2Config(resolution=16, z_dim=8, w_dim=W_DIM, mapping_layers=1, channels={4: 4, 8: 4, 16: 4})
    small = Generator.create(config, seed=1)
    return SimpleNamespace(
        resolution=RESOLUTION, num_ws=NUM_WS, z_dim=8, w_dim=W_DIM, synthesis=small.synthesis, state_dict=small.state_dict
    )


def fake_attributes(generator: SimpleNamespace) -> Directions:
    """Age and a beard, along the first two axes of w."""
    header = Header(
        kind="attributes",
        generator=generator_hash(generator),
        layers=(0, 1, 2, 3, 4),
        names=("age", "beard"),
        ranges=((-1, 1), (-0.5, 1)),
    )
    return Directions(header, torch.eye(W_DIM)[:2])


def real_rig(device: str = "cpu"):
    """The shipped rig where it is there, else the same networks untrained."""
    try:
        return Rig.load(None, device)
    except StyleRigError:
        rig = untrained_rig()
        rig.name = "studio"
        return rig


TOKEN = "a token that only this test knows"
ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str, **variables: str) -> subprocess.Popen:
    """The backend's command line over the fake rig as a process, with all its pipes as text."""
    environment = {**os.environ, "STYLERIG_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", **variables}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "tests.helpers.fake_rig", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)


@contextlib.contextmanager
def served(*arguments: str, **variables: str) -> Iterator[SimpleNamespace]:
    """A running backend: ``process``, ``ready`` (its first line) and ``url``. It is gone afterwards."""
    process = start("serve", "--exit-with-stdin", *arguments, **variables)
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        ready = json.loads(line)
        yield SimpleNamespace(process=process, ready=ready, url=f"http://127.0.0.1:{ready['port']}")
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


if __name__ == "__main__":
    from backend.cli.main import main
    from backend.server import connections, middleware

    if patience := os.environ.get("FAKE_RIG_PATIENCE"):
        connections.HEAD_SECONDS = middleware.BODY_SECONDS = float(patience)
    from tests.helpers import fake_rig  # by the name that another process knows it by

    sys.exit(main(sys.argv[1:], rig_loader=fake_rig.load))
