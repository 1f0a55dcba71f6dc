"""Portraits of photographs, which take from some seconds to minutes: begun, asked about, cancelled.

Nothing is kept but the last few jobs. One is at work at a time, on a thread of its own: frames are drawn meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.server import schema, serialization
from backend.server.inference import RigLibrary, enough_memory
from models.errors import StyleRigError

if TYPE_CHECKING:
    from models.editing.inversion.invert import Progress

LOG = logging.getLogger(__name__)
MOST_JOBS = 8  # that wait, are at work, or whose end can still be asked for


@dataclass(eq=False)
class PhotoJob:
    """How far one is; written by its thread, each entry exchanged whole."""

    stage: str = "Waiting"
    done: float = 0.0
    preview: str | None = None
    portrait: schema.Portrait | None = None
    error: StyleRigError | None = None
    ended: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)

    def tell(self, progress: Progress) -> None:
        """As ``Watch.say``."""
        from models.io.images import encode_image

        self.stage, self.done = progress.stage, progress.done
        if progress.preview is not None:
            self.preview = base64.b64encode(encode_image(progress.preview)).decode("ascii")

    def state(self) -> schema.PhotoState:
        error = self.error
        return schema.PhotoState(
            stage=self.stage, done=self.done, preview=self.preview, ended=self.ended, portrait=self.portrait,
            error=schema.Problem(code=error.code, message=error.message, hint=error.hint) if error else None,
        )  # fmt: skip


class PhotoJobs:
    """Those of one service. Methods may be called from any thread."""

    def __init__(self, library: RigLibrary):
        self.library, self.lock = library.on_processor(), threading.Lock()  # where photographs are fitted and inverted
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="photo")
        self.jobs: dict[str, PhotoJob] = {}

    def begin(self, request: schema.PhotoRequest) -> str:
        """The name of a job that was begun. Raises StyleRigError where too many are."""
        photos = [(photo.name, decoded(photo)) for photo in request.photos]
        with self.lock:
            for name in [name for name, job in self.jobs.items() if job.ended][: max(len(self.jobs) - MOST_JOBS + 1, 0)]:
                del self.jobs[name]
            if len(self.jobs) >= MOST_JOBS:
                raise StyleRigError(f"{len(self.jobs)} photos are waiting already.", "Wait for one, or cancel it.", code="busy")
            name, job = secrets.token_hex(8), PhotoJob()
            self.jobs[name] = job
        self.thread.submit(self.work, job, lambda: self.portrait(request, photos, job))
        return name

    def find(self, name: str) -> PhotoJob:
        """Raises StyleRigError for one that there is not, or no more."""
        with self.lock:
            job = self.jobs.get(name)
        if job is None:
            raise StyleRigError(f"There is no job {name!r}.", "Begin it again.", code="unknown_job")
        return job

    def work(self, job: PhotoJob, make: Callable[[], schema.Portrait]) -> None:
        """Do one, to whatever end."""
        try:
            with enough_memory():
                job.portrait = make()
        except StyleRigError as error:
            job.error = error
        except Exception:
            LOG.exception("A portrait of photos failed")
            job.error = StyleRigError(
                "The backend failed at this photo.", "This is a fault of StyleRig; its log says where.", code="internal"
            )
        job.ended = True

    def portrait(self, request: schema.PhotoRequest, photos: list[tuple[str, bytes]], job: PhotoJob) -> schema.Portrait:
        from models.editing.inversion.invert import Watch, invert
        from models.editing.inversion.photo import read_photo

        rig = self.library.named(request.model)
        read = [read_photo(data, name) for name, data in photos]
        watch = Watch(job.tell, job.cancelled.is_set)
        return serialization.portrait_to_schema(invert(rig, read, request.effort, request.faces, watch=watch), rig)

    def close(self) -> None:
        """End all of them."""
        for job in list(self.jobs.values()):
            job.cancelled.set()
        self.thread.shutdown(wait=False, cancel_futures=True)


def decoded(photo: schema.PhotoFile) -> bytes:
    try:
        return base64.b64decode(photo.file, validate=True)
    except (binascii.Error, ValueError) as error:
        raise StyleRigError(f"{photo.name} cannot be used: it did not come whole.", "Send it again.", code="bad_photo") from error
