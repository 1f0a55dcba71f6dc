"""convert: a generator checkpoint becomes a safetensors file, whose header says where it comes from."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from models.errors import StyleRigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help="a generator that load_generator reads")
    parser.add_argument("output", type=Path, help="the .safetensors file to write")


def run(arguments: argparse.Namespace) -> int:
    from models.generators import load_generator, save_generator

    if arguments.output.suffix != ".safetensors":
        raise StyleRigError(f"{arguments.output} does not end in .safetensors.", "Choose such a name.", code="bad_name")
    generator = load_generator(arguments.input)
    metadata = {"source": arguments.input.name, "sha256": digest(arguments.input)} | generator.metadata
    metadata.setdefault("licence", "That of the source, which the file does not name.")
    path = save_generator(generator, arguments.output, metadata)
    size = path.stat().st_size / 1e6
    print(f"{path}: resolution {generator.resolution}, w {generator.num_ws} x {generator.w_dim}, {size:.1f} MB")
    print(f"source: {metadata['source']}, {metadata.get('kind', 'our own')}, sha256 {metadata['sha256']}")
    print(f"licence: {metadata['licence']}")
    for note in metadata.get("notes", []):
        print(f"note: {note}")
    return 0


def digest(path: Path) -> str:
    """SHA-256 of the file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
