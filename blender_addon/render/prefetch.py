"""The next frames of an animation, asked for while this one is drawn and written.

While the backend draws, the engine has nothing to do: it evaluates a coming frame in its own dependency
graph, as engines do for motion blur, and asks for it at once. When Blender comes to that frame and its
request is the very same, the answer is there or under way; else it is dropped and asked for as usual. So
a picture never depends on what was foreseen, only how soon it is there.

The backend draws two small pictures side by side, and prepares one while it draws a large one. Two frames
are foreseen, so that it still has two while Blender writes the one before them. Going back to the present
frame takes as long as going ahead: so it is done once for two frames, and a third is foreseen meanwhile.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..client.http_client import Client
from ..client.tasks import Task
from ..identity import key_of
from . import memory

MIN_DEPTH, MAX_DEPTH = 2, 3  # that are foreseen: where there are no fewer, nothing is evaluated; else up to so many
MAX_HEADS = 4  # that are foreseen: their pictures lie in memory beside this frame's
MAX_BYTES = 512 << 20  # that they take; one frame is foreseen however large it is
MAX_MISSES = 2  # looks ahead in vain, in an animation, before there are no more; a few more in a long one
HITS_PER_MISS = 20  # frames foreseen rightly make up for one in vain
PREFETCHERS: dict[tuple[int, str], FramePrefetcher] = {}  # of the animation that is being rendered, by scene and view layer


class FrameTask(Task):
    """A frame that the backend draws, in a thread.

    ``connect`` gives the client; ``request``: the arguments of ``Client.frame``; ``among``: how many frames
    the backend has to draw meanwhile, with this one.
    """

    def __init__(self, connect: Callable[[], Client], request: tuple, among: int = 1):
        self.connect, self.request, self.among = connect, request, among
        self.seconds = math.inf  # how long it took, as if it had been alone
        self.bytes = 0  # of what was drawn
        super().__init__(self._draw)

    def _draw(self) -> dict[str, np.ndarray]:
        client = self.connect()
        started = time.perf_counter()
        portrait, controls, size, passes = self.request
        drawn = client.frame(portrait, controls, size, passes, cancelled=self.cancelled)
        self.seconds = (time.perf_counter() - started) / self.among
        self.bytes = sum(picture.nbytes for picture in drawn.values())
        memory.note(self.bytes)
        return drawn


class FramePrefetcher:
    """What one view layer of an animation foresees, and whether that is of use."""

    def __init__(self) -> None:
        self.pending: dict[int, list[FrameTask]] = {}  # by frame
        self.taken: list[FrameTask | None] = []  # of this frame
        self.evaluation_seconds = 0.0  # seconds that evaluating a frame ahead took, the last time
        self.frames = self.hits = self.misses = 0

    @property
    def depth(self) -> int:
        """How many frames to foresee. None at the first frame: who renders single frames as animations has no
        next one. One until one was right."""
        if self.frames < 2 or len(self.pending) >= MIN_DEPTH or self.misses >= MAX_MISSES + self.hits // HITS_PER_MISS:
            return 0
        return min(MAX_DEPTH if self.hits else 1, MAX_HEADS // max(len(self.taken), 1), self.room)

    @property
    def room(self) -> int:
        """How many frames as large as this one fit into MAX_BYTES, at least one."""
        return max(MAX_BYTES // max(sum(drawing.bytes for drawing in self.taken if drawing), 1), 1)

    def take(self, frame: int, requests: list[tuple]) -> list[FrameTask | None]:
        """For each request of the frame that begins, the drawing that was begun for it, or None."""
        seconds = [drawing.seconds for drawing in self.taken if drawing]
        if seconds and self.evaluation_seconds > max(seconds):  # evaluating the scene takes longer than drawing its portraits
            self.misses += 1
        begun = self.pending.get(frame, [])
        self.taken = [next((one for one in begun if one.request == request), None) for request in requests]
        right = None not in self.taken and len(begun) == len(requests)
        if begun:
            self.hits, self.misses = self.hits + right, self.misses + (not right)
        # Where this frame came out otherwise, those beyond it will.
        self.drop([number for number in self.pending if number <= frame or not right])
        self.frames += 1
        return self.taken

    def begin(self, frame: int, connect: Callable[[], Client], requests: list[tuple]) -> None:
        """Have the heads of a coming frame drawn, after those that the backend draws already."""
        among = len(self.pending) + 2  # with the present frame and this one
        self.pending[frame] = [FrameTask(connect, request, among) for request in requests[:MAX_HEADS]]

    def drop(self, frames: list[int]) -> None:
        """Give up what is foreseen of these frames, but for what was taken."""
        for drawing in (drawing for frame in frames for drawing in self.pending.pop(frame)):
            if drawing not in self.taken:
                drawing.cancel()


def of_layer(depsgraph: bpy.types.Depsgraph) -> FramePrefetcher:
    """What the animation that is being rendered foresees in this view layer."""
    return PREFETCHERS.setdefault((key_of(depsgraph.scene), depsgraph.view_layer.name), FramePrefetcher())


def others_follow_frames() -> bool:
    """Whether functions that are not ours run at each change of frame: they would hear of frames out of turn."""
    ours = __package__.rpartition(".")[0]
    functions = (*bpy.app.handlers.frame_change_pre, *bpy.app.handlers.frame_change_post)
    return any(not getattr(function, "__module__", "").startswith(ours) for function in functions)


@persistent
def forget(_scene: bpy.types.Scene = None, _depsgraph: bpy.types.Depsgraph = None) -> None:
    """When a render begins or ends: what is still being drawn is waited for by nobody."""
    for prefetcher in PREFETCHERS.values():
        prefetcher.drop(list(prefetcher.pending))
    PREFETCHERS.clear()


def register() -> None:
    for functions in (bpy.app.handlers.render_init, bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        functions.append(forget)


def unregister() -> None:
    for functions in (bpy.app.handlers.render_init, bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        functions.remove(forget)
    forget()
