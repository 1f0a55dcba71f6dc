"""Drawing a job's pictures on a Ray cluster; the same command again goes on where it was ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.farm.jobs import Job
from backend.farm.ray_crew import RayCrew, cluster, device_of, workers_in
from backend.farm.report import Report
from backend.farm.scheduler import Scheduler
from backend.farm.weights import Weights
from backend.farm.worker import Worker
from models.io.atomic_write import TEMPORARY

if TYPE_CHECKING:
    from backend.server.inference import RigLibrary

SECONDS_TO_WRITE = 600  # a file that is written for longer was left by a worker that is gone


@dataclass(frozen=True)
class Libraries:
    """device -> the rigs of a machine: those of this process, which draws nothing, and those of the workers.

    With ``folder=`` those of files that were brought to a worker's machine.
    """

    to_compare: Callable[..., RigLibrary]
    to_draw: Callable[..., RigLibrary]


def render_on_ray(job: Job, libraries: Libraries, device: str, address: str, workers: int | None, report: Report) -> int:
    """The exit status.

    Raises StyleRigError for a job that does not fit, for a cluster that does not, and when no worker stays.
    """
    library = libraries.to_compare("cpu")
    here = Worker(job, library, keep=True)
    report.say_begin(model=here.identity.model, weights_hash=here.identity.weights_hash, workers=workers)
    remove_leftovers(job.folder)
    if missing := [number for number in job.numbers if not take_if_there(number, here, report)]:
        with cluster(address, workers) as ray:
            device = device_of(ray, device)
            crew = RayCrew(ray, job, libraries.to_draw, device, Weights.of(library, here.rig), Weights.of_looks(job.looks()))
            Scheduler(crew, missing, workers or workers_in(ray, device), here.identity, report.take, report.notice).run()
    return report.end()


def take_if_there(number: int, here: Worker, report: Report) -> bool:
    there = here.there(number)
    if there:
        report.take(there)
    return there is not None


def remove_leftovers(folder: Path) -> None:
    """Delete what killed workers had begun to write."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if time.time() - path.stat().st_mtime > SECONDS_TO_WRITE:
            path.unlink(missing_ok=True)
