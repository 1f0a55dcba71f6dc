"""Face models out of pickles: arrays of numpy, sparse matrices of scipy and arrays of chumpy, without either package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.face.importers.validation import FaceModelError
from models.io.pickles import ArrayNames, ArrayRecord, Budget, Machine, Name, ObjectRecord, PickleError, UnknownName

MAX_DENSE = 16 << 20  # values of a sparse matrix once filled in
SPARSE, CHUMPY = "sparse matrix", "chumpy array"
CLASSES = {
    ("scipy.sparse.csc", "csc_matrix"): SPARSE,
    ("scipy.sparse._csc", "csc_matrix"): SPARSE,
    ("chumpy.ch", "Ch"): CHUMPY,
}


class FaceNames(ArrayNames):
    """What a face model's pickle names."""

    def __init__(self, budget: Budget):
        others: dict[tuple[str, str], Callable | None] = {
            **{name: lambda *_, kind=kind: ObjectRecord(kind) for name, kind in CLASSES.items()},
            **{(module, "object"): None for module in ("__builtin__", "builtins")},
            **{(module, "_reconstructor"): self.remake for module in ("copy_reg", "copyreg")},
        }
        super().__init__(budget, others)

    def remake(self, kind: Any, *_: Any) -> Any:
        """How protocols 0 and 1 make an object of a class: with its base and what that holds."""
        if not isinstance(kind, Name) or (kind.module, kind.name) not in CLASSES:
            raise PickleError("an object is made of no class")
        return self.call(kind, ())


def read_pickle(file: Path, data: bytes) -> Any:
    """What the pickle holds: dictionaries, lists, tuples, texts, numbers and records."""
    try:
        return Machine(memoryview(data), FaceNames(Budget(len(data)))).run()
    except UnknownName as error:
        what = f"asks for {error.name}, which is no part of a face model."
        raise FaceModelError(file, what, "Do not trust this file.") from error
    except PickleError as error:
        raise FaceModelError(file, f"is not a readable pickle: {error}.") from error


def array_of(file: Path, entry: str, value: Any) -> np.ndarray:
    """The array that a value from ``read_pickle`` stands for; sparse matrices are filled in."""
    try:
        return array_from(value)
    except (PickleError, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise FaceModelError(file, f"the entry {entry} is not an array of numbers: {error}.") from error


def array_from(value: Any) -> np.ndarray:
    """``array_of`` without its error."""
    if isinstance(value, ObjectRecord) and value.kind == CHUMPY:
        value = value.content()["x"]
    if isinstance(value, ArrayRecord):
        return value.view()
    if isinstance(value, ObjectRecord) and value.kind == SPARSE:
        return dense(value.content())
    if type(value) in (int, float, bool):
        return np.asarray(value)
    raise TypeError(f"it is a {type(value).__name__}")


def dense(state: dict[str, Any]) -> np.ndarray:
    """A compressed-sparse-column matrix, filled in; shape (rows, columns)."""
    entries = {key.lstrip("_"): value for key, value in state.items()}
    rows, columns = (int(size) for size in entries["shape"])
    starts, places, values = (array_from(entries[key]).ravel() for key in ("indptr", "indices", "data"))
    if rows < 1 or columns < 1 or rows * columns > MAX_DENSE or len(starts) != columns + 1:
        raise ValueError(f"a sparse matrix of {rows} × {columns}")
    counts = np.diff(starts)
    if starts[0] != 0 or (counts < 0).any() or starts[-1] != len(places) or len(places) != len(values):
        raise ValueError("the columns of a sparse matrix overlap")
    if len(places) and (places.min() < 0 or places.max() >= rows):
        raise ValueError("a sparse matrix reaches past its rows")
    matrix = np.zeros((rows, columns))
    np.add.at(matrix, (places, np.repeat(np.arange(columns), counts)), values)
    return matrix
