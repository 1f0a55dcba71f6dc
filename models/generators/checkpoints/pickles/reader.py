"""The names that checkpoints use, and what each stands for here.

The list is closed: NVIDIA's pickles of PyTorch (stylegan2-ada-pytorch and stylegan3, saved with
numpy 1 or 2 and protocols 2 to 5) and of TensorFlow (ProGAN, StyleGAN 1 and 2), torch's own storages inside of
them, the classes that a whole network is made of, and the arguments that training scripts save.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from models.generators.checkpoints.pickles.records import (
    ModuleRecord,
    NetworkRecord,
    StorageRecord,
    TensorRecord,
    storage_record,
    tensor_record,
)
from models.io.pickles import ArrayNames, Budget, ListedNames, Machine, Name, PickleError, checked_key

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PROTOCOL = 1001
STORAGES = {
    "HalfStorage": "f2", "FloatStorage": "f4", "DoubleStorage": "f8", "BFloat16Storage": "bf16",
    "CharStorage": "i1", "ShortStorage": "i2", "IntStorage": "i4", "LongStorage": "i8",
    "ByteStorage": "u1", "BoolStorage": "b1",
}  # fmt: skip
# Classes of NVIDIA's and rosinality's networks, which scripts keep in modules of any name.
NETWORKS = frozenset(
    "Generator MappingNetwork SynthesisNetwork SynthesisBlock SynthesisLayer SynthesisInput ToRGBLayer "
    "FullyConnectedLayer Conv2dLayer PixelNorm EqualLinear EqualConv2d ConstantInput StyledConv ModulatedConv2d "
    "NoiseInjection FusedLeakyReLU ScaledLeakyReLU Blur Upsample Downsample ToRGB Discriminator Sequential ModuleList "
    "DataParallel".split()
)
STORAGE_NAMES = dict.fromkeys(("torch", name) for name in STORAGES)


class StorageNames(ListedNames):
    """Inside a torch storage: only the kind of number."""

    def __init__(self, budget: Budget):
        super().__init__(budget, STORAGE_NAMES)

    def persistent(self, identifier: Any) -> Any:
        return described_storage(identifier)


class StorageKey(NamedTuple):
    """What a tensor says of its storage: by which key to find it, and how many numbers of which numpy type."""

    key: str
    kind: str
    numbers: int


def described_storage(identifier: Any) -> StorageKey:
    """From ("storage", kind, key, device, count[, view])."""
    if not isinstance(identifier, tuple) or len(identifier) not in (5, 6) or identifier[0] != "storage":
        raise PickleError("a tensor's storage is described in an unknown way")
    _, kind, key, _, count = identifier[:5]
    known = isinstance(kind, Name) and kind.name in STORAGES and isinstance(key, str)
    if not known or type(count) is not int or count < 0 or any(view is not None for view in identifier[5:]):
        raise PickleError("a tensor's storage is described in an unknown way")
    return StorageKey(key, STORAGES[kind.name], count)


def read_storage(data: Any, budget: Budget) -> StorageRecord:
    """A storage in torch's legacy format: five pickles, the count of numbers, the numbers."""
    if not isinstance(data, (bytes, memoryview)):
        raise PickleError("a tensor's storage is not bytes")
    data = memoryview(data)
    machine = Machine(data, StorageNames(budget))
    if machine.run() != TORCH_MAGIC or machine.run() != TORCH_PROTOCOL:
        raise PickleError("a tensor's storage is not in torch's legacy format")
    system = machine.run()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleError("a tensor's storage is not little-endian")
    described, keys = machine.run(), machine.run()
    # Nothing is compared before it is known to be short: the budget allows many large values in turn.
    if not isinstance(described, StorageKey) or keys_of(keys) != [described.key]:
        raise PickleError("a tensor's storage is described in an unknown way")
    if int.from_bytes(machine.take(8), "little", signed=True) != described.numbers:
        raise PickleError("a tensor's storage has another size than it says")
    numbers = data[machine.position :]
    return storage_record(described.kind, described.numbers, len(numbers), lambda: numbers)


