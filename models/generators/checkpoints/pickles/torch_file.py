"""Files that ``torch.save`` writes: a zip since torch 1.6, a row of pickles before."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

from models.generators.checkpoints.pickles.reader import (
    STORAGE_NAMES,
    TORCH_MAGIC,
    TORCH_PROTOCOL,
    CheckpointNames,
    StorageKey,
    described_storage,
    keys_of,
)
from models.generators.checkpoints.pickles.records import StorageRecord, item_size, storage_record
from models.generators.errors import CheckpointError
from models.io.foreign import UNPACK
from models.io.pickles import Budget, Machine, Name, PickleError, shown
from models.io.zip_archive import BROKEN, open_zip

ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\x0a" + TORCH_MAGIC.to_bytes(10, "little")


class TorchNames(CheckpointNames):
    """What a checkpoint names, and its tensors' storages, which ``find_storage`` knows."""

    def __init__(self, budget: Budget, find_storage: Callable[[StorageKey], StorageRecord]):
        super().__init__(budget)
        self.meanings |= STORAGE_NAMES
        self.find_storage = find_storage

    def persistent(self, identifier: Any) -> StorageRecord | Name:
        is_module = isinstance(identifier, tuple) and len(identifier) == 4 and identifier[0] == "module"
        if is_module and isinstance(identifier[1], Name):
            return identifier[1]  # before 1.6 torch saved a network's class with its source text, which nobody needs
        return self.find_storage(described_storage(identifier))


def is_torch_file(start: bytes) -> bool:
    return start.startswith((ZIP_START, LEGACY_START))


def read_torch_file(data: bytes) -> Any:
    """The object in ``data``, made of plain data and records; raises PickleError."""
    return TorchZip(data).read_object() if data.startswith(ZIP_START) else read_legacy(memoryview(data))


class TorchZip:
    """A zip of torch's: data.pkl holds the object, data/KEY each storage. Nothing may be packed, so that nothing swells."""

    def __init__(self, data: bytes):
        try:
            self.archive, self.entries = open_zip(io.BytesIO(data))
        except BROKEN as error:
            raise PickleError("it ends early or is a damaged zip") from error
        root = next((name.removesuffix("data.pkl") for name in self.entries if name.endswith("/data.pkl")), None)
        if root is None:
            names = ", ".join(shown(name) for name in list(self.entries)[:3])
            raise CheckpointError(f"it is a zip without a torch checkpoint, but with {names}", UNPACK.hint)
        self.root = root
        if any("/code/" in name for name in self.entries):
            raise CheckpointError("it is a TorchScript program, not a checkpoint",
                                  "Use the checkpoint that it was exported from.")  # fmt: skip
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in self.entries.values()):
            raise CheckpointError("it is a packed zip, which torch does not write", "Use the file as torch saved it.")
        if sum(entry.file_size for entry in self.entries.values()) > len(data):
            raise PickleError("it is a zip that holds more than its own size")
        self.storages: dict[str, StorageRecord] = {}

    def entry(self, name: str) -> zipfile.ZipInfo:
        if self.root + name not in self.entries:
            raise PickleError(f"{name[:40]!r} is missing")
        return self.entries[self.root + name]

    def read(self, name: str) -> memoryview:
        try:
            return memoryview(self.archive.read(self.entry(name)))
        except BROKEN as error:
            raise PickleError(f"{name[:40]!r} in it is damaged") from error

    def find_storage(self, wanted: StorageKey) -> StorageRecord:
        """The storage in data/KEY, which is read when it is needed, once."""
        found = self.storages.get(wanted.key)
        if found is None:
            name = f"data/{wanted.key}"
            found = storage_record(wanted.kind, wanted.numbers, self.entry(name).file_size, cache(lambda: self.read(name)))
            self.storages[wanted.key] = found
        if (found.kind, found.count) != (wanted.kind, wanted.numbers):
            raise PickleError("a tensor's storage is described in two ways")
        return found

    def read_object(self) -> Any:
        if self.root + "byteorder" in self.entries and self.read("byteorder") != b"little":
            raise PickleError("a tensor's storage is not little-endian")
        pickled = self.read("data.pkl")
        return Machine(pickled, TorchNames(Budget(len(pickled)), self.find_storage)).run()


def read_legacy(data: memoryview) -> Any:
    """Magic, protocol, system, object, keys, then each storage's count and numbers in the keys' order.

    The object comes before its storages, so it is read twice: to learn their kinds, and, once
    they are found, for good.
    """
    described: dict[str, StorageKey] = {}

    def note(wanted: StorageKey) -> StorageRecord:
        if described.setdefault(wanted.key, wanted) != wanted:
            raise PickleError("a tensor's storage is described in two ways")
        return StorageRecord(wanted.kind, wanted.numbers, lambda: memoryview(b""))

    budget = Budget(len(data))
    machine = Machine(data, TorchNames(budget, note))
    if machine.run() != TORCH_MAGIC or machine.run() != TORCH_PROTOCOL:
        raise PickleError("it is not in torch's legacy format")
    system = machine.run()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleError("a tensor's storage is not little-endian")
    start = machine.position
    machine.run()
    storages = read_storages(machine, described)
    return Machine(data, TorchNames(budget, lambda wanted: storages[wanted.key]), start).run()


def read_storages(machine: Machine, described: dict[str, StorageKey]) -> dict[str, StorageRecord]:
    keys = keys_of(machine.run())
    if set(keys) != set(described):
        raise PickleError("it lists other storages than it uses")
    storages = {}
    for key in keys:
        _, kind, count = described[key]
        if int.from_bytes(machine.take(8), "little", signed=True) != count:
            raise PickleError("a tensor's storage has another size than it says")
        numbers = machine.take(count * item_size(kind))
        storages[key] = storage_record(kind, count, len(numbers), numbers.toreadonly)
    return storages
