"""The studio's rendered portraits with their exact truth, in two halves that share no picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.data.image_folder import open_folder
from models.data.image_set import ImageSet
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.face import FaceModel
from models.face.landmarks import MIRRORED_LANDMARKS
from models.face.own_head.measurements import mirrored_name
from models.face.parameters import RigParameters
from models.perception.face_regressor import SIZE

HALVES = ("training", "evaluation")  # people of even and of odd number
HELD_OUT = 16  # every 16th person of a half is kept for validation


ODD_LIGHT = (3, 4, 7)  # harmonics with x: other signs in the mirror


class Mirror:
    """What a picture's truth is after the picture was mirrored, but for identity, reflectance and looks.

    ``known`` is False for a face model with an expression of one side that the other lacks.
    """

    def __init__(self, face: FaceModel):
        places, names = RigParameters.slices(face), face.expression_names
        self.order = torch.arange(places["translation"].stop)
        first = places["expression"].start
        self.known = all(mirrored_name(name) in names for name in names)
        if self.known:
            self.order[places["expression"]] = torch.tensor([first + names.index(mirrored_name(name)) for name in names])
        self.sign = torch.ones(len(self.order))
        self.sign[places["light"]].view(9, 3)[list(ODD_LIGHT)] = -1
        self.sign[[places["rotation"].start, places["rotation"].start + 2, places["translation"].start]] = -1

    def parameters(self, vectors: Tensor) -> Tensor:
        """Of mirrored heads (N, P)."""
        return vectors[:, self.order.to(vectors.device)] * self.sign.to(vectors.device)

    def landmarks(self, points: Tensor) -> Tensor:
        """Of mirrored pictures (N, 68, 2)."""
        return points[:, list(MIRRORED_LANDMARKS)] * points.new_tensor((-1.0, 1.0))


@dataclass(eq=False)
class Batch:
    """Pictures with alpha and their truth."""

    images: Tensor  # (N, 4, H, W) premultiplied sRGB 0–1
    parameters: Tensor  # (N, P) vectors of RigParameters
    landmarks: Tensor  # (N, 68, 2) NDC, y up
    looks: Tensor  # (N, Q) the scene's numbers of hair, age, clothes and the like; Q may be 0

    def mirrored(self, mirror: Mirror, chosen: Tensor) -> Batch:
        """Those ``chosen`` (N,) bool as a mirror shows them. Who the person is keeps its numbers, which are then not true."""
        picture, face = chosen.view(-1, 1, 1, 1), chosen.view(-1, 1)
        return Batch(
            torch.where(picture, self.images.flip(3), self.images),
            torch.where(face, mirror.parameters(self.parameters), self.parameters),
            torch.where(face.unsqueeze(2), mirror.landmarks(self.landmarks), self.landmarks),
            self.looks,
        )


class StudioImages:
    """One half of a set that models.synthetic rendered: people of even number train the rig, of odd the network
    that judges it, so that both stay apart also when pictures are added.

    Pictures are shrunk to what the estimators see; batches of them come on ``device``. Raises StyleRigError when the set cannot be used or
    its truth does not have ``size`` parameters.
    """

    def __init__(self, folder: Path, half: str, size: int, device: torch.device | str = "cpu"):
        source = open_folder(folder)
        if source.shapes().get("parameters") != (size,):
            found = source.shapes().get("parameters", ("no",))[0]
            raise StyleRigError(
                f"The pictures in {folder} come with {found} parameters, this face model has {size}.",
                "Render a set with python -m models.synthetic, for the same face model.",
                code="bad_pictures",
            )
        smaller = SIZE if source.size % SIZE == 0 else 0
        self.half, self.device = half, device
        self.set = ImageSet(folder, smaller, fields=("parameters", "landmarks", "latent"))
        self.looks = slice(*(source.index or {})["layout"].get("looks", (0, 0)))
        people = source.people(self.set.numbers)
        mine = np.flatnonzero(people % 2 == HALVES.index(half))
        held = people[mine] // 2 % HELD_OUT == HELD_OUT - 1
        self.train, self.held_out = mine[~held], mine[held]

    def __len__(self) -> int:
        return len(self.train)

    def numbers(self) -> set[int]:
        """The numbers of all pictures of this half."""
        return set(self.set.numbers[np.concatenate((self.train, self.held_out))].tolist())

    def sample(self, count: int, rng: DeviceRng) -> Batch:
        """Pictures for training, drawn with replacement."""
        return self.batch(self.train[rng.on("cpu").randint(0, len(self.train), count).numpy()])

    def batch(self, rows: np.ndarray) -> Batch:
        """The pictures at ``rows`` (N,) of the set, from the processor's memory to the device."""
        images = torch.from_numpy(self.set.pictures[rows]).to(self.device).permute(0, 3, 1, 2).float() / 255
        return Batch(images, *(part.to(self.device) for part in self.labels_of(rows)))

    def labels_of(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Parameters (M, P), landmarks (M, 68, 2) and looks (M, Q) of pictures, on the processor."""
        parameters, landmarks, latent = (self.set.truth[name][rows] for name in ("parameters", "landmarks", "latent"))
        tensor = lambda part: torch.from_numpy(np.ascontiguousarray(part))
        return tensor(parameters), tensor(landmarks), tensor(latent[:, self.looks])

    def labels(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same of all pictures for training."""
        return self.labels_of(self.train)


def uniform(count: int, low: float, high: float, rng: DeviceRng) -> Tensor:
    """(count, 1, 1, 1) numbers between ``low`` and ``high``."""
    return low + (high - low) * rng.rand(count, 1, 1, 1)


def over_backgrounds(images: Tensor, rng: DeviceRng, neutral: float = 0.5) -> Tensor:
    """RGBA (N, 4, H, W) -> RGB over smooth random colours; a share ``neutral`` lies over grey 0.5."""
    count = len(images)
    colours = rng.rand(count, 3, 3, 3)
    smooth = interpolate(colours, size=images.shape[2:], mode="bilinear", align_corners=True)
    grey = (rng.rand(count, 1, 1, 1) < neutral).float()
    background = 0.5 * grey + smooth * (1 - grey)
    return images[:, :3] + (1 - images[:, 3:]) * background


def degrade(images: Tensor, rng: DeviceRng) -> Tensor:
    """Soften half of the batch (a generator's pictures are softer than rendered ones) and add noise."""
    size = images.shape[-1]
    small = int(size / (1 + 2.5 * rng.on("cpu").rand()))
    soft = interpolate(images, size=(small, small), mode="bilinear", antialias=True, align_corners=False)
    soft = interpolate(soft, size=(size, size), mode="bicubic", align_corners=False)
    chosen = (rng.rand(len(images), 1, 1, 1) < 0.5).float()
    mixed = images + chosen * (soft - images)
    noise = rng.randn(*images.shape) * uniform(len(images), 0, 0.03, rng)
    return (mixed + noise).clamp(0, 1)
