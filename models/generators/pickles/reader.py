"""The names that checkpoints use, and what each stands for here.

The list is closed: NVIDIA's pickles of PyTorch (stylegan2-ada-pytorch and stylegan3, saved with
numpy 1 or 2 and protocols 2 to 5) and of TensorFlow (ProGAN, StyleGAN 1 and 2), torch's own storages inside of
them, and the arguments that training scripts save.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.generators.pickles.machine import Machine, PickleError
from models.generators.pickles.records import (
    ArrayRecord,
    ArrayType,
    ModuleRecord,
    NetworkRecord,
    StorageRecord,
    TensorRecord,
    array_type,
    storage_record,
    tensor_record,
)

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PROTOCOL = 1001
STORAGES = {
    "HalfStorage": "f2", "FloatStorage": "f4", "DoubleStorage": "f8", "BFloat16Storage": "bf16",
    "CharStorage": "i1", "ShortStorage": "i2", "IntStorage": "i4", "LongStorage": "i8",
    "ByteStorage": "u1", "BoolStorage": "b1",
}  # fmt: skip
MISSING = object()


@dataclass(frozen=True, slots=True)
class Name:
    """A name out of the list, as it lies on the machine's stack."""

    module: str
    name: str


class NoNames:
    """Plain data: names nothing. Also what the stricter readers below begin with."""

    def find(self, module: str, name: str) -> Any:
        raise PickleError(f"it names {f'{module}.{name}'[:120]!r}, which no checkpoint needs")

    def call(self, function: Any, arguments: tuple) -> Any:
        raise PickleError("it calls something that cannot be called")

    def build(self, target: Any, state: Any) -> None:
        raise PickleError("it changes something that cannot be changed")

    def persistent(self, identifier: Any) -> Any:
        raise PickleError("it refers to something outside of it")


class StorageNames(NoNames):
    """Inside a torch storage: only the kind of number."""

    def find(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return Name(module, name)
        return super().find(module, name)

    def persistent(self, identifier: Any) -> Any:
        return described_storage(identifier)


def described_storage(identifier: Any) -> tuple[str, str, int]:
    """("storage", kind, key, device, count[, view]) -> (key, numpy type, count)."""
    if not isinstance(identifier, tuple) or len(identifier) not in (5, 6) or identifier[0] != "storage":
        raise PickleError("a tensor's storage is described in an unknown way")
    _, kind, key, _, count = identifier[:5]
    known = isinstance(kind, Name) and kind.name in STORAGES and isinstance(key, str)
    if not known or type(count) is not int or count < 0 or identifier[5:] not in ((), (None,)):
        raise PickleError("a tensor's storage is described in an unknown way")
    return key, STORAGES[kind.name], count


def read_storage(data: Any) -> StorageRecord:
    """A storage in torch's legacy format: five pickles, the count of numbers, the numbers."""
    if not isinstance(data, (bytes, memoryview)):
        raise PickleError("a tensor's storage is not bytes")
    data = memoryview(data)
    machine = Machine(data, StorageNames())
    if machine.run() != TORCH_MAGIC or machine.run() != TORCH_PROTOCOL:
        raise PickleError("a tensor's storage is not in torch's legacy format")
    system = machine.run()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleError("a tensor's storage is not little-endian")
    described, keys = machine.run(), machine.run()
    if not isinstance(described, tuple) or len(described) != 3 or keys != [described[0]]:
        raise PickleError("a tensor's storage is described in an unknown way")
    _, kind, count = described
    if int.from_bytes(machine.take(8), "little", signed=True) != count:
        raise PickleError("a tensor's storage has another size than it says")
    return storage_record(kind, count, data[machine.position :])


def rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRecord:
    return tensor_record(storage, offset, shape, stride)


def rebuild_parameter(tensor: Any, *_: Any) -> TensorRecord:
    if not isinstance(tensor, TensorRecord):
        raise PickleError("a parameter is not a tensor")
    return tensor


def make_table(items: Any = MISSING) -> dict[Any, Any]:
    """An OrderedDict or EasyDict, which come empty and are filled afterwards."""
    if items is not MISSING and items != []:
        raise PickleError("it has a table that is made in an unknown way")
    return {}


def make_set(items: Any = ()) -> set[str]:
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise PickleError("it has a set of something else than names")
    return set(items)


def make_type(kind: Any, *_: Any) -> ArrayType:
    return array_type(kind)


def make_array(data: Any, kind: Any, shape: Any, order: Any) -> ArrayRecord:
    """How protocol 5 writes arrays."""
    if order not in ("C", "F"):
        raise PickleError("an array is laid out in an unknown way")
    record = ArrayRecord()
    record.fill((1, shape, kind, order == "F", data))
    return record


def make_scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, ArrayType):
        raise PickleError("a number has no type")
    return kind.one(data)


def encode(value: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes: as a text of Latin-1 letters."""
    if not isinstance(value, str) or encoding != "latin1":
        raise PickleError("it encodes a text in an unknown way")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise PickleError("it has bytes that are none") from error


MEANINGS = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): ModuleRecord.from_meta,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch.storage", "_load_from_bytes"): read_storage,
    ("collections", "OrderedDict"): make_table,
    ("dnnlib.util", "EasyDict"): make_table,
    ("dnnlib", "EasyDict"): make_table,
    ("dnnlib.tflib.network", "Network"): NetworkRecord,
    ("tfutil", "Network"): NetworkRecord,
    ("argparse", "Namespace"): make_table,
    ("numpy", "dtype"): make_type,
    ("numpy", "ndarray"): None,
    **{(f"numpy.{core}.multiarray", "scalar"): make_scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: ArrayRecord() for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): make_array for core in ("core", "_core")},
    **{(module, "set"): make_set for module in ("builtins", "__builtin__")},
    **{(module, "bytes"): lambda: b"" for module in ("builtins", "__builtin__")},
    ("_codecs", "encode"): encode,
}


class CheckpointNames(NoNames):
    """What NVIDIA's checkpoints name."""

    def find(self, module: str, name: str) -> Any:
        if (module, name) in MEANINGS:
            return Name(module, name)
        return super().find(module, name)

    def call(self, function: Any, arguments: tuple) -> Any:
        meaning = MEANINGS.get((function.module, function.name)) if isinstance(function, Name) else None
        if meaning is None:
            return super().call(function, arguments)
        try:
            return meaning(*arguments)
        except TypeError as error:
            raise PickleError(f"it calls {function.name} with other arguments than checkpoints do") from error

    def build(self, target: Any, state: Any) -> None:
        """Arrays, their types and networks are filled in; the attributes of a table do not matter."""
        if isinstance(target, (ArrayRecord, NetworkRecord)):
            target.fill(state)
        elif isinstance(target, ArrayType):
            # (version, byte order, subtype, names, fields, size, alignment, flags)
            if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", "|", "=") or any(state[2:5]):
                raise PickleError("it has an array that is not of plain little-endian numbers")
        elif not isinstance(target, dict) or not isinstance(state, dict):
            super().build(target, state)


def read_pickle(data: bytes | memoryview) -> Any:
    """The object in ``data``, made of plain data and records; raises PickleError."""
    return Machine(memoryview(data), CheckpointNames()).run()
