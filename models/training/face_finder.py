"""Training the network that finds faces: the studio's people before any background, anywhere in a square, turned and zoomed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, grid_sample, interpolate

from models.colour import linear_to_srgb
from models.data.image_set import ImageSet, InfiniteShuffle
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.face.alignment import ffhq_crop, quarter_turn
from models.face.landmarks import MIRRORED_LANDMARKS
from models.io.weights_file import channels_last
from models.perception.face_finder import SIDE, FaceFinder
from models.synthetic.environments import panoramas
from models.training.core.config import Stage
from models.training.core.distributed import World
from models.training.core.trainer import LossTask, Plan, Progress, Trainer

SIZE, BATCH = 128, 64
LEARNING_RATE, WARMUP_STEPS = 2e-3, 100
FACES = 0.55  # share of a batch; the others show none, or only a part of one
SHIFT, ZOOM, TURN = 0.4, 0.4, 0.35  # of squares with a face: half widths, natural logarithm, radians
LANDMARK_WEIGHT, SCALE = 10.0, 0.1  # of the landmarks' loss; where it goes over from square to straight, half widths
HELD_OUT = 512


@dataclass(eq=False)
class Batch:
    """Squares (N, 3, SIDE, SIDE), whether they show a face (N,), and landmarks (N, 68, 2) NDC."""

    squares: Tensor
    faces: Tensor
    landmarks: Tensor


class FinderTask(LossTask):
    """Whether there is a face, and where it is."""

    def __init__(self, data: ImageSet, seed: int, world: World):
        if "landmarks" not in data.truth:
            raise StyleRigError(
                f"The images in {data.source.folder} have no landmarks.",
                "Use a set rendered by python -m models.synthetic.",
                code="no_training_data",
            )
        self.data, self.world = data, world
        self.rows, self.shuffle = data.rows(held_out=False), InfiniteShuffle(seed)
        self.backgrounds = surroundings()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = FaceFinder()
        network.mean.copy_(mean_landmarks(torch.from_numpy(data.truth["landmarks"][self.rows])).flatten())
        self.network = channels_last(network.to(world.device))
        self.modules = {"network": self.network}
        self.optimizers = {"network": torch.optim.AdamW(network.parameters(), weight_decay=0.02, fused=True)}

    def batch(self, progress: Progress, rng: DeviceRng) -> Batch:
        count = self.world.share(BATCH)
        rows = self.rows[self.shuffle.take(progress.images + self.world.rank * count, count, len(self.rows))]
        return self.draw(rows, rng)

    def draw(self, rows: np.ndarray, rng: DeviceRng) -> Batch:
        """Squares of the pictures of ``rows``, before backgrounds."""
        pictures = self.data.batch(rows)[0] * 0.5 + 0.5
        landmarks = torch.from_numpy(self.data.truth["landmarks"][rows])
        pictures, landmarks = mirrored(pictures, landmarks, rng.rand(len(rows)) < 0.5)
        faces = rng.rand(len(rows)) < FACES
        squares = jittered(torch.cat(ffhq_crop(landmarks), dim=1), faces, rng)
        shown = cut(pictures, squares)
        shown[rng.rand(len(rows)) < 0.3 * ~faces] = 0.0  # nobody at all
        squares_seen = shown[:, :3] + (1 - shown[:, 3:]) * self.background(len(rows), rng)
        return Batch(worn(squares_seen, rng).to(self.world.device), faces.float().to(self.world.device),
                     in_squares(landmarks, squares).to(self.world.device))  # fmt: skip

    def background(self, count: int, rng: DeviceRng) -> Tensor:
        """(count, 3, SIDE, SIDE): pieces of panoramas, noise of all sizes, plain colours."""
        chosen = self.backgrounds[rng.randint(0, len(self.backgrounds), count).tolist()]
        piece = torch.cat((rng.rand(count, 2) * 1.6 - 0.8, 0.03 * (12 ** rng.rand(count, 1)), torch.zeros(count, 1)), dim=1)
        scene = cut(chosen, piece) * (0.4 + 1.2 * rng.rand(count, 1, 1, 1))
        noise = sum(
            interpolate(rng.randn(count, 3, side, side), size=(SIDE, SIDE), mode="bilinear") * (0.1 + 0.3 * rng.rand(count, 1, 1, 1))
            for side in (2, 5, 16)
        )
        plain = rng.rand(count, 3, 1, 1)
        kind = rng.rand(count, 1, 1, 1)
        return torch.where(kind < 0.4, scene, torch.where(kind < 0.75, plain + noise, plain + 0.15 * noise)).clamp(0, 1)

    def losses(self, batch: Batch, rng: DeviceRng) -> dict[str, Tensor]:
        logits, landmarks = self.network(batch.squares)
        off = (landmarks - batch.landmarks).square().sum(dim=-1)
        robust = (SCALE * ((1 + off / SCALE**2).sqrt() - 1)).mean(dim=1)
        return {
            "face": binary_cross_entropy_with_logits(logits, batch.faces),
            "landmarks": LANDMARK_WEIGHT * (robust * batch.faces).sum() / batch.faces.sum().clamp(min=1),
        }


def surroundings() -> Tensor:
    """The studio's panoramas (M, 3, 64, 128) as a camera shows them."""
    light = torch.from_numpy(panoramas()).movedim(-1, 1)
    return linear_to_srgb((light / light.mean(dim=(1, 2, 3), keepdim=True) * 0.3).clamp(0, 1))


def mean_landmarks(landmarks: Tensor) -> Tensor:
    """The mean (68, 2) of landmarks (N, 68, 2) in their own aligned crops."""
    return in_squares(landmarks, torch.cat(ffhq_crop(landmarks), dim=1)).mean(dim=0)


