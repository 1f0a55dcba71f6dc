"""film: the PNG frames of a folder as an H.264 film and as a contact sheet."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("frames", type=Path, metavar="DIR")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for film.mp4 and contact-sheet.png")
    parser.add_argument("--rate", type=float, default=24.0, help="frames a second")


def run(arguments: argparse.Namespace) -> int:
    from backend.files.video import film_and_sheet, frames_in

    for path in film_and_sheet(frames_in(arguments.frames), arguments.output, arguments.rate):
        print(path)
    return 0
