"""Several sets of whole heads as one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from models.data.image_folder import ImageFolder, open_folder
from models.data.image_set import HELD_OUT_EVERY
from models.errors import StyleRigError
from models.io.atomic_write import write_atomic
from models.synthetic.dataset import picture_path

SAME = ("format", "head", "shots", "latents", "layout", "parameters", "classes")  # what sets have to share


def join(folders: Sequence[Path], output: Path) -> int:
    """Put the pictures of the sets with their truth into ``output``, and an index of all of them; returns how many there are.

    The first set keeps its numbers, the others' follow, so that whoever was held out still is. Raises StyleRigError for sets that
    do not belong together.
    """
    sets = [open_folder(folder) for folder in folders]
    indices = [index_of(source) for source in sets]
    for source, index in zip(sets, indices, strict=True):
        if different := [name for name in SAME if index.get(name) != indices[0].get(name)]:
            raise other_kind(source.folder, folders[0], different)
    first = found = 0
    for source, index in zip(sets, indices, strict=True):
        for entry in source.entries():
            put(entry.picture, picture_path(output, first + entry.number))
            found += 1
        first += whole_people(index["count"], index["shots"])
    sizes = [size for index in indices for size in (index["size"], index.get("large_size", index["size"]))]
    joined = {
        name: indices[0][name] for name in indices[0] if name in SAME or all(index.get(name) == indices[0][name] for index in indices)
    }
    write_atomic(
        output / "index.json", json.dumps(joined | {"size": min(sizes), "large_size": max(sizes), "count": first}, indent=1).encode()
    )
    return found


def index_of(source: ImageFolder) -> dict[str, Any]:
    if not source.shows_whole_heads or source.index is None:
        raise StyleRigError(
            f"{source.folder} is no set of whole heads.", "Name sets of this version's models.synthetic.", code="bad_training_data"
        )
    return source.index


def whole_people(count: int, shots: int) -> int:
    """``count`` pictures, rounded up so that the person after them is one of those who are held out as the first is."""
    return -(-count // (shots * HELD_OUT_EVERY)) * shots * HELD_OUT_EVERY


def put(picture: Path, place: Path) -> None:
    """The truth first: a picture that is there is whole."""
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    for source, target in ((picture.with_suffix(".npz"), place.with_suffix(".npz")), (picture, place)):
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another disk, or one without links
            write_atomic(target, partial(shutil.copyfile, source))


def other_kind(folder: Path, first: Path, different: list[str]) -> StyleRigError:
    return StyleRigError(
        f"{folder} and {first} do not belong together: {', '.join(different)} differ.",
        "Join sets that one version of models.synthetic made.",
        code="other_set",
    )
