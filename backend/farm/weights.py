"""Weights of models and looks on a worker's machine: its own, else those that the driver brings, which stay there for the next worker."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import StyleRigError
from models.io.atomic_write import write_atomic

if TYPE_CHECKING:
    from backend.server.inference import RigLibrary

USER = os.getuid() if hasattr(os, "getuid") else ""  # on Windows each user's temporary folder is its own


@dataclass(frozen=True)
class Lacking:
    """What a worker answers whose machine has not all files: the names of those that the driver must bring."""

    names: list[str]


@dataclass(frozen=True)
class Weights:
    """Files that a job is drawn with: name -> the driver's, and name -> SHA-256; those of a rig, and what it is ``called``."""

    files: dict[str, Path]
    hashes: dict[str, str]
    called: str = ""

    @classmethod
    def of(cls, library: RigLibrary, rig: Any) -> Weights:
        """Those of the ``library`` that ``rig`` was loaded from; none for what is in no folder."""
        from models.rigging.rig import PARTS, hash_files

        place = library.places.get(rig.name)
        if place is None:
            return cls({}, {})
        parts = (place.folder / f"{place.name}-{part}.safetensors" for part in (*PARTS, "directions"))
        files = {file.name: file for file in parts if file.is_file()}
        return cls(files, {name: hash_files([file]) for name, file in files.items()}, rig.name)

    @classmethod
    def of_looks(cls, looks: dict[str, Path]) -> Weights:
        """Those of looks, SHA-256 -> file. Several may have one name."""
        names = {digest: f"{digest}/{file.name}" for digest, file in looks.items()}
        return cls({names[digest]: file for digest, file in looks.items()}, {name: digest for digest, name in names.items()})

    def lacking_in(self, folder: Path) -> list[str]:
        """Names of the files that are not in ``folder``, or are others there."""
        return [name for name, digest in self.hashes.items() if digest_of(folder / name) != digest]

    def are_of(self, library: RigLibrary) -> bool:
        """Whether a ``library`` has a rig of this name and these files."""
        place = library.places.get(self.called)
        return not self.hashes or (place is not None and not self.lacking_in(place.folder))

    def brought(self) -> Path:
        """The folder of this machine for files that were brought: temporary, this user's, and for these files alone."""
        content = hashlib.sha256(repr(sorted(self.hashes.items())).encode()).hexdigest()
        return Path(tempfile.gettempdir()) / f"stylerig-weights-{USER}" / content[:32]

    def keep(self, name: str, content: bytes) -> None:
        """Write a file that was brought, whole or not at all. Raises StyleRigError for other bytes than the driver's."""
        if hashlib.sha256(content).hexdigest() != self.hashes[name]:
            raise StyleRigError(
                f"{name} arrived with other bytes than {self.files[name]} has.",
                "Call the command again, when nothing writes to that file.",
                code="damaged_weights",
            )
        write_atomic(self.brought() / name, content)


def missing_looks(looks: Weights) -> list[str]:
    """Names of the looks that are not on this machine; this process's library finds the others by their hashes."""
    from models.translation.library import library

    for name, digest in looks.hashes.items():
        here = next((file for file in (looks.files[name], looks.brought() / name) if digest_of(file) == digest), None)
        if here is not None:
            library().elsewhere[digest] = here
    return [name for name, digest in looks.hashes.items() if library().of_hash(digest) is None]


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none that can be read."""
    from models.rigging.rig import hash_files

    try:
        return hash_files([path]) if path.is_file() else None
    except OSError:
        return None
