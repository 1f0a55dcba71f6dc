"""The live view: the active rig's portrait in an image that follows every edit.

A thread talks to the backend; a timer on the main thread reads the rig, hands over the newest
request and puts finished pixels into the image; ``policy`` decides when. Handlers only set a flag:
they also run in the render thread, and an edit may call them many times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..client import backend_manager
from ..client.process import LaunchSettings
from ..errors import Text, UserError
from ..identity import found, key_of
from ..protocol.camera import PortraitCamera, camera_of
from ..rig.read_rig import active_rig, read_controls
from ..settings import on_change, setting
from ..translations import tr, tr_error
from ..windows import redraw
from . import policy
from .image import editors, keep_image, restore, show_pixels
from .latest_only_worker import Answer, LatestOnlyWorker

TICK_SECONDS = 0.0  # seconds between looks: once in each turn of Blender's main loop; where nothing changed, microseconds


@dataclass(frozen=True)
class FrameRequest:
    """All that the thread needs; nothing in it belongs to Blender."""

    portrait: dict
    controls: dict
    size: int | None  # to ask for; None is the generator's own
    full: int | None  # to show; larger than ``size`` where a coarse picture comes first
    settings: LaunchSettings


@dataclass(frozen=True)
class Picture:
    """A portrait and what is to be known of it."""

    pixels: np.ndarray  # (H, W, 4) float32, scene-linear, premultiplied, row 0 at the bottom
    size: int  # that it was drawn at; its pixels are repeated to the size that is shown
    seconds: float  # from request to answer, without starting the backend
    placement: tuple[float, ...]  # where the head stands: yaw, pitch, roll in radians, x, y, z in cm
    seen_by: PortraitCamera


def render_frame(request: FrameRequest) -> Picture:
    """Have the backend draw a frame, after starting it if need be. Runs in the thread; raises UserError."""
    client = backend_manager.BACKEND.client(request.settings)
    started = time.perf_counter()
    precision = "exact" if request.size == request.full else "fast"  # what is shown at rest is what a render gives
    passes = client.frame(request.portrait, request.controls, request.size, live=True, precision=precision)
    seconds = time.perf_counter() - started
    combined = passes["Combined"][::-1]
    shown = enlarged(np.ascontiguousarray(combined, dtype=np.float32), request.full)
    return Picture(shown, len(combined), seconds, tuple(passes["placement"].tolist()), camera_of(request.portrait))


def enlarged(pixels: np.ndarray, size: int | None) -> np.ndarray:
    """A square picture (S, S, C) with its pixels repeated to ``size``; None leaves it as it is."""
    if size is None or size == len(pixels):
        return pixels
    nearest = np.arange(size) * len(pixels) // size
    return np.ascontiguousarray(pixels[nearest][:, nearest])  # else the main thread would have to


class LiveView:
    """The one live view of this Blender: feeds what happens to the policy, and does what it says. All methods are for the main thread."""

    def __init__(self) -> None:
        self.state = policy.LiveState()
        self.worker: LatestOnlyWorker | None = None
        self.changed = False  # set by handlers
        self.editors: set[int] | None = None  # set by handlers: those that showed the image before undo or redo
        self.listeners: list[Callable[[], None]] = []  # called when the view starts, stops or has a new picture
        self._forget()

    def _forget(self) -> None:
        self.picture: Picture | None = None  # the one that is shown
        self.seconds = 0.0  # that it took, with the start of the backend where that was needed
        self._read: tuple[dict, dict] | None = None  # portrait and controls, as the rig was last read
        self._rig = (0, "")  # key and name of the rig that was shown last
        self._settings: LaunchSettings | None = None  # looking for it costs file accesses

    @property
    def running(self) -> bool:
        return self.worker is not None

    @property
    def status(self) -> str:
        """For the panel, in Blender's language."""
        status = self.state.status
        if status is None:
            return ""
        return tr_error(status) if isinstance(status, UserError) else tr(status)

    @property
    def failed(self) -> bool:
        """Whether the status tells of an error."""
        return self.state.mode is policy.Mode.FAILED

    def start(self) -> None:
        if self.running:
            return
        self._forget()
        self.worker = LatestOnlyWorker(render_frame)
        self.changed = True
        self._feed(policy.Started())
        for handlers, function in watched_handlers():
            handlers.append(function)
        bpy.app.timers.register(tick, first_interval=0)
        self.tell()

    def stop(self) -> None:
        if self.worker is None:
            return
        self.worker.stop()
        self.worker = None
        self._feed(policy.Stopped())
        for handlers, function in watched_handlers():
            handlers.remove(function)
        if bpy.app.timers.is_registered(tick):
            bpy.app.timers.unregister(tick)
        self.tell()

    def poll(self) -> None:
        """Show what has come, ask for what has changed. Never blocks."""
        worker = self.worker
        if worker is None:
            return
        answer = worker.take()
        if answer is not None:
            self._show(answer)
        # While a render runs in the window, the scene is its own thread's.
        if bpy.app.is_job_running("RENDER"):
            return
        if self.editors is not None and self.picture is not None:
            restore(self.picture.pixels, self.editors)
        self.editors = None
        action = self._feed(self._look())
        if isinstance(action, policy.ReadRig):
            self.changed = False
            action = self._feed(self._read_rig())
        if isinstance(action, policy.Ask) and self._read is not None:
            self._settings = self._settings or backend_manager.launch_settings()
            worker.submit(FrameRequest(*self._read, action.size, action.full, self._settings))

    def _feed(self, event: policy.Event) -> policy.Action:
        """Take the policy's next step; returns what it says to do."""
        before = self.state
        self.state, action = policy.next_state(before, event, time.monotonic())
        if self.state.status != before.status or self.state.mode is not before.mode:
            redraw("VIEW_3D", "UI")
        return action

    def _look(self) -> policy.Looked:
        render = bpy.context.scene.render
        return policy.Looked(
            changed=self.changed,
            busy=self.busy,
            starting=backend_manager.BACKEND.starting,
            playing=playing(),
            playback=setting("live_playback"),
            frame_seconds=render.fps_base / render.fps,
            wanted_size=setting("live_size"),
        )

    def _read_rig(self) -> policy.RigRead | policy.RigUnreadable:
        rig = self._followed_rig()
        if rig is None:
            return policy.RigUnreadable(Text("There is no rig to show. Make a new portrait."))
        try:
            self._read = read_controls(rig, bpy.context.evaluated_depsgraph_get())
        except UserError as error:
            return policy.RigUnreadable(error)
        return policy.RigRead(rig.stylerig.portrait, self._read[1], setting("live_size"))

    def _followed_rig(self) -> bpy.types.Object | None:
        """The active rig, else the one that was shown last."""
        rig = active_rig(bpy.context) or self.rig
        if rig is not None:
            self._rig = key_of(rig), rig.name
        return rig

    @property
    def busy(self) -> bool:
        """Whether a picture is being drawn, or waits to be."""
        return self.worker is not None and self.worker.busy

    @property
    def rig(self) -> bpy.types.Object | None:
        """The rig that is shown; None when it is not in the scene any more."""
        return found(bpy.context.scene.objects, *self._rig)

    def _show(self, answer: Answer) -> None:
        if answer.error is not None:
            self._settings = None
            self._feed(policy.Refused(answer.error, self.busy))
            return
        picture: Picture = answer.value
        self.picture, self.seconds = picture, answer.seconds
        show_pixels(picture.pixels)
        self._feed(policy.Answered(picture.size, len(picture.pixels), picture.seconds, setting("live_size")))
        self.tell()

    def tell(self) -> None:
        for listener in self.listeners:
            listener()


