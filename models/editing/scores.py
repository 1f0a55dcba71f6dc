"""Scores of attributes: what a person supplies for pictures of seeds."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.editing.errors import bad_scores
from models.io.regular_file import UnreadableFile, read_text
from models.seeds import LARGEST_SEED

LARGEST_FILE = 512 << 20
MOST_ATTRIBUTES = 200
HINT = "The file has a line of names, seed,age,smile and so on, and then for each seed a line of numbers; an empty cell is no score."


@dataclass(frozen=True, eq=False)
class Scores:
    """``values`` (N, M) float32 of N codes by M ``names``; NaN is no score."""

    names: tuple[str, ...]
    values: Tensor

    def column(self, name: str) -> Tensor:
        """The scores (N,) of an attribute; raises StyleRigError for one that there is none of."""
        if name not in self.names:
            raise bad_scores(f"there is no attribute {name!r}", f"There are {', '.join(self.names)}.")
        return self.values[:, self.names.index(name)]


def read_scores(path: str | Path) -> tuple[list[int], Scores]:
    """Seeds and scores from a CSV file with a column ``seed`` and one for each attribute.

    Raises StyleRigError for a file that is no such table, and says in which line it is wrong.
    """
    try:
        text = read_text(path, LARGEST_FILE)
    except UnreadableFile as error:
        raise bad_scores(f"{path}: {error.reason}", HINT) from error
    lines = csv.reader(text.splitlines())
    names = read_names(path, next(lines, []))
    place = names.index("seed")
    seeds: dict[int, int] = {}  # seed -> its line
    values: list[list[float]] = []
    try:
        for number, cells in enumerate(lines, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise bad_scores(f"{path} has {len(cells)} cells in line {number}, {len(names)} in the first", HINT)
            seed = read_seed(path, number, cells.pop(place))
            if seed in seeds:
                raise bad_scores(f"{path} has the seed {seed} in the lines {seeds[seed]} and {number}", HINT)
            seeds[seed] = number
            values.append([read_number(path, number, cell) for cell in cells])
    except csv.Error as error:
        raise bad_scores(f"{path} is no table ({error})", HINT) from error
    if not seeds:
        raise bad_scores(f"{path} has no lines of numbers", HINT)
    names.remove("seed")
    return list(seeds), Scores(tuple(names), torch.tensor(values, dtype=torch.float32).reshape(len(seeds), len(names)))


def read_names(path: str | Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if "seed" not in names or len(names) < 2:
        raise bad_scores(f"{path} lacks the column seed, or has no other", HINT)
    if len(set(names)) != len(names) or not all(0 < len(name) <= 64 and name.isprintable() for name in names):
        raise bad_scores(f"{path} has columns without a name, or two of the same", HINT)
    if len(names) > MOST_ATTRIBUTES:
        raise bad_scores(f"{path} has {len(names)} columns, more than {MOST_ATTRIBUTES}", HINT)
    return names


def read_seed(path: str | Path, number: int, cell: str) -> int:
    cell = cell.strip()
    if not (cell.isascii() and cell.isdecimal() and len(cell) <= 19 and int(cell) <= LARGEST_SEED):
        raise bad_scores(f"{path} has {cell[:30]!r} in line {number}, which is no seed", HINT)
    return int(cell)


def read_number(path: str | Path, number: int, cell: str) -> float:
    """A cell's number; NaN where it is empty."""
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e30:
        raise bad_scores(f"{path} has {cell[:30]!r} in line {number}, which is no number", HINT)
    return value
