"""The pictures of a training in memory, with the truth that determines them; the set may still grow."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.data.image_folder import (
    DAMAGE,
    Entry,
    Numbers,
    bad_files,
    cut,
    in_crop,
    open_folder,
    read_picture,
    read_truth,
    shrink,
)
from models.errors import StyleRigError

HELD_OUT_EVERY = 32  # every 32nd person (3.1 %) is held out: the split stays the same while a set grows
FEWEST = 64
WHOLE_NAMES = {"parameters": "aligned"}  # where sets of whole heads keep what belongs to the FFHQ crop
PARTS = ("all", "training", "held out")


def is_held_out(person: Numbers) -> Numbers:
    """Whether a training must never see the pictures of the person of this number (or of each of an array)."""
    return person % HELD_OUT_EVERY == HELD_OUT_EVERY - 1


class ImageSet:
    """All pictures of a folder as premultiplied sRGB uint8 (M, R, R, 4), with the truth's ``fields``.

    ``size`` R: smaller than the files' by a whole factor (box filter), 0 for theirs. ``fields`` are
    of latent, parameters, landmarks; a plain folder has none. ``part`` leaves out the held-out
    pictures or all others, ``most`` reads only so many, evenly spread. Of a set of whole heads the FFHQ crops are
    cut, or with ``whole`` all is read as it is; then there are also the fields camera and body.
    Raises StyleRigError for a folder, index or pictures that cannot be used: nothing is left out silently.
    """

    def __init__(
        self,
        folder: str | Path,
        size: int = 0,
        fields: Iterable[str] = ("latent",),
        part: str = "all",
        most: int = 0,
        progress: bool = True,
        whole: bool = False,
    ):
        if part not in PARTS:
            raise ValueError(f"part is one of {PARTS}, not {part!r}")
        self.source = open_folder(folder)
        self.part, self.progress = part, progress
        if whole and not self.source.shows_whole_heads:
            raise StyleRigError(
                f"The pictures in {self.source.folder} do not show whole heads.",
                "Use a set rendered by this version of models.synthetic.",
                code="bad_training_data",
            )
        self.cuts = self.source.shows_whole_heads and not whole
        shapes = self.source.shapes()
        self.shapes = {name: shapes[name] for name in fields if name in shapes}
        entries = self.wanted()
        if len(entries) < (FEWEST if part == "all" else 1):
            raise too_few(self.source.folder, len(entries), part)
        if most and len(entries) > most:
            entries = [entries[round(i)] for i in np.linspace(0, len(entries) - 1, most)]
        self.file_size = self.source.size or first_size(entries)
        self.size = size or self.file_size
        self.check_size()
        promised = (self.source.index or {}).get("count", 0) if part != "held out" and not most else 0
        self.allocate(max(len(entries), promised))
        if problems := self.load(entries):
            raise bad_files(self.source.folder, problems)

    def wanted(self) -> list[Entry]:
        """The entries of this part that exist now."""
        return [
            entry
            for entry in self.source.entries()
            if self.part == "all" or is_held_out(self.source.people(entry.number)) == (self.part == "held out")
        ]

    def check_size(self) -> None:
        if self.size > self.file_size or self.file_size % self.size:
            raise StyleRigError(
                f"The pictures in {self.source.folder} have {self.file_size} pixels a side, which cannot become {self.size}.",
                "Choose a size that divides theirs, or render larger ones.",
                code="bad_training_data",
            )

    def allocate(self, capacity: int) -> None:
        """Room for as many pictures as the set is to have; the system gives memory only where it is written."""
        self.numbers = np.zeros(0, dtype=np.int64)
        self.buffer = np.empty((capacity, self.size, self.size, 4), dtype=np.uint8)
        self.crops = np.zeros((capacity if self.cuts else 0, 4))
        self.label_buffer = {name: np.empty((capacity, *shape), np.float32) for name, shape in self.shapes.items()}

    @property
    def pictures(self) -> np.ndarray:
        """(M, R, R, 4) uint8, premultiplied sRGB."""
        return self.buffer[: len(self)]

    @property
    def truth(self) -> dict[str, np.ndarray]:
        """Field -> (M, ...) float32."""
        return {name: values[: len(self)] for name, values in self.label_buffer.items()}

    def load(self, entries: list[Entry]) -> list[tuple[Path, str]]:
        """Read ``entries`` behind what is there; returns the files that could not be, with the reason."""
        from tqdm import tqdm

        start = len(self.numbers)
        quiet = None if self.progress else True  # None: only on a terminal
        # Not in threads: numpy parses headers with ``compile``, which in Python 3.11 fails at random when two threads do so at once.
        truths = [self.read_fields(entry, row) for row, entry in enumerate(entries, start)]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            pictures = pool.map(self.read_pixels, entries, range(start, start + len(entries)))
            bar = tqdm(pictures, "reading", len(entries), unit="picture", file=sys.stderr, disable=quiet)
            problems = [
                (entry.picture, reason)
                for entry, *reasons in zip(entries, bar, truths, strict=True)
                if (reason := reasons[0] or reasons[1])
            ]
        if not problems:
            self.numbers = np.concatenate((self.numbers, [entry.number for entry in entries])).astype(np.int64)
        return problems

    def read_pixels(self, entry: Entry, row: int) -> str:
        """Fill one row of the pictures; returns what is wrong, or nothing."""
        try:
            pixels = read_picture(entry.picture, plain=entry.truth is None)
        except DAMAGE as error:
            return describe(error)
        height, width = pixels.shape[:2]
        sides = {self.file_size, *self.source.larger_sizes}
        if height != width or height not in sides:
            return f"it has {height} x {width} pixels, expected {' or '.join(f'{side} x {side}' for side in sorted(sides))}"
        self.buffer[row] = cut(pixels, self.crops[row], self.size) if self.cuts else shrink(pixels, self.size)
        return ""

    def read_fields(self, entry: Entry, row: int) -> str:
        """Fill one row of the truth; returns what is wrong, or nothing."""
        wanted = dict(self.shapes)
        if self.cuts:
            wanted = {WHOLE_NAMES.get(name, name): shape for name, shape in wanted.items()} | {"crop": (4,)}
        if entry.truth is None or not wanted:
            return ""
        try:
            values = read_truth(entry.truth, wanted)
        except DAMAGE as error:
            return describe(error)
        if "crop" in wanted:
            self.crops[row] = values["crop"]
            if "landmarks" in values:
                values["landmarks"] = in_crop(values["landmarks"], values["crop"])
        for name in self.shapes:
            self.label_buffer[name][row] = values[WHOLE_NAMES.get(name, name) if "crop" in wanted else name]
        return ""

    def rescan(self) -> tuple[int, list[tuple[Path, str]]]:
        """Take in pictures rendered since, as far as there is room: how many, and those that cannot be used.

        A damaged one does not end a training that runs: none of its batch is taken until it is put right.
        """
        known = set(self.numbers.tolist())
        new = [entry for entry in self.wanted() if entry.number not in known][: len(self.buffer) - len(self)]
        problems = self.load(new) if new else []
        return (0 if problems else len(new)), problems

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def paired(self) -> bool:
        """Whether every picture has the latent that determines it."""
        return self.latent_dim > 0

    @property
    def latent_dim(self) -> int:
        return self.shapes.get("latent", (0,))[0]

    def rows(self, held_out: bool) -> np.ndarray:
        """Places of the held-out pictures, or of all others."""
        return np.flatnonzero(is_held_out(self.source.people(self.numbers)) == held_out)

    def landmarks(self, rows: np.ndarray) -> Tensor | None:
        """Landmarks (N, 68, 2), x and y in [-1, 1], y up; None where the set has none or they were not read."""
        return torch.from_numpy(self.truth["landmarks"][rows]) if "landmarks" in self.truth else None

    def batch(self, rows: np.ndarray, size: int = 0) -> tuple[Tensor, Tensor]:
        """Pictures (N, 4, size, size) in [-1, 1] and latents (N, S), S = 0 in a plain folder."""
        tensor = as_tensor(self.pictures[rows])
        if size and size != self.size:
            tensor = F.avg_pool2d(tensor, self.size // size)
        latents = self.truth.get("latent")
        return tensor, torch.zeros(len(rows), 0) if latents is None else torch.from_numpy(latents[rows])


def as_tensor(pictures: np.ndarray) -> Tensor:
    """(N, R, R, 4) uint8 -> (N, 4, R, R) in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def describe(error: Exception) -> str:
    return str(error).strip(" .") or type(error).__name__


