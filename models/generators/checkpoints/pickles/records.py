"""What the names in a checkpoint become: frozen records whose numbers are checked before they are used.

A record copies nothing out of the file until its values are asked for, so that the parts of a
checkpoint that nobody needs (discriminator, optimiser) cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.io.pickles import ObjectRecord, PickleError, whole_numbers


class ModuleRecord(ObjectRecord):
    """One module of a network: its class's name and its attributes."""

    __slots__ = ()

    @classmethod
    def from_meta(cls, meta: Any) -> ModuleRecord:
        """As NVIDIA's torch_utils.persistence writes it."""
        if not isinstance(meta, dict) or not isinstance(meta.get("class_name"), str):
            raise PickleError("it has a module without a class name")
        if not isinstance(meta.get("state"), dict):
            raise PickleError("it has a module without attributes")
        record = cls(meta["class_name"])
        record.fill(meta["state"])
        return record

    @property
    def class_name(self) -> str:
        return self.kind

    @property
    def state(self) -> dict[str, Any]:
        return self.content()

    def part(self, name: str) -> dict[str, Any]:
        """The dictionary ``_parameters``, ``_buffers`` or ``_modules``; empty where there is none."""
        value = self.state.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise PickleError(f"{self.class_name}'s {name} are not a table of names")
        return value


class NetworkRecord(ObjectRecord):
    """A dnnlib.tflib Network: version, static_kwargs, components, variables (and source text, which nobody runs)."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("network")


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """``count`` numbers of a numpy type ("bf16" for bfloat16), little-endian; ``load`` gives their bytes."""

    kind: str
    count: int
    load: Callable[[], memoryview]

    def view(self, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        """float32 copy of the elements of a view that is known to lie inside."""
        kind = "<i2" if self.kind == "bf16" else f"<{self.kind}"
        numbers = np.frombuffer(self.load(), kind)[offset:]
        steps = [step * numbers.itemsize for step in stride]
        # Only what the view holds is copied: many small views may share one large storage.
        values = torch.from_numpy(np.array(np.lib.stride_tricks.as_strided(numbers, shape, steps), order="C"))
        return (values.view(torch.bfloat16) if self.kind == "bf16" else values).float()


def storage_record(kind: str, count: int, length: int, load: Callable[[], memoryview]) -> StorageRecord:
    """A storage of ``length`` bytes, which must be what its numbers take."""
    if length != count * item_size(kind):
        raise PickleError(f"a tensor's data has {length} bytes, expected {count} x {item_size(kind)}")
    return StorageRecord(kind, count, load)


def item_size(kind: str) -> int:
    return 2 if kind == "bf16" else int(kind[1])


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
    for step, size in sorted((step, size) for size, step in zip(shape, stride, strict=False) if size > 1):
        if step <= reach:
            raise PickleError(f"a tensor of shape {shape} overlaps itself by its strides {stride}")
        reach += step * (size - 1)
    if offset + reach >= storage.count:
        raise PickleError(f"a tensor of shape {shape}, strides {stride} and offset {offset} reaches outside its {storage.count} numbers")
    return TensorRecord(storage, offset, shape, stride)
