"""The next frame of an animation, asked for while this one is drawn and written.

While the backend draws, the engine has nothing to do: it evaluates the next frame in its own dependency
graph, as engines do for motion blur, and asks for it at once. When Blender comes to that frame and its
request is the very same, the answer is there or under way; else it is dropped and asked for as usual. So
a picture never depends on what was foreseen, only how soon it is there.
"""

from __future__ import annotations

import math
import time
from functools import partial

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..link.client import Client
from ..link.tasks import Task

MOST_HEADS = 4  # of one frame that are foreseen: their pictures lie in memory beside this frame's
MOST_LOST = 2  # looks ahead in vain, in an animation, before there are no more; a few more in a long one
LONG = 20  # frames foreseen rightly make up for one in vain
BEGAN: dict[tuple[str, str], Ahead] = {}  # of the animation that is being rendered, by scene and view layer


class Drawing(Task):
    """A frame that the backend draws, in a thread. ``request``: the arguments of ``Client.frame``."""

    def __init__(self, client: Client, request: tuple):
        self.request = request
        self.seconds = math.inf  # how long it took
        super().__init__(partial(self._draw, client))

    def _draw(self, client: Client) -> dict[str, np.ndarray]:
        started = time.perf_counter()
        passes = client.frame(*self.request)
        self.seconds = time.perf_counter() - started
        return passes


class Ahead:
    """What one view layer of an animation foresees, and whether that is of use."""

    def __init__(self) -> None:
        self.coming: list[Drawing] = []  # of the next frame
        self.taken: list[Drawing | None] = []  # of this frame
        self.looked = 0.0  # seconds that the last look ahead took
        self.frames = self.right = self.lost = 0

    @property
    def useful(self) -> bool:
        """Whether to look ahead. Not from the first frame: who renders single frames as animations has no next one."""
        return self.frames > 1 and self.lost < MOST_LOST + self.right // LONG

    def take(self, requests: list[tuple]) -> list[Drawing | None]:
        """For each request of the frame that begins, the drawing that was begun for it, or None."""
        seconds = [drawing.seconds for drawing in self.taken if drawing]
        if seconds and self.looked > max(seconds):  # evaluating the scene takes longer than drawing its portraits
            self.lost += 1
        coming, self.coming = self.coming, []
        self.taken = [next((one for one in coming if one.request == request), None) for request in requests]
        if coming:
            right = None not in self.taken and len(coming) == len(requests)
            self.right, self.lost = self.right + right, self.lost + (not right)
        self.frames += 1
        return self.taken

    def begin(self, client: Client, requests: list[tuple]) -> None:
        """Have the next frame's heads drawn, after those that the backend draws already."""
        if len(requests) <= MOST_HEADS:
            self.coming = [Drawing(client, request) for request in requests]


def of_layer(depsgraph: bpy.types.Depsgraph) -> Ahead:
    """What the animation that is being rendered foresees in this view layer."""
    return BEGAN.setdefault((depsgraph.scene.name, depsgraph.view_layer.name), Ahead())


def others_follow_frames() -> bool:
    """Whether functions that are not ours run at each change of frame: they would hear of frames out of turn."""
    ours = __package__.rpartition(".")[0]
    functions = (*bpy.app.handlers.frame_change_pre, *bpy.app.handlers.frame_change_post)
    return any(not getattr(function, "__module__", "").startswith(ours) for function in functions)


@persistent
def forget(_scene=None, _depsgraph=None) -> None:
    """When a render begins or ends: what is still being drawn is waited for by nobody."""
    BEGAN.clear()


def register() -> None:
    for functions in (bpy.app.handlers.render_init, bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        functions.append(forget)


def unregister() -> None:
    for functions in (bpy.app.handlers.render_init, bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        functions.remove(forget)
    forget()