def first_size(entries: list[Entry]) -> int:
    """The side of the first picture that can be read; the others are held against it."""
    for entry in entries:
        try:
            return read_picture(entry.picture, plain=True).shape[1]
        except DAMAGE:
            continue
    raise bad_files(entries[0].picture.parent, [(entry.picture, "it is no picture") for entry in entries])


def too_few(folder: Path, count: int, part: str) -> StyleRigError:
    what = "pictures" if part == "all" else f"{part} pictures"
    return StyleRigError(
        f"There are {count} {what} in {folder}, at least {FEWEST} are needed in all.",
        "Render more: python -m models.synthetic --people N --output DIR goes on where it stopped.",
        code="no_training_data",
    )


class InfiniteShuffle:
    """Which pictures each step takes: a pure function of the seed and of how many were taken before.

    Goes through all of them in random order, again and again; needs no state in a checkpoint.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.cached: tuple[int, int] = (-1, -1)
        self.shuffled = np.zeros(0, np.int64)

    def take(self, start: int, count: int, among: int) -> np.ndarray:
        """Places 0 … among - 1 of the pictures ``start`` … ``start + count - 1`` of the whole sequence."""
        places = np.arange(start, start + count)
        return np.array([self.round(int(place) // among, among)[place % among] for place in places], np.int64)

    def round(self, number: int, among: int) -> np.ndarray:
        if self.cached != (number, among):
            self.cached = (number, among)
            self.shuffled = np.random.default_rng((self.seed, number)).permutation(among)
        return self.shuffled
