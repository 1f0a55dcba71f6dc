"""exr: multilayer EXRs that Blender wrote, as Nuke, Fusion and Natron expect them.

python -m backend exr shot/passes --output shot/nuke
python -m backend exr shot/passes/frame_0001.exr --output shot/nuke --compression DWAA
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from backend.protocol.frames import ExrCompression
from models.errors import StyleRigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="EXRs of Set Up Sequence Output, or folders of them")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="another folder; files of the same names there are replaced"
    )
    parser.add_argument("--compression", choices=get_args(ExrCompression), default="ZIP",
                        help="DWAA is smaller and loses of colours what is not seen (default ZIP)")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Convert all; 0 when done."""
    from tqdm import tqdm

    from backend.files.blender_exr import convert

    files = [file for path in arguments.files for file in (sorted(path.glob("*.exr")) if path.is_dir() else [path])]
    if not files:
        raise StyleRigError("There is no EXR in these folders.", "Name the folder passes of a sequence.", code="no_picture")
    if any(file.resolve().parent == arguments.output.resolve() for file in files):
        raise StyleRigError(f"{arguments.output} holds the files themselves.", "Choose another folder.", code="bad_option")
    for file in tqdm(files, desc="converting", unit="file", disable=None):
        try:
            convert(file, arguments.output / file.name, arguments.compression)
        except OSError as error:
            raise StyleRigError(
                f"{arguments.output / file.name} cannot be written: {error}.", "Free some space.", code="unwritable"
            ) from error
    print(f"{len(files)} files in {arguments.output}")
    return 0
