"""What the commands that draw many pictures have in common: where, by whom, and what they say."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.options import whole
from backend.farm.jobs import Job
from backend.protocol.frames import MAX_SIZE, MIN_SIZE
from models.errors import StyleRigError
from models.io.atomic_write import write_atomic

if TYPE_CHECKING:
    from backend.farm.report import Report

MOST_WORKERS = 10**9  # more than there are


def add_rendering_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--size", type=whole(MIN_SIZE, MAX_SIZE), metavar="PIXELS", help="width and height (default: the rig file's, else the generator's)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add_ray_arguments(parser)


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ray", nargs="?", const="auto", metavar="ADDRESS|local",
                        help="on a Ray cluster (default: this machine's, or RAY_ADDRESS), or with several processes here; goes on where "
                             "the same command was ended")  # fmt: skip
    parser.add_argument(
        "--workers", type=whole(1, MOST_WORKERS), metavar="N", help="with --ray, processes that draw (default: its GPUs, else processors)"
    )
    parser.add_argument("--json-log", action="store_true", help="say what happens as JSON, one object a line, on standard output")


def check_ray_options(arguments: argparse.Namespace) -> None:
    """Of a command that tells of its work otherwise without --ray. Raises StyleRigError."""
    if arguments.ray is None and (arguments.workers or arguments.json_log):
        raise StyleRigError("--workers and --json-log are for --ray here.", "Add --ray local for several processes.", code="bad_option")


def render(job: Job, arguments: argparse.Namespace, noun: str, keep: bool, rigs: Path | None = None) -> int:
    """Draw a job's pictures as the options say; the exit status: 0 for all, 3 when some failed.

    ``noun``: what a picture is called. ``rigs``: folder of the rigs, absolute; None for those that ship.
    """
    from backend.farm.here import render_here
    from backend.farm.report import JsonReport, TextReport
    from backend.server.inference import rig_library
    from models.devices import choose_device

    if arguments.workers and arguments.ray is None:
        raise StyleRigError("--workers is for --ray.", "Add --ray local for several processes on this machine.", code="bad_option")
    make_folder(job.folder)
    report = (JsonReport if arguments.json_log else TextReport)(len(job.numbers), noun, str(job.folder))
    if arguments.ray is not None:
        return render_on_ray(job, arguments, report, rigs)
    return render_here(job, rig_library(arguments.rig_loader, choose_device(arguments.device), folder=rigs), keep, report)


def render_on_ray(job: Job, arguments: argparse.Namespace, report: Report, rigs: Path | None) -> int:
    from backend.farm import on_ray
    from backend.server.inference import read_rig, rig_library

    job.folder = job.folder.absolute()  # workers are elsewhere
    to_draw = functools.partial(rig_library, arguments.rig_loader, folder=rigs)
    libraries = on_ray.Libraries(functools.partial(to_draw, load=read_rig), to_draw)
    return on_ray.render_on_ray(job, libraries, arguments.device, arguments.ray, arguments.workers, report)


def make_folder(folder: Path) -> None:
    """See that the folder can be written before any work is done. Raises StyleRigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / ".stylerig", b"").unlink(missing_ok=True)
    except OSError as error:
        raise StyleRigError(
            f"Cannot write to {folder}: {error.strerror}.", "Choose another folder with --output.", code="cannot_write"
        ) from error
