"""convert: a checkpoint of a generator or a look becomes a safetensors file, whose header says where it comes from."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

from models.errors import StyleRigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help="a generator, or a look: docs/generators.md and docs/looks.md list them")
    parser.add_argument("output", type=Path, help="the .safetensors file to write")
    parser.add_argument("--half", action="store_true", help="a look in float16: half the size, as those that ship")


def run(arguments: argparse.Namespace) -> int:
    from models.translation import is_look

    if arguments.output.suffix != ".safetensors":
        raise StyleRigError(f"{arguments.output} does not end in .safetensors.", "Choose such a name.", code="bad_name")
    if is_look(arguments.input):
        what, metadata = convert_look(arguments.input, arguments.output, arguments.half)
    elif arguments.half:
        raise StyleRigError("--half is for looks.", "Leave it out: our own generators are written in float16 as it is.", code="bad_option")
    else:
        what, metadata = convert_generator(arguments.input, arguments.output)
    print(f"{arguments.output}: {what}, {arguments.output.stat().st_size / 1e6:.1f} MB")
    print(f"source: {metadata['source']}, {metadata.get('kind', 'our own')}, sha256 {metadata['sha256']}")
    print(f"licence: {metadata['licence']}")
    for note in metadata.get("notes", []):
        print(f"note: {note}")
    return 0


def convert_generator(source: Path, output: Path) -> tuple[str, dict[str, Any]]:
    """Write the generator; what it is, and the metadata that its header got."""
    from models.generators import load_generator, save_generator

    generator = load_generator(source)
    metadata = origin(source, generator.metadata)
    save_generator(generator, output, metadata)
    return f"resolution {generator.resolution}, w {generator.num_ws} x {generator.w_dim}", metadata


def convert_look(source: Path, output: Path, half: bool) -> tuple[str, dict[str, Any]]:
    """Write the look; what it is, and the metadata that its header got."""
    from models.translation import load_look, save_look

    look = load_look(source)
    metadata = origin(source, look.metadata)
    save_look(look, output, metadata, half)
    return f"a look of the kind {look.kind}", metadata


def origin(source: Path, known: dict[str, Any]) -> dict[str, Any]:
    """Where a file comes from, as far as ``known`` does not say it already."""
    unknown = {"source": source.name, "sha256": digest(source), "licence": "That of the source, which the file does not name."}
    return unknown | known


def digest(path: Path) -> str:
    """SHA-256 of the file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
