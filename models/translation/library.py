"""Looks by name: those that ship, and those in a person's own folder.

A look is NAME.safetensors in one of the folders, as ``convert`` and ``train look`` write it; its card, NAME.md, beside it.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.errors import StyleRigError
from models.io.regular_file import open_regular, read_text
from models.io.user_folder import NAME, user_folder
from models.translation.config import LookConfig, read_config
from models.translation.errors import bad_look
from models.translation.files import FORMAT, LARGEST_HEADER, READS, digest, load_look, refusing
from models.translation.look import Described, Look

SHIPPED = Path(__file__).resolve().parent.parent / "weights" / "looks"
FOLDER_VARIABLE = "STYLERIG_LOOKS"  # the person's folder, in place of the system's usual one
SUFFIX = ".safetensors"
LARGEST_LOOK = 512 << 20  # bytes of a file that is called by its name; published ones are up to 220 MB
LARGEST_CARD = 1 << 16
KEPT = 4  # looks that stay in memory, the last used


@dataclass(frozen=True)
class LookEntry(Described):
    """A look's file and what its header says. ``title`` is the first line of its card, "" without one."""

    name: str
    path: Path
    config: LookConfig
    metadata: dict[str, Any]
    title: str

    @property
    def sha256(self) -> str:
        """Of the file as it is now."""
        return known_digest(self.path)


class LookLibrary:
    """The looks in ``folders``; of two with one name that of the first folder is meant. Safe in any thread."""

    def __init__(self, folders: Sequence[Path] | None = None):
        self.folders = [user_folder("looks", FOLDER_VARIABLE), SHIPPED] if folders is None else list(folders)
        self.lock = threading.Lock()
        self.loaded: OrderedDict[tuple[str, str], Look] = OrderedDict()  # by hash and device
        self.elsewhere: dict[str, Path] = {}  # by hash: further files, which are found by it alone

    def paths(self) -> Iterator[Path]:
        """Every look's file, those of the first folder first."""
        for folder in self.folders:
            if folder.is_dir():
                yield from sorted(path for path in folder.glob(f"*{SUFFIX}") if NAME.fullmatch(path.stem))

    def entries(self) -> list[LookEntry]:
        """All looks by name; files that cannot be read as one are left out: calling them says why."""
        found: dict[str, LookEntry] = {}
        for path in self.paths():
            try:
                found.setdefault(path.stem, read_entry(path))
            except StyleRigError:
                continue
        return [found[name] for name in sorted(found)]

    def path_of(self, name: str, sha256: str | None = None) -> Path:
        """The file of a look. With a hash it is the file that has it, whatever it is called now. Raises StyleRigError."""
        if sha256 is not None and (match := self.of_hash(sha256, name)):
            return match
        named = next((path for path in self.paths() if path.stem == name), None)
        if named is None:
            raise self.missing(name)
        if sha256 is not None:
            raise other_look(name, sha256, known_digest(named))
        return named

    def of_hash(self, sha256: str, name: str = "") -> Path | None:
        """A file that has this hash, one of this name rather than another; None where there is none."""
        if sha256 in self.elsewhere:
            return self.elsewhere[sha256]
        paths = sorted(self.paths(), key=lambda path: path.stem != name)
        return next((path for path in paths if known_digest(path) == sha256), None)

    def digest_of(self, name: str, sha256: str | None = None) -> str:
        """SHA-256 of the file that ``path_of`` finds. Raises StyleRigError."""
        return known_digest(self.path_of(name, sha256))

    def get(self, name: str, sha256: str | None = None, device: str = "cpu") -> Look:
        """The look, read once; ``path_of`` says which. Raises StyleRigError."""
        path = self.path_of(name, sha256)
        key = known_digest(path), device
        with self.lock:
            if key not in self.loaded:
                self.loaded[key] = load_look(bounded(path), device=device)
            self.loaded.move_to_end(key)
            while len(self.loaded) > KEPT:
                self.loaded.popitem(last=False)
            return self.loaded[key]

    def missing(self, name: str) -> StyleRigError:
        there = ", ".join(dict.fromkeys(path.stem for path in self.paths()))
        return StyleRigError(
            f"There is no look called {name[:80]!r}.",
            f"There are {there}." if there else f"Copy NAME{SUFFIX} into {self.folders[0]}: convert and train look write such files.",
            code="unknown_look",
        )


@lru_cache(maxsize=1)
def library() -> LookLibrary:
    """The one of this process."""
    return LookLibrary()


def read_entry(path: Path) -> LookEntry:
    """A file's header and card, without its numbers. Raises StyleRigError."""
    from safetensors import safe_open

    with refusing(path):
        with safe_open(bounded(path), framework="pt") as file:
            text = (file.metadata() or {}).get("stylerig", "")
        header = json.loads(text) if 0 < len(text) <= LARGEST_HEADER else None
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise bad_look(path, "its header is not that of a look", READS)
        metadata = header.get("metadata")
        config = read_config(header.get("config"))
    return LookEntry(path.stem, path, config, metadata if isinstance(metadata, dict) else {}, title_of(path.with_suffix(".md")))


def title_of(card: Path) -> str:
    """The first line of a card that is not its heading."""
    try:
        lines = [line.strip() for line in read_text(card, LARGEST_CARD).splitlines()]
    except StyleRigError:
        return ""
    return next((line for line in lines if line and not line.startswith("#")), "")


def bounded(path: Path) -> Path:
    """The path of a regular file that is not too large to be a look. Raises StyleRigError."""
    open_regular(path, LARGEST_LOOK).close()
    return path


def known_digest(path: Path) -> str:
    """SHA-256 of a file, computed again when it has changed. Raises StyleRigError."""
    state = bounded(path).stat()
    return digest_at(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=256)
def digest_at(path: Path, *_state: int) -> str:
    return digest(path)


def other_look(name: str, wanted: str, there: str) -> StyleRigError:
    return StyleRigError(
        f"The look {name[:80]!r} here ({there[:8]}) is another than the one that was chosen ({wanted[:8]}).",
        "Bring the file that was chosen, or choose the look again.",
        code="other_look",
    )
