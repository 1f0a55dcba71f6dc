"""numpy's arrays, and objects of classes, as a pickle writes them: frozen records, checked before they are used.

A record copies nothing out of the file until its values are asked for, so that the parts of a
file that nobody needs cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from models.io.pickles.limits import Budget, PickleError
from models.io.pickles.names import ListedNames, shown

MOST_DIMENSIONS = 8
LARGEST_SIZE = 2**40
KINDS = frozenset("f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1".split())


def whole_numbers(values: Any, name: str) -> tuple[int, ...]:
    """A tuple of at most eight plain integers of a believable size."""
    if not isinstance(values, tuple) or len(values) > MOST_DIMENSIONS:
        raise PickleError(f"an array's {name} is not a short tuple")
    for value in values:
        if type(value) is not int or not 0 <= value <= LARGEST_SIZE:
            raise PickleError(f"an array's {name} holds something else than sizes")
    return values


class ArrayType:
    """A numpy type; BUILD gives its byte order. That it is of plain numbers is asked when they are."""

    __slots__ = ("kind", "order")

    def __init__(self, kind: Any):
        self.kind = kind.lstrip("<|=") if isinstance(kind, str) else kind
        self.order: str | None = "<"

    def fill(self, state: Any) -> None:
        """``state`` is (version, byte order, subtype, names, fields, size, alignment, flags)."""
        if not isinstance(state, tuple) or len(state) < 5 or not isinstance(state[1], str):
            raise PickleError("it has an array type that is filled in a way that numpy does not")
        composed = any(part is not None for part in state[2:5])
        self.order = None if composed else ">" if state[1] == ">" else "<"

    @property
    def size(self) -> int:
        """Bytes of one number."""
        if not isinstance(self.kind, str) or self.kind not in KINDS or self.order is None:
            raise PickleError(f"it has an array of the type {shown(self.kind)}, expected plain numbers")
        return int(self.kind[1])

    def numbers(self, data: Any, count: int) -> np.ndarray:
        """The ``count`` numbers in ``data``, as a view of it."""
        if not isinstance(data, (bytes, memoryview)) or len(data) != count * self.size:
            raise PickleError(f"{count} numbers have the wrong number of bytes")
        return np.frombuffer(data, f"{self.order}{self.kind}")


class Record:
    """What a pickle makes first and fills in by BUILD afterwards, once."""

    __slots__ = ("_content",)

    def __init__(self) -> None:
        self._content: Any = None

    def keep(self, content: Any) -> None:
        if self._content is not None:
            raise PickleError("it fills in twice what is filled in once")
        self._content = content

    def content(self) -> Any:
        if self._content is None:
            raise PickleError("it has something that was never filled in")
        return self._content


class ArrayRecord(Record):
    """A numpy array; that it is one of numbers, as many as its shape says, is checked when they are asked for."""

    __slots__ = ()

    def fill(self, state: Any) -> None:
        """``state`` is numpy's (version, shape, type, is column-major, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], ArrayType):
            raise PickleError("an array is filled in a way that numpy does not")
        self.keep(state)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes that its bytes are known to fill."""
        _, shape, kind, _, data = self.content()
        shape = whole_numbers(shape, "shape")
        # Python 2 wrote bytes as texts.
        if not isinstance(data, (bytes, memoryview, str)) or math.prod(shape) * kind.size != len(data):
            raise PickleError(f"an array of shape {shape} does not hold so many numbers")
        return shape

    def view(self) -> np.ndarray:
        """The values, not to be changed: they lie in the file's own bytes where that can be."""
        shape = self.shape
        _, _, kind, fortran, data = self.content()
        return kind.numbers(latin(data), math.prod(shape)).reshape(shape, order="F" if fortran is True else "C")

    def array(self) -> np.ndarray:
        """The values as a new array, in this machine's byte order."""
        values = self.view()
        return np.array(values, values.dtype.newbyteorder("="))


class ObjectRecord(Record):
    """An object of a class that nobody needs but for its attributes; ``kind`` says which."""

    __slots__ = ("kind",)

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def fill(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise PickleError(f"its {self.kind} has no attributes")
        self.keep(state)


def latin(data: Any) -> Any:
    """Bytes that may have come as a text of Latin-1 letters."""
    if not isinstance(data, str):
        return data
    try:
        return data.encode("latin-1")
    except UnicodeEncodeError as error:
        raise PickleError("it has bytes that are none") from error


def array_from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> ArrayRecord:
    """How protocol 5 writes arrays."""
    if order not in ("C", "F"):
        raise PickleError("an array is laid out in an unknown way")
    record = ArrayRecord()
    record.fill((1, shape, kind, order == "F", data))
    return record


def scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, ArrayType):
        raise PickleError("a number has no type")
    return kind.numbers(latin(data), 1)[0].item()


class ArrayNames(ListedNames):
    """The names of numpy's arrays and numbers, and ``others``."""

    def __init__(self, budget: Budget, others: dict[tuple[str, str], Callable | None] | None = None):
        super().__init__(budget, {
            ("numpy", "dtype"): lambda kind, *_: ArrayType(kind),
            ("numpy", "ndarray"): None,
            **{(f"numpy.{core}.multiarray", "scalar"): scalar for core in ("core", "_core")},
            **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: ArrayRecord() for core in ("core", "_core")},
            **{(f"numpy.{core}.numeric", "_frombuffer"): array_from_buffer for core in ("core", "_core")},
            ("_codecs", "encode"): self.encode,
            **(others or {}),
        })  # fmt: skip

    def encode(self, value: Any, encoding: Any) -> bytes:
        """How protocol 2 writes bytes: as a text of Latin-1 letters."""
        if not isinstance(value, str) or encoding != "latin1":
            raise PickleError("it encodes a text in an unknown way")
        self.budget.copy(len(value))
        return latin(value)