def mirrored(pictures: Tensor, landmarks: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Some of them with left and right exchanged."""
    other = landmarks[:, list(MIRRORED_LANDMARKS)] * landmarks.new_tensor((-1.0, 1.0))
    pick = chosen[:, None, None]
    return torch.where(pick[..., None], pictures.flip(3), pictures), torch.where(pick, other, landmarks)


def jittered(squares: Tensor, faces: Tensor, rng: DeviceRng) -> Tensor:
    """Aligned squares (N, 4) moved about: a little where they shall show a face, else so far that they do not."""
    count = len(squares)
    near = SHIFT * (rng.rand(count, 2) * 2 - 1)
    angle = 2 * math.pi * rng.rand(count, 1)
    far = (1.0 + 1.5 * rng.rand(count, 1)) * torch.cat((angle.cos(), angle.sin()), dim=1)
    zoom = ZOOM * (rng.rand(count, 1) * 2 - 1)
    wrong_zoom = torch.where(rng.rand(count, 1) < 0.5, -1.0 - 0.8 * rng.rand(count, 1), 1.0 + 0.8 * rng.rand(count, 1))
    moved_off = rng.rand(count, 1) < 0.6
    other_shift, other_zoom = torch.where(moved_off, far, near), torch.where(moved_off, zoom, wrong_zoom)
    pick = faces[:, None]
    shift, scale = torch.where(pick, near, other_shift), torch.where(pick, zoom, other_zoom).exp()
    turn = TURN * rng.randn(count, 1).clamp(-2, 2) / 2
    axis = squares[:, 2:]
    centre = squares[:, :2] + shift[:, :1] * axis + shift[:, 1:] * quarter_turn(axis)
    return torch.cat((centre, scale * (axis * turn.cos() + quarter_turn(axis) * turn.sin())), dim=1)


def in_squares(points: Tensor, squares: Tensor) -> Tensor:
    """Points (N, P, 2) of pictures in the coordinates of squares (N, 4) of them."""
    axis = squares[:, None, 2:]
    off, length = points - squares[:, None, :2], axis.square().sum(dim=-1)
    return torch.stack(((off * axis).sum(dim=-1) / length, (off * quarter_turn(axis)).sum(dim=-1) / length), dim=-1)


def cut(pictures: Tensor, squares: Tensor) -> Tensor:
    """Squares (N, 4), NDC, y up, of pictures (N, C, H, W): (N, C, SIDE, SIDE), 0 beyond the pictures."""
    axis = (torch.arange(SIDE) + 0.5) * (2 / SIDE) - 1
    down, across = torch.meshgrid(axis, axis, indexing="ij")
    right, up = squares[:, None, None, 2:], quarter_turn(squares[:, 2:])[:, None, None]
    places = squares[:, None, None, :2] + across[..., None] * right - down[..., None] * up
    return grid_sample(pictures, places * places.new_tensor((1.0, -1.0)), align_corners=False)


def worn(squares: Tensor, rng: DeviceRng) -> Tensor:
    """What cameras and films do: colour, contrast, darkness, blur, grain, something before the face, sometimes no colour."""
    count = len(squares)
    random = lambda low, high, *shape: low + (high - low) * rng.rand(count, *(shape or (1, 1, 1)))
    squares = squares.clamp(0, 1) ** random(-0.6, 0.6).exp() * random(0.7, 1.2, 3, 1, 1)
    grey = squares.mean(dim=1, keepdim=True)
    squares = torch.lerp(grey.expand_as(squares), squares, torch.where(rng.rand(count, 1, 1, 1) < 0.2, 0.0, random(0.5, 1.3)))
    for side in (SIDE // 2, SIDE // 4):
        soft = interpolate(interpolate(squares, size=(side, side), mode="area"), size=(SIDE, SIDE), mode="bilinear")
        squares = torch.where(rng.rand(count, 1, 1, 1) < 0.15, soft, squares)
    return (squares + random(0, 0.08) * rng.randn(*squares.shape)).clamp(0, 1)


def train_face_finder(data: Path, output: Path, images: int, seed: int, world: World, say: Callable[[str], None]) -> dict:
    """Train on the set of whole heads in ``data`` and write the file; the checkpoints lie in a folder of its name beside it.

    Returns what is measured on held-out people.
    """
    task = FinderTask(ImageSet(data, SIZE, ("landmarks",), progress=world.is_main, whole=True), seed, world)
    stage = Stage(batch=BATCH, steps=max(images // BATCH, 1), learning_rate=LEARNING_RATE, warmup_images=WARMUP_STEPS * BATCH)
    key = {"seed": seed, "images": images, "rows": len(task.rows)}
    trainer = Trainer("face finder", task, Plan(seed=seed), [stage], output.with_suffix(""), key, world, say, restart=True)
    trainer.run()
    figures = {"images": len(task.rows), "images seen": trainer.progress.images, "minutes": round(trainer.progress.seconds / 60, 1)}
    figures |= held_out_figures(task)
    if world.is_main:
        task.network.cpu().eval().save(output, {"measured": figures, "license": "GPL-3.0-or-later"})
    return figures


@torch.no_grad()
def held_out_figures(task: FinderTask) -> dict[str, float]:
    """How often it is right about squares of people that it never saw, and the median error of landmarks in pixels of a 256 crop."""
    rng, rows = DeviceRng(1), task.data.rows(held_out=True)
    if not len(rows):
        return {}
    batch = task.draw(rows[np.arange(HELD_OUT) % len(rows)], rng)
    logits, landmarks = task.network.eval()(batch.squares)
    right = ((logits > 0).float() == batch.faces).float().mean()
    off = (landmarks - batch.landmarks).norm(dim=-1)[batch.faces > 0].median() * 128
    return {"right": round(float(right), 4), "landmark_pixels_of_256": round(float(off), 2)}
