"""The images that looks learn from: pairs, images of domains, and images with labels.

A folder is the studio's set, whose truth says what each image shows, or one of pictures, whose sub-folders say it.
Images are RGB (N, 3, R, R) in [-1, 1], over the backdrop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.colour import over_backdrop
from models.data.image_set import ImageSet, InfiniteShuffle
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.training.translation.attributes import attributes_of
from models.training.translation.framing import Framing
from models.training.translation.made import MADE, line_drawing, made_of


@dataclass(eq=False)
class Images:
    """Images of one kind, ``rows`` of a set of pictures, in an endless order that depends on ``seed``.

    ``made``: what of MADE the images are made into.
    """

    name: str
    pictures: ImageSet
    rows: np.ndarray
    seed: int
    made: str = "photo"

    def __post_init__(self) -> None:
        held_out = np.isin(self.rows, self.pictures.rows(held_out=True))
        self.training, self.held_out = self.rows[~held_out], self.rows[held_out]
        self.shuffle = InfiniteShuffle(self.seed)
        if not len(self.training):
            raise bad_data(self.pictures, f"there is none of {self.name!r} to learn from")

    def __len__(self) -> int:
        return len(self.training)

    def places(self, start: int, count: int) -> np.ndarray:
        """The rows of the training's images number ``start`` and those that follow."""
        return self.training[self.shuffle.take(start, count, len(self.training))]

    def of(self, rows: np.ndarray) -> Tensor:
        """The images of rows."""
        shown = self.pictures.batch(rows)[0].mul(0.5).add(0.5)
        if self.made == "drawing":
            return line_drawing((shown[:, :3] + 1 - shown[:, 3:]).mul(2).sub(1))  # over white
        return MADE[self.made](over_backdrop(shown[:, :3], shown[:, 3:]).mul(2).sub(1))

    def example_rows(self, count: int) -> np.ndarray:
        """Up to ``count`` of the images that are held out, evenly spread; where there are none, of those that are not."""
        rows = self.held_out if len(self.held_out) else self.training
        return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]

    def examples(self, count: int) -> Tensor:
        """The images of ``example_rows``."""
        return self.of(self.example_rows(count))


def open_images(folder: Path, framing: Framing, seed: int, progress: bool) -> Images:
    """All images of a folder."""
    pictures = framing.open(folder, progress)
    return Images(folder.name, pictures, np.arange(len(pictures)), seed)


def open_pairs(folders: Sequence[Path], framing: Framing, seed: int, progress: bool) -> list[Images]:
    """One folder, or two with pictures of the same names: inputs and outputs. Raises StyleRigError where they do not fit."""
    if len(folders) > 2:
        raise bad_count(folders, "one, from which the inputs are made, or two: inputs and outputs")
    opened = [open_images(folder, framing, seed, progress) for folder in folders]
    names = [[entry.picture.stem for entry in images.pictures.source.entries()] for images in opened]
    if len(names) == 2 and names[0] != names[1]:
        odd = sorted(set(names[0]) ^ set(names[1]))
        raise bad_data(opened[0].pictures, f"its pictures and those in {folders[1]} have other names ({', '.join(odd[:3])})")
    return opened


def open_domains(folders: Sequence[Path], names: Sequence[str], framing: Framing, seed: int, progress: bool) -> list[Images]:
    """The images of each domain: of each folder; or of one, by the studio's truth or by its sub-folders.

    Of names of MADE each person's pictures are made into one. Pictures that show none or several of the ``names`` are left out.
    Raises StyleRigError for names that are not there.
    """
    if len(folders) > 1:
        if len(names) not in (0, len(folders)):
            raise bad_count(folders, f"one, or one for each of {', '.join(names)}")
        opened = [open_images(folder, framing, seed + index, progress) for index, folder in enumerate(folders)]
        for images, name in zip(opened, names, strict=False):
            images.name = name
        return opened
    pictures = framing.open(folders[0], progress)
    if names and set(names) <= MADE.keys() and not any((pictures.source.folder / name).is_dir() for name in names):
        places = made_of(pictures.source.people(pictures.numbers), len(names))
        return [Images(name, pictures, np.flatnonzero(places == index), seed + index, name) for index, name in enumerate(names)]
    shows = labels_of(pictures, names)
    alone = shows & (shows.sum(axis=1, keepdims=True) == 1)
    return [Images(name, pictures, np.flatnonzero(alone[:, index]), seed + index) for index, name in enumerate(names)]


