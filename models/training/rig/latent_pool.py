"""Samples of a generator with what the landmark network regresses from them, kept on disk.

RigNet leaves the set of codes that the mapping network makes, so the pool holds codes beside it
too: styles mixed between people, truncation that differs by layer, codes with noise added.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import interpolate

from models.colour import over_backdrop
from models.device_rng import DeviceRng, step_seed
from models.errors import StyleRigError
from models.face.alignment import ffhq_crop
from models.generators import Generator
from models.io.atomic_write import write_atomic
from models.perception.face_regressor import Estimator
from models.training.rig.config import PoolSettings
from models.training.rig.run import Run

CHUNK = 256
BATCH = 16
SHARES = (0.55, 0.25, 0.12, 0.08)  # plain, mixed, truncation by layer, with noise
MIN_VARIATION = 0.2  # of the landmarks, relative to real variation; an image without a face gives the same always
CROP_TOLERANCE = 0.35  # NDC by which the crop of the landmarks may differ from the frame


@dataclass(eq=False)
class LatentPool:
    """N samples, all on one device; thumbnails are over the neutral backdrop."""

    w: Tensor  # (N, L, 512)
    plain: Tensor  # (N,) bool: straight from the mapping network
    thumbnails: Tensor  # (N, 3, S, S) uint8 sRGB
    alpha: Tensor  # (N, 1, S, S) uint8
    landmarks: Tensor  # (N, 68, 2) NDC
    parameters: Tensor  # (N, P) as the landmark network regresses them
    z: Tensor  # (N, z_dim); belongs to w where it is plain

    def __len__(self) -> int:
        return len(self.w)

    def rows(self, first: int = 0) -> Tensor:
        """The numbers of the samples from ``first`` on."""
        return torch.arange(first, len(self), device=self.w.device)

    def images(self, rows: Tensor) -> Tensor:
        """Images (M, 3, S, S) as float 0–1."""
        return self.thumbnails[rows].float() / 255


def draw_codes(generator: Generator, count: int, rng: DeviceRng) -> tuple[Tensor, Tensor, Tensor]:
    """Codes (N, L, 512), which of them are plain, and the z (N, z_dim) of these."""
    layers = generator.num_ws
    z = rng.randn(3, count, generator.z_dim)
    first, second, third = (generator.mapping(part) for part in z)
    kind = rng.multinomial(SHARES, count)
    psi = 0.5 + 0.5 * rng.rand(count, 1, 1)
    # Two crossing points per code: layers before the first, between them, after the second.
    cuts = rng.randint(1, layers, count, 2).sort(dim=1).values
    layer = torch.arange(layers, device=cuts.device)
    owner = (layer >= cuts[:, :1]).long() + (layer >= cuts[:, 1:]).long()
    mixed = torch.where((owner == 0)[..., None], first, torch.where((owner == 1)[..., None], second, third))
    varied = (psi + 0.25 * rng.randn(count, layers, 1)).clamp(0.1, 1.2)
    average = generator.w_avg
    std = (first - average).std(dim=(0, 1))
    noise = 0.25 * std * rng.randn(count, layers, first.shape[-1])
    options = torch.stack((
        average + psi * (first - average),
        average + psi * (mixed - average),
        average + varied * (first - average),
        average + psi * (first - average) + noise,
    ))  # fmt: skip
    return options[kind, torch.arange(count, device=kind.device)], kind == 0, z[0]


@torch.no_grad()
def make_chunk(generator: Generator, detector: Estimator, settings: PoolSettings, rng: DeviceRng) -> dict:
    """The tensors of one chunk, on the CPU."""
    w, plain, z = draw_codes(generator, CHUNK, rng)
    parts: dict[str, list[Tensor]] = {"thumbnails": [], "alpha": [], "landmarks": [], "parameters": []}
    for rows in w.split(BATCH):
        colour, alpha = generator.foreground(rows)
        portrait = over_backdrop(colour, alpha)
        landmarks, parameters = detector(portrait)
        parts["thumbnails"].append(as_uint8(downsample(portrait, settings.size)))
        parts["alpha"].append(as_uint8(downsample(alpha, settings.size)))
        parts["landmarks"].append(landmarks)
        parts["parameters"].append(parameters)
    joined = {name: torch.cat(values) for name, values in parts.items()}
    return {name: value.cpu().contiguous() for name, value in {"w": w, "plain": plain, "z": z, **joined}.items()}


def downsample(images: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N, C, size, size)."""
    return interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def as_uint8(images: Tensor) -> Tensor:
    """Values 0–1 as 0–255."""
    return (images * 255).round().clamp(0, 255).byte()


def make_pool(run: Run, generator: Generator, detector: Estimator, key: str) -> LatentPool:
    """Draw samples until there are enough or time is up; chunks already on disk are kept.

    Several processes draw every n-th chunk each; all read all of them, each to its device.
    """
    settings, world = run.plan.pool, run.world
    paths = [run.output / "pool" / f"{number:03d}.safetensors" for number in range(-(-settings.samples // CHUNK))]
    mine = list(enumerate(paths))[world.rank :: world.size]
    missing = [(number, path) for number, path in mine if read_chunk(path, key) is None]
    start, spent = time.monotonic(), 0.0
    for done, (number, path) in enumerate(missing, 1):
        if number >= world.size and settings.minutes and spent > 60 * settings.minutes:
            break
        rng = DeviceRng(step_seed(run.plan.seed, number), world.device)
        write_chunk(path, make_chunk(generator, detector, settings, rng), key)
        spent = time.monotonic() - start
        run.say(f"pool: {(number + 1) * CHUNK} samples  {spent / done * (len(missing) - done) / 60:.1f} min left")
    world.barrier()
    chunks = [chunk for chunk in (read_chunk(path, key) for path in paths) if chunk is not None]
    pool = LatentPool(**{name: torch.cat([chunk[name] for chunk in chunks]).to(world.device) for name in chunks[0]})
    check_faces(pool, detector)
    return pool


def write_chunk(path: Path, chunk: dict, key: str) -> None:
    write_atomic(path, lambda temporary: save_file(chunk, temporary, {"key": key}))


def read_chunk(path: Path, key: str) -> dict | None:
    """The tensors of a chunk made for the same generator and settings, else None."""
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("key") != key:
            return None
        return {name: file.get_tensor(name) for name in file.keys()}


def check_faces(pool: LatentPool, detector: Estimator) -> None:
    """Raise StyleRigError when the landmarks show that the samples are no aligned faces."""
    spread = detector.spread[:136].view(68, 2)
    variation = float((pool.landmarks.std(dim=0) / spread).mean())
    center, axis = ffhq_crop(pool.landmarks)
    off = torch.maximum(center.abs().amax(dim=1), (axis.norm(dim=1) - 1).abs())
    if variation < MIN_VARIATION or float(off.median()) > CROP_TOLERANCE:
        raise StyleRigError(
            "The landmark network finds no faces in the images of this generator "
            f"(their landmarks vary by {100 * variation:.0f} % of what faces do).",
            "Use a generator of faces in the FFHQ alignment.",
            code="no_faces",
        )
