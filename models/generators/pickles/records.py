"""What a pickle's names become: frozen records whose numbers are checked before they are used.

A record copies nothing out of the file until its values are asked for, so that the parts of a
checkpoint that nobody needs (discriminator, optimiser) cost nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.generators.pickles.machine import PickleError

MOST_DIMENSIONS = 8
LARGEST_SIZE = 2**40
ARRAY_TYPES = frozenset("f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1".split())


def shown(value: Any) -> str:
    """A value out of the file, fit for a message."""
    return repr(value)[:60] if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """One module of NVIDIA's torch_utils.persistence: its class's name and its attributes."""

    class_name: str
    state: dict[str, Any]

    @classmethod
    def from_meta(cls, meta: Any) -> ModuleRecord:
        if not isinstance(meta, dict) or not isinstance(meta.get("class_name"), str):
            raise PickleError("it has a module without a class name")
        if not isinstance(meta.get("state"), dict):
            raise PickleError("it has a module without attributes")
        return cls(meta["class_name"], meta["state"])

    def part(self, name: str) -> dict[str, Any]:
        """The dictionary ``_parameters``, ``_buffers`` or ``_modules``; empty where there is none."""
        value = self.state.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise PickleError(f"{self.class_name}'s {name} are not a table of names")
        return value


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """``count`` numbers of a numpy type ("bf16" for bfloat16), little-endian, as a view of the file."""

    kind: str
    count: int
    data: memoryview

    def view(self, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        """float32 copy of the elements of a view that is known to lie inside."""
        kind = "<i2" if self.kind == "bf16" else f"<{self.kind}"
        numbers = np.frombuffer(self.data, kind)[offset:]
        steps = [step * numbers.itemsize for step in stride]
        # Only what the view holds is copied: many small views may share one large storage.
        values = torch.from_numpy(np.array(np.lib.stride_tricks.as_strided(numbers, shape, steps), order="C"))
        return (values.view(torch.bfloat16) if self.kind == "bf16" else values).float()


def storage_record(kind: str, count: int, data: memoryview) -> StorageRecord:
    size = 2 if kind == "bf16" else int(kind[1])
    if len(data) != count * size:
        raise PickleError(f"a tensor's data has {len(data)} bytes, expected {count} x {size}")
    return StorageRecord(kind, count, data)


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A view of a storage: every element lies inside it, and no two share a place."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self) -> Tensor:
        """The values as a new float32 tensor."""
        return self.storage.view(self.offset, self.shape, self.stride)


def tensor_record(storage: Any, offset: Any, shape: Any, stride: Any) -> TensorRecord:
    """Raises PickleError unless the view lies inside its storage without overlap.

    Sorted by stride, each step must pass over all that the smaller steps reach: true for
    every permutation of a contiguous tensor, and what keeps a huge shape from a small file.
    """
    if not isinstance(storage, StorageRecord):
        raise PickleError("a tensor has no storage")
    shape, stride = whole_numbers(shape, "shape"), whole_numbers(stride, "stride")
    (offset,) = whole_numbers((offset,), "offset")
    if len(shape) != len(stride):
        raise PickleError(f"a tensor has {len(shape)} sizes but {len(stride)} strides")
    if 0 in shape:
        return TensorRecord(storage, 0, shape, (0,) * len(shape))
    reach = 0
    for step, size in sorted((step, size) for size, step in zip(shape, stride) if size > 1):
        if step <= reach:
            raise PickleError(f"a tensor of shape {shape} overlaps itself by its strides {stride}")
        reach += step * (size - 1)
    if offset + reach >= storage.count:
        raise PickleError(
            f"a tensor of shape {shape}, strides {stride} and offset {offset} "
            f"reaches outside its {storage.count} numbers"
        )
    return TensorRecord(storage, offset, shape, stride)


def whole_numbers(values: Any, name: str) -> tuple[int, ...]:
    """A tuple of at most eight plain integers of a believable size."""
    if not isinstance(values, tuple) or len(values) > MOST_DIMENSIONS:
        raise PickleError(f"an array's {name} is not a short tuple")
    for value in values:
        if type(value) is not int or not 0 <= value <= LARGEST_SIZE:
            raise PickleError(f"an array's {name} holds something else than sizes")
    return values


@dataclass(frozen=True, slots=True)
class ArrayType:
    """A numpy type of plain numbers, little-endian."""

    kind: str

    def one(self, data: Any) -> Any:
        """The single value in ``data`` as a Python number."""
        if not isinstance(data, (bytes, memoryview)) or len(data) != int(self.kind[1]):
            raise PickleError("a number has the wrong number of bytes")
        return np.frombuffer(data, f"<{self.kind}")[0].item()


def array_type(kind: Any) -> ArrayType:
    # Only texts are looked up or shown: nested tuples can take for ever to hash or print.
    if not isinstance(kind, str) or kind not in ARRAY_TYPES:
        raise PickleError(f"it has an array of the type {shown(kind)}")
    return ArrayType(kind)


class ArrayRecord:
    """A numpy array; a pickle makes it first and fills it in with BUILD, once."""

    __slots__ = ("_content",)

    def __init__(self):
        self._content: tuple[tuple[int, ...], ArrayType, bool, Any] | None = None

    def fill(self, state: Any) -> None:
        """``state`` is numpy's (version, shape, type, is column-major, bytes)."""
        if self._content is not None or not isinstance(state, tuple) or len(state) != 5:
            raise PickleError("an array is filled in a way that numpy does not")
        _, shape, kind, fortran, data = state
        shape = whole_numbers(shape, "shape")
        if not isinstance(kind, ArrayType) or not isinstance(data, (bytes, memoryview)):
            raise PickleError("an array holds something else than numbers")
        if math.prod(shape) * int(kind.kind[1]) != len(data):
            raise PickleError(f"an array of shape {shape} has {len(data)} bytes")
        self._content = (shape, kind, bool(fortran), data)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.content()[0]

    def content(self) -> tuple[tuple[int, ...], ArrayType, bool, Any]:
        if self._content is None:
            raise PickleError("an array was never filled in")
        return self._content

    def array(self) -> np.ndarray:
        """The values as a new array."""
        shape, kind, fortran, data = self.content()
        return np.frombuffer(data, f"<{kind.kind}").reshape(shape, order="F" if fortran else "C").copy()


class NetworkRecord:
    """A dnnlib.tflib Network; a pickle makes it first and fills it in with BUILD, once."""

    __slots__ = ("_content",)

    def __init__(self):
        self._content: dict[str, Any] | None = None

    def fill(self, state: Any) -> None:
        if self._content is not None or not isinstance(state, dict):
            raise PickleError("a network is filled in a way that dnnlib does not")
        self._content = state

    def content(self) -> dict[str, Any]:
        """version, static_kwargs, components, variables (and source text, which nobody runs)."""
        if self._content is None:
            raise PickleError("a network was never filled in")
        return self._content