def labels_of(pictures: ImageSet, names: Sequence[str]) -> np.ndarray:
    """What each picture shows of ``names``: (M, names) bool."""
    return attributes_of(pictures, names) if pictures.paired else sub_folders_of(pictures, names)


def sub_folders_of(pictures: ImageSet, names: Sequence[str]) -> np.ndarray:
    """Which of the sub-folders ``names`` each picture is in: (M, names) bool."""
    source = pictures.source
    folders = {entry.number: entry.picture.relative_to(source.folder).parts[0] for entry in source.entries()}
    if missing := [name for name in names if not (source.folder / name).is_dir()]:
        there = ", ".join(sorted({name for name in folders.values() if (source.folder / name).is_dir()})) or "none"
        raise bad_data(pictures, f"it has no folder {missing[0]!r} in it (there are: {there})")
    return np.array([[folders[number] == name for name in names] for number in pictures.numbers.tolist()])


@dataclass(eq=False)
class Labelled:
    """Images and what they show: ``labels`` (M, C) float32, by row of the pictures; of ``exclusive`` ones each image has one."""

    images: Images
    labels: Tensor
    exclusive: bool

    def take(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """The training's images number ``start`` and those that follow, and their labels (N, C)."""
        rows = self.images.places(start, count)
        return self.images.of(rows), self.labels[rows]


def open_labelled(
    folders: Sequence[Path], label_sets: Sequence[Sequence[str]], framing: Framing, seed: int, progress: bool
) -> list[Labelled]:
    """A folder for each set of labels. Raises StyleRigError where they do not fit."""
    if len(folders) != len(label_sets):
        raise bad_count(folders, f"{len(label_sets)}, one for each of generator.label_sets")
    return [open_labels(*each, framing, seed + index, progress) for index, each in enumerate(zip(folders, label_sets, strict=True))]


def open_labels(folder: Path, names: Sequence[str], framing: Framing, seed: int, progress: bool) -> Labelled:
    pictures = framing.open(folder, progress)
    shows = labels_of(pictures, names)
    rows = np.arange(len(pictures)) if pictures.paired else np.flatnonzero(shows.any(axis=1))
    return Labelled(Images(folder.name, pictures, rows, seed), torch.from_numpy(shows).float(), exclusive=not pictures.paired)


# Changes by chance


def flipped(images: Tensor, rng: DeviceRng) -> Tensor:
    """Half of them mirrored."""
    return torch.where(rng.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)


def jittered(images: Tensor, rng: DeviceRng, enlarge: float, crop: int = 0) -> Tensor:
    """Enlarged, and cut back to their size, or to ``crop``, at the same place in all (pix2pix's and CycleGAN's preparation)."""
    size = crop or images.shape[-1]
    large = round(images.shape[-1] * enlarge)
    if large == size:
        return images
    row, column = rng.randint(0, large - size + 1, 2).tolist()
    large_images = images if large == images.shape[-1] else resized(images, large)
    return large_images[:, :, row : row + size, column : column + size]


def cropped(images: Tensor, rng: DeviceRng, share: float) -> Tensor:
    """A part of each, 0.8 to 1 of its area and 0.9 to 1.1 as wide as high, fills it; so many of them (StarGAN v2's preparation)."""
    size = images.shape[-1]
    chosen = rng.rand(len(images)) < share
    area, ratio, across, down = (
        0.8 + 0.2 * rng.rand(len(images)),
        0.9 + 0.2 * rng.rand(len(images)),
        rng.rand(len(images)),
        rng.rand(len(images)),
    )
    width, height = ((size * (area * factor).sqrt()).clamp(max=size).int() for factor in (ratio, 1 / ratio))
    column, row = ((across * (size - width + 1)).int(), (down * (size - height + 1)).int())
    places = torch.stack([row, row + height, column, column + width], dim=1).tolist()
    parts = [
        resized(image[None, :, top:bottom, left:right], size) if take else image[None]
        for image, take, (top, bottom, left, right) in zip(images, chosen.tolist(), places, strict=True)
    ]
    return torch.cat(parts)


def resized(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)


def bad_data(pictures: ImageSet, reason: str) -> StyleRigError:
    return StyleRigError(
        f"The pictures in {pictures.source.folder} cannot be used: {reason}.",
        "Choose other data, or other names in the plan.",
        code="bad_training_data",
    )


def bad_count(folders: Sequence[Path], wanted: str) -> StyleRigError:
    return StyleRigError(f"{len(folders)} folders are given as data.", f"Give {wanted}.", code="bad_training_data")
