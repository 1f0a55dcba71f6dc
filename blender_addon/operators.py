"""Operators whose slow part runs in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from .client.tasks import Task
from .errors import UserError
from .translations import tr, tr_error
from .windows import redraw

POLL_SECONDS = 0.05  # how often a waiting operator looks whether its work is done


Mixin: Any = object  # beside bpy's own class, whose attributes are not known here


class AsyncOperator(Mixin):
    """An operator whose slow part runs in a thread when a person starts it, and here when a script does.

    ``work()`` (main thread) returns the function for the thread, which touches nothing of Blender;
    ``finish(context, value)`` (main thread) uses what it returned.
    """

    waiting = ""  # for the status bar

    def work(self) -> Callable[[], Any]:
        raise AssertionError("each operator has its own")

    def finish(self, context: bpy.types.Context, value: Any) -> set[str]:
        return {"FINISHED"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        task = self.begin()
        if task is None:
            return {"CANCELLED"}
        self._task = task
        manager = context.window_manager
        self._timer = manager.event_timer_add(POLL_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        context.workspace.status_text_set(f"{tr(self.waiting)}   {tr('(Esc: do not wait)')}")
        redraw("VIEW_3D")
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC":
            self._task.cancel()
            self.cancel(context)
            return {"CANCELLED"}
        if event.type != "TIMER" or not self._task.done:
            return {"PASS_THROUGH"}
        self.cancel(context)
        return self.conclude(context, self._task)

    def cancel(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
        redraw("VIEW_3D")
        redraw("PREFERENCES")

    def execute(self, context: bpy.types.Context) -> set[str]:
        task = self.begin()
        return {"CANCELLED"} if task is None else self.conclude(context, task)

    def begin(self) -> Task | None:
        """The work under way; None when it cannot begin, which was reported."""
        try:
            return Task(self.work())
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return None

    def conclude(self, context: bpy.types.Context, task: Task) -> set[str]:
        try:
            return self.finish(context, task.result())
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
