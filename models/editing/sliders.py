"""Attributes of a portrait: directions by their names, each by an amount."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from models.editing.directions import Directions, check_directions, generator_hash, load_directions, move
from models.editing.errors import bad_directions, unknown_attribute
from models.generators import Generator

SUFFIX = "-directions.safetensors"


def attribute_ranges(sets: Sequence[Directions]) -> dict[str, tuple[float, float]]:
    """Name -> how far it goes, of several sets; of two with one name the later counts."""
    return {name: span for found in sets for name, span in zip(found.header.names, found.header.ranges, strict=True)}


def check_attributes(sets: Sequence[Directions], names: Iterable[str]) -> None:
    """Raise StyleRigError for a name that none of the sets has."""
    known = attribute_ranges(sets)
    for name in names:
        if name not in known:
            raise unknown_attribute(name, known)


def slide(generator: Generator, w: Tensor, sets: Sequence[Directions], amounts: Mapping[str, float]) -> Tensor:
    """w (N, num_ws, w_dim) with attributes changed by ``amounts``, each kept within its range. A pure function.

    Raises StyleRigError for an attribute that there is not.
    """
    check_attributes(sets, amounts)
    left = dict(amounts)
    for found in reversed(sets):
        spans = zip(found.header.names, found.header.ranges, strict=True)
        chosen = [min(max(float(left.pop(name)), low), high) if name in left else 0.0 for name, (low, high) in spans]
        if any(chosen):
            w = move(generator, w, found, chosen)
    return w


def shipped_directions(generator: Generator, folder: Path) -> Directions | None:
    """The directions in ``folder`` that belong to a generator, by its hash; None where no file there does.

    Raises StyleRigError for a file that cannot be read.
    """
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    mine = generator_hash(generator) if paths else ""
    for path in paths:
        found = load_directions(path)
        if found.header.generator == mine:
            check_directions(found, path, generator)
            check_usable(found, path)
            return found
    return None


def check_usable(directions: Directions, name: str | Path) -> None:
    """Raise StyleRigError, which calls them ``name``, for directions that cannot be sliders: those in Z move no portrait."""
    if directions.header.space != "w":
        raise bad_directions(name, "they are directions in Z, which move no portrait", "Make them again in W.")