VIEW = LiveView()


def playing() -> bool:
    """Whether an animation plays in any window."""
    return any(window.screen.is_animation_playing for window in bpy.context.window_manager.windows)


def watched_handlers() -> tuple[tuple[list, Callable], ...]:
    """Handler lists of Blender and what is in them while the live view runs."""
    handlers = bpy.app.handlers
    return (
        (handlers.depsgraph_update_post, mark_changed),
        (handlers.frame_change_post, mark_changed),
        (handlers.undo_pre, note_editors),
        (handlers.redo_pre, note_editors),
        (handlers.undo_post, mark_changed),
        (handlers.redo_post, mark_changed),
        (handlers.load_pre, stop_before_load),
        (handlers.save_pre, keep_before_save),
    )


@persistent
def mark_changed(*_arguments: object) -> None:
    VIEW.changed = True


@persistent
def note_editors(*_arguments: object) -> None:
    """Undo takes the image and its pixels back to what they were, and away where it goes to before the start."""
    VIEW.editors = editors()


@persistent
def stop_before_load(*_arguments: object) -> None:
    VIEW.stop()


@persistent
def keep_before_save(*_arguments: object) -> None:
    keep_image()


@persistent
def note_before_save(*_arguments: object) -> None:
    """Whether the live view runs is stored in the file. Not when it starts: undo would take that back."""
    for scene in bpy.data.scenes:
        if scene.library is None and scene.stylerig.live != VIEW.running:
            scene.stylerig.live = VIEW.running


@persistent
def resume_after_load(*_arguments: object) -> None:
    """Go on with the live view that was running when the file was saved."""
    if has_window() and bpy.context.scene.stylerig.live and active_rig(bpy.context) is not None:
        VIEW.start()


def has_window() -> bool:
    return not bpy.app.background


def setting_changed() -> None:
    """To be called when a setting of the live view was changed."""
    VIEW.changed = True
    VIEW.tell()


def tick() -> float | None:
    """The timer: once more after some milliseconds, or None to end."""
    if not VIEW.running:
        return None
    VIEW.poll()
    return TICK_SECONDS


def register() -> None:
    on_change.append(setting_changed)
    bpy.app.handlers.save_pre.append(note_before_save)
    bpy.app.handlers.load_post.append(resume_after_load)


def unregister() -> None:
    VIEW.stop()
    on_change.remove(setting_changed)
    bpy.app.handlers.save_pre.remove(note_before_save)
    bpy.app.handlers.load_post.remove(resume_after_load)