def keys_of(keys: Any) -> list[str]:
    if not isinstance(keys, list) or any(not isinstance(key, str) for key in keys):
        raise PickleError("its storages are not named by texts")
    return keys


def rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRecord:
    return tensor_record(storage, offset, shape, stride)


def rebuild_parameter(tensor: Any, *_: Any) -> TensorRecord:
    if not isinstance(tensor, TensorRecord):
        raise PickleError("a parameter is not a tensor")
    return tensor


# What stands in the arguments of scripts: passed on, or made into something that nobody asks for.
PASSED_ON = [*(("torch", f"{kind}") for kind in ("float16", "float32", "float64", "bfloat16", "int64", "uint8", "bool")),
             *((module, kind) for module in ("builtins", "__builtin__")
               for kind in ("bool", "int", "long", "float", "str", "unicode", "list", "tuple", "dict"))]  # fmt: skip
NOT_NEEDED = [("torch", "device"), ("torch.serialization", "_get_layout"),
              *((module, f"{pure}{kind}Path") for module in ("pathlib", "pathlib._local")  # the second is Python 3.13's
                for pure in ("", "Pure") for kind in ("Posix", "Windows"))]  # fmt: skip
MEANINGS = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): ModuleRecord.from_meta,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): rebuild_parameter,
    ("torch.nn.parameter", "Parameter"): rebuild_parameter,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
    ("torch", "Size"): lambda sizes=(): sizes,
    **dict.fromkeys(PASSED_ON),
    **dict.fromkeys(NOT_NEEDED, lambda *_: None),
    ("dnnlib.tflib.network", "Network"): NetworkRecord,
    ("tfutil", "Network"): NetworkRecord,
    **{(module, "bytes"): lambda: b"" for module in ("builtins", "__builtin__")},
}


class CheckpointNames(ArrayNames):
    """What checkpoints name."""

    def __init__(self, budget: Budget):
        tables = [("collections", "OrderedDict"), ("dnnlib.util", "EasyDict"), ("dnnlib", "EasyDict"),
                  ("easydict", "EasyDict"), ("argparse", "Namespace")]  # fmt: skip
        super().__init__(budget, {
            **MEANINGS,
            **dict.fromkeys(tables, self.table),
            ("collections", "defaultdict"): lambda *_: {},
            ("torch._tensor", "_rebuild_from_type_v2"): self.rebuild_from_type,
            **{(module, "set"): self.set_of for module in ("builtins", "__builtin__")},
            ("torch.storage", "_load_from_bytes"): lambda data: read_storage(data, budget),
        })  # fmt: skip

    def find(self, module: str, name: str) -> Name:
        if name in NETWORKS:
            self.meanings.setdefault((module, name), lambda *_: ModuleRecord(name))
        return super().find(module, name)

    def rebuild_from_type(self, function: Any, _: Any, arguments: Any, *__: Any) -> Any:
        """How a tensor with attributes of its own is written."""
        if not isinstance(arguments, tuple):
            raise PickleError("a tensor is made in an unknown way")
        return self.call(function, arguments)

    def table(self, items: Any = ()) -> dict[Any, Any]:
        """A table comes empty and is filled afterwards; from Python 2 an OrderedDict comes with its pairs."""
        pairs = self.listed(items)
        if any(not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in pairs):
            raise PickleError("it has a table that is made in an unknown way")
        return {checked_key(key): value for key, value in pairs}

    def set_of(self, items: Any = ()) -> set[Any]:
        return {checked_key(item) for item in self.listed(items)}

    def listed(self, items: Any) -> list | tuple:
        if not isinstance(items, (list, tuple)):
            raise PickleError("it has a table or a set that is made in an unknown way")
        self.budget.step(len(items))  # the same list can be given again and again
        return items


def read_pickle(data: bytes | memoryview) -> Any:
    """The object in ``data``, made of plain data and records; raises PickleError."""
    return Machine(memoryview(data), CheckpointNames(Budget(len(data)))).run()
