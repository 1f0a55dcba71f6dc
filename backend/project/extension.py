"""The extension's zip: the add-on with its guide, and backend and models as its payload."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from backend.project import pages
from backend.project.common import DIST, ROOT, BuildError, read_toml

PAYLOAD = ("backend", "models", "pyproject.toml")
PROTOCOL = "protocol"  # of the add-on, where the backend's lies in the zip


def extension_files() -> list[tuple[Path, str]]:
    """Files of the extension and their names in the zip, sorted, caches left out."""
    addon, shared = ROOT / "blender_addon", ROOT / "backend" / PROTOCOL
    trees = [(addon, ""), (shared, PROTOCOL), *((ROOT / name, f"payload/{name}") for name in PAYLOAD)]
    files = [(ROOT / "LICENSE", "LICENSE"), (ROOT / "NOTICE", "NOTICE")]
    for tree, prefix in trees:
        for path in [tree] if tree.is_file() else tree.rglob("*"):
            parts = path.relative_to(tree).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if path.is_file() and not hidden and addon / PROTOCOL not in path.parents:
                files.append((path, "/".join([prefix, *parts] if prefix else parts)))
    return sorted(files, key=lambda entry: entry[1])


def contents() -> Iterator[tuple[str, bytes]]:
    """Names and contents of the zip."""
    yield from ((name, source.read_bytes()) for source, name in extension_files())
    yield from ((f"docs/{name}", content) for name, content in pages.guide())


def package(folder: Path = DIST) -> Path:
    """Write the extension's zip (the same bytes for the same files) and return its path."""
    manifest = ROOT / "blender_addon" / "blender_manifest.toml"
    if not manifest.is_file():
        raise BuildError(f"{manifest} is missing: this checkout is not whole.")
    version = read_toml(manifest)["version"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"stylerig-{version}.zip"
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".stylerig-")
    try:
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
            for name, content in contents():
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path
