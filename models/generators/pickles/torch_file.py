"""Files that ``torch.save`` writes: a zip since torch 1.6, a row of pickles before."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

from models.generators.pickles.reader import (
    STORAGE_NAMES,
    TORCH_MAGIC,
    TORCH_PROTOCOL,
    CheckpointNames,
    StorageKey,
    described_storage,
    keys_of,
)
from models.generators.pickles.records import StorageRecord, storage_record
from models.io.pickles import Budget, Machine, PickleError

ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\x0a" + TORCH_MAGIC.to_bytes(10, "little")
MOST_ENTRIES = 20_000


class TorchNames(CheckpointNames):
    """What a checkpoint names, and its tensors' storages, which ``find_storage`` knows."""

    def __init__(self, budget: Budget, find_storage: Callable[[StorageKey], StorageRecord]):
        super().__init__(budget)
        self.meanings |= STORAGE_NAMES
        self.find_storage = find_storage

    def persistent(self, identifier: Any) -> StorageRecord:
        return self.find_storage(described_storage(identifier))


def is_torch_file(start: bytes) -> bool:
    return start.startswith(ZIP_START) or start.startswith(LEGACY_START)


def read_torch_file(data: bytes) -> Any:
    """The object in ``data``, made of plain data and records; raises PickleError."""
    return read_zip(data) if data.startswith(ZIP_START) else read_legacy(memoryview(data))


def read_zip(data: bytes) -> Any:
    """data.pkl holds the object, data/KEY each storage. Nothing may be packed, so that nothing swells."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = {entry.filename: entry for entry in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, OSError, UnicodeError) as error:
        raise PickleError("it ends early or is a damaged zip") from error
    if len(entries) > MOST_ENTRIES or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise PickleError("it is a packed zip, which torch does not write")
    if sum(entry.file_size for entry in entries.values()) > len(data):
        raise PickleError("it is a zip that holds more than its own size")
    root = next((name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")), None)
    if root is None:
        raise PickleError("it is a zip without a torch checkpoint")

    def read(name: str) -> bytes:
        if root + name not in entries:
            raise PickleError(f"{name[:40]!r} is missing")
        try:
            return archive.read(root + name)
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise PickleError(f"{name[:40]!r} in it is damaged") from error

    if root + "byteorder" in entries and read("byteorder") != b"little":
        raise PickleError("a tensor's storage is not little-endian")
    storages: dict[str, StorageRecord] = {}

    def find_storage(wanted: StorageKey) -> StorageRecord:
        if wanted.key not in storages:
            data = memoryview(read(f"data/{wanted.key}"))
            storages[wanted.key] = storage_record(wanted.kind, wanted.count, data)
        return storages[wanted.key]

    pickled = memoryview(read("data.pkl"))
    return Machine(pickled, TorchNames(Budget(len(pickled)), find_storage)).run()


def read_legacy(data: memoryview) -> Any:
    """Magic, protocol, system, object, keys, then each storage's count and numbers in the keys' order.

    The object comes before its storages, so it is read twice: to learn their kinds, and, once
    they are found, for good.
    """
    described: dict[str, StorageKey] = {}

    def note(wanted: StorageKey) -> StorageRecord:
        if described.setdefault(wanted.key, wanted) != wanted:
            raise PickleError("a tensor's storage is described in two ways")
        return StorageRecord(wanted.kind, wanted.count, memoryview(b""))

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
        size = 2 if kind == "bf16" else int(kind[1])
        storages[key] = storage_record(kind, count, machine.take(count * size))
    return storages
