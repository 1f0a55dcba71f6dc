"""Files that ``torch.save`` writes: a zip since torch 1.6, a row of pickles before."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

from models.generators.pickles.machine import Machine, PickleError
from models.generators.pickles.reader import (
    STORAGES,
    TORCH_MAGIC,
    TORCH_PROTOCOL,
    CheckpointNames,
    Name,
    described_storage,
)
from models.generators.pickles.records import StorageRecord, storage_record

ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\x0a" + TORCH_MAGIC.to_bytes(10, "little")
MOST_ENTRIES = 20_000


class TorchNames(CheckpointNames):
    """What a checkpoint names, and its tensors' storages, which ``find_storage`` knows by key."""

    def __init__(self, find_storage: Callable[[str, str, int], StorageRecord]):
        self.find_storage = find_storage

    def find(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return Name(module, name)
        return super().find(module, name)

    def persistent(self, identifier: Any) -> StorageRecord:
        return self.find_storage(*described_storage(identifier))


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

    def find_storage(key: str, kind: str, count: int) -> StorageRecord:
        if key not in storages:
            storages[key] = storage_record(kind, count, memoryview(read(f"data/{key}")))
        return storages[key]

    return Machine(memoryview(read("data.pkl")), TorchNames(find_storage)).run()


def read_legacy(data: memoryview) -> Any:
    """Magic, protocol, system, object, keys, then each storage's count and numbers in the keys' order.

    The object comes before its storages, so it is read twice: to learn their kinds, and, once
    they are found, for good.
    """
    described: dict[str, tuple[str, int]] = {}

    def note(key: str, kind: str, count: int) -> StorageRecord:
        if described.setdefault(key, (kind, count)) != (kind, count):
            raise PickleError("a tensor's storage is described in two ways")
        return StorageRecord(kind, count, memoryview(b""))

    machine = Machine(data, TorchNames(note))
    if machine.run() != TORCH_MAGIC or machine.run() != TORCH_PROTOCOL:
        raise PickleError("it is not in torch's legacy format")
    system = machine.run()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleError("a tensor's storage is not little-endian")
    start = machine.position
    machine.run()
    storages = read_storages(machine, described)
    return Machine(data, TorchNames(lambda key, *_: storages[key]), start).run()


def read_storages(machine: Machine, described: dict[str, tuple[str, int]]) -> dict[str, StorageRecord]:
    keys = machine.run()
    if not isinstance(keys, list) or any(not isinstance(key, str) for key in keys) or set(keys) != set(described):
        raise PickleError("it lists other storages than it uses")
    storages = {}
    for key in keys:
        kind, count = described[key]
        if int.from_bytes(machine.take(8), "little", signed=True) != count:
            raise PickleError("a tensor's storage has another size than it says")
        size = 2 if kind == "bf16" else int(kind[1])
        storages[key] = storage_record(kind, count, machine.take(count * size))
    return storages
