"""How far the last job that this Blender gave to a farm is: asked now and then, in a thread."""

from __future__ import annotations

import bpy

from ..client.tasks import Task
from ..errors import Text, UserError
from ..windows import redraw
from .job import Job, State

LOOK_SECONDS, POLL_SECONDS = 3.0, 0.2  # between two questions; until an answer is looked for


class Follower:
    """``state`` is what the panel shows; None before any job."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.state: State | None = None
        self.task: Task | None = None

    def follow(self, job: Job) -> None:
        self.job, self.task = job, None
        self.state = State(Text("{name} was given to the farm", name=job.name))
        if not bpy.app.timers.is_registered(self.tick):
            bpy.app.timers.register(self.tick, first_interval=POLL_SECONDS)

    def forget(self) -> None:
        self.job = self.state = self.task = None
        if bpy.app.timers.is_registered(self.tick):
            bpy.app.timers.unregister(self.tick)

    def tick(self) -> float | None:
        """Seconds until it is to be called again; None when the job has ended."""
        if self.job is None:
            return None
        if self.task is None:
            self.task = Task(self.job.look)
        if not self.task.done:
            return POLL_SECONDS
        self.state, self.task = answer_of(self.task), None
        redraw("VIEW_3D", "UI")
        return None if self.state.ended else LOOK_SECONDS


def answer_of(task: Task) -> State:
    """The state that was asked for; an error may pass, as when a manager is started again."""
    try:
        return task.result()
    except UserError as error:
        return State(Text("{message} {hint}", message=error.message_text, hint=error.hint_text), failed=True)


FOLLOWER = Follower()
