"""job-type: copy what a farm's manager needs to know of StyleRig into its folder.

python -m backend job-type flamenco /path/to/flamenco/scripts
python -m backend job-type openjd DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from models.io.atomic_write import write_atomic

FOLDER = Path(__file__).resolve().parents[1] / "farm" / "job_types"
FILES = {"flamenco": "stylerig_render.js", "openjd": "stylerig-render.yaml"}  # Flamenco calls the type stylerig-render


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manager", choices=sorted(FILES))
    parser.add_argument("folder", type=Path, metavar="DIR", help="for Flamenco the folder scripts beside the manager's program")


def run(arguments: argparse.Namespace) -> int:
    source = FOLDER / FILES[arguments.manager]
    print(write_atomic(arguments.folder / source.name, source.read_bytes()))
    return 0
