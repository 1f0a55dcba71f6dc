"""Drawing a job's pictures in this process, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.farm.jobs import Job
from backend.farm.report import Report
from backend.farm.worker import Worker

if TYPE_CHECKING:
    from backend.server.inference import RigLibrary


def render_here(job: Job, library: RigLibrary, keep: bool, report: Report) -> int:
    """The exit status. Raises StyleRigError for a job that does not fit the rig, before the first picture."""
    worker = Worker(job, library, keep)
    report.say_begin(model=worker.identity.model, weights_hash=worker.identity.weights_hash, workers=1)
    for number in job.numbers:
        report.take(worker.draw(number))
    return report.end()
