"""convert: a generator checkpoint becomes a safetensors file."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.errors import StyleRigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help="a generator that load_generator reads")
    parser.add_argument("output", type=Path, help="the .safetensors file to write")


def run(arguments: argparse.Namespace) -> int:
    from models.generators import load_generator

    if arguments.output.suffix != ".safetensors":
        raise StyleRigError(
            f"{arguments.output} does not end in .safetensors.", "Choose such a name.", code="bad_name"
        )
    generator = load_generator(arguments.input)
    path = generator.save(arguments.output)
    size = path.stat().st_size / 1e6
    print(f"{path}: resolution {generator.resolution}, w {generator.num_ws} x {generator.w_dim}, {size:.1f} MB")
    return 0
