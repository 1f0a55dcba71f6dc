"""The live view: the active rig's portrait in an image that follows every edit.

A thread talks to the backend; a timer on the main thread reads the rig, hands over the newest
request and puts finished pixels into the image. Handlers only set a flag: they also run in the
render thread, and an edit may call them many times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..client import backend_manager
from ..client.process import LaunchSettings
from ..errors import Text, UserError
from ..rig.read_rig import active_rig, read_controls
from ..settings import on_change, setting
from ..translations import tr, tr_error
from ..windows import redraw
from .adaptive_resolution import Pace
from .image import editors, keep_image, restore, show_pixels
from .latest_only_worker import Answer, NewestWorker

INTERVAL = 0.0  # seconds between looks: once in each turn of Blender's main loop; where nothing changed, microseconds
REST_SECONDS = 0.15  # without an edit, then a coarse picture is followed by the full one
RESTARTING = "The backend stopped; starting it again…"
PATIENT_SECONDS = 3.0  # after which the status tells how long a picture has been under way


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


def render_frame(request: FrameRequest) -> Picture:
    """Have the backend draw a frame, after starting it if need be. Runs in the thread; raises UserError."""
    client = backend_manager.BACKEND.client(request.settings)
    started = time.perf_counter()
    passes = client.frame(request.portrait, request.controls, request.size, live=True)
    seconds = time.perf_counter() - started
    combined = passes["Combined"][::-1]
    shown = enlarged(np.ascontiguousarray(combined, dtype=np.float32), request.full)
    return Picture(shown, len(combined), seconds, tuple(passes["placement"].tolist()))


def enlarged(pixels: np.ndarray, size: int | None) -> np.ndarray:
    """A square picture (S, S, C) with its pixels repeated to ``size``; None leaves it as it is."""
    if size is None or size == len(pixels):
        return pixels
    nearest = np.arange(size) * len(pixels) // size
    return np.ascontiguousarray(pixels[nearest][:, nearest])  # else the main thread would have to


class LiveView:
    """The one live view of this Blender. All methods are for the main thread."""

    def __init__(self) -> None:
        self.worker: NewestWorker | None = None
        self.changed = False  # set by handlers
        self.editors: set[int] | None = None  # set by handlers: those that showed the image before undo or redo
        self.status = ""  # for the panel
        self.failed = False  # whether the status tells of an error
        self.listeners: list[Callable[[], None]] = []  # called when the view starts, stops or has a new picture
        self._forget()

    def _forget(self) -> None:
        self.pace = Pace()
        self.picture: Picture | None = None  # the one that is shown
        self.seconds = 0.0  # that it took, with the start of the backend where that was needed
        self._asked: tuple | None = None  # stored portrait, controls and full size of the last request
        self._coarse: FrameRequest | None = None  # the last request, where it was for less than the full size
        self._own = 0  # the generator's own size, 0 until known
        self._rig = ""
        self._settings: LaunchSettings | None = None  # looking for it costs file accesses
        self._edited = self._submitted = self._answered = 0.0  # time of the last edit, of the last request, of the last picture
        self._resting = False  # whether playback goes on without the live view

    @property
    def running(self) -> bool:
        return self.worker is not None

    def start(self) -> None:
        if self.running:
            return
        self._forget()
        self.worker = NewestWorker(render_frame)
        self.changed = True
        self._say(tr("Waiting for the first picture…"))
        for handlers, function in watched_handlers():
            handlers.append(function)
        bpy.app.timers.register(tick, first_interval=0)
        self.tell()

    def stop(self) -> None:
        if self.worker is None:
            return
        self.worker.stop()
        self.worker = None
        self._say("")
        for handlers, function in watched_handlers():
            handlers.remove(function)
        if bpy.app.timers.is_registered(tick):
            bpy.app.timers.unregister(tick)
        self.tell()

    def poll(self) -> None:
        """Show what has come, ask for what has changed. Never blocks."""
        answer = self.worker.take()
        if answer is not None:
            self._show(answer)
        # While a render runs in the window, the scene is its own thread's.
        if bpy.app.is_job_running("RENDER"):
            return
        if self.editors is not None and self.picture is not None:
            restore(self.picture.pixels, self.editors)
        self.editors = None
        self._resting = self.changed and self._paused()
        if self.changed and not self._resting:
            self.changed = False
            self._ask()
        elif self._coarse is not None and not self.worker.busy and time.monotonic() - self._edited > REST_SECONDS:
            self._submit(replace(self._coarse, size=self._coarse.full))
        if self.worker.busy and not (self.failed or self._resting):
            self._tell_wait()

    def _ask(self) -> None:
        rig = self._followed_rig()
        if rig is None:
            self._say(tr("There is no rig to show. Make a new portrait."), failed=True)
            return
        try:
            portrait, controls = read_controls(rig, bpy.context.evaluated_depsgraph_get())
        except UserError as error:
            self._say(tr_error(error), failed=True)
            return
        wanted = setting("live_size")
        asked = (rig.stylerig.portrait, controls, wanted)
        if asked == self._asked:
            return
        if self._asked is None or self._asked[0] != asked[0]:
            self._own = 0  # another portrait may be of another generator
        self._asked, self._edited = asked, time.monotonic()
        self._settings = self._settings or backend_manager.launch_settings()
        full = wanted or self._own or None
        size = self.pace.moving_size(full) if full else None
        self._submit(FrameRequest(portrait, controls, size, full, self._settings))

    def _submit(self, request: FrameRequest) -> None:
        self._coarse = request if request.size != request.full else None
        self._submitted = time.monotonic()
        self.worker.submit(request)

    def _followed_rig(self) -> bpy.types.Object | None:
        """The active rig, else the one that was shown last."""
        rig = active_rig(bpy.context) or self.rig
        if rig is not None:
            self._rig = rig.name
        return rig

    @property
    def rig(self) -> bpy.types.Object | None:
        """The rig that is shown; None when it is not in the scene any more."""
        return bpy.context.scene.objects.get(self._rig)

    def _paused(self) -> bool:
        """Whether playback goes on without the live view, as the person chose or because pictures come too slowly.

        In the second case a picture is tried now and then, so that the view comes back when it can follow.
        """
        choice = setting("live_playback")
        if choice == "FOLLOW" or not playing():
            return False
        if choice == "PAUSE":
            self._say(tr("Paused during playback"))
            return True
        full, render = setting("live_size") or self._own, bpy.context.scene.render
        rest = self.pace.rest(full, render.fps_base / render.fps) if full else 0.0
        if not rest:
            return False
        self._say(tr("Paused during playback until it can follow: a picture takes {time}", time=milliseconds(self.picture.seconds)))
        return self.worker.busy or time.monotonic() - self._answered < rest

    def _show(self, answer: Answer) -> None:
        if answer.error is not None:
            self._fail(answer.error)
            return
        picture: Picture = answer.value
        first = self.picture is None  # the backend may still have been loading
        self.picture, self.seconds, self._answered = picture, answer.seconds, time.monotonic()
        show_pixels(picture.pixels)
        if not setting("live_size"):
            self._own = len(picture.pixels)
        if not first:
            self.pace.measured(picture.size, picture.seconds)
        # The first picture's time may be that of loading the model. A trial in playback leaves the status as it is.
        if not self._resting:
            self._say(tr("Follows the rig") if first else self._progress(picture))
        self.tell()

    def _progress(self, picture: Picture) -> str:
        shown = len(picture.pixels)
        if picture.size == shown:
            return tr("{time} per picture", time=milliseconds(picture.seconds))
        return tr(
            "Coarse while it moves: {size} of {full} px, {time} per picture",
            size=picture.size, full=shown, time=milliseconds(picture.seconds),
        )  # fmt: skip

    def _fail(self, error: UserError) -> None:
        self._asked = self._settings = self._coarse = None  # the next edit asks again, whatever it is
        if error.code == "backend_gone" and self.worker.busy:
            self._say(tr(RESTARTING), failed=True)
        elif error.code == "out_of_memory":  # the backend's own hint speaks of requests
            hint = Text("Choose a smaller size in the live view's settings, or close other programs.")
            self._say(tr_error(UserError(error.code, error.message_text, hint)), failed=True)
        else:
            self._say(tr_error(error), failed=True)

    def _tell_wait(self) -> None:
        waited = int(time.monotonic() - self._submitted)
        if backend_manager.BACKEND.starting and self.picture is not None:  # it was gone before the request
            self._say(tr(RESTARTING), failed=True)
        elif waited >= PATIENT_SECONDS:
            self._say(tr("Waiting for a picture: {seconds} s", seconds=waited))

    def _say(self, status: str, failed: bool = False) -> None:
        if (status, failed) != (self.status, self.failed):
            self.status, self.failed = status, failed
            redraw("VIEW_3D", "UI")

    def tell(self) -> None:
        for listener in self.listeners:
            listener()


VIEW = LiveView()


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


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
def mark_changed(*_arguments) -> None:
    VIEW.changed = True


@persistent
def note_editors(*_arguments) -> None:
    """Undo takes the image and its pixels back to what they were, and away where it goes to before the start."""
    VIEW.editors = editors()


@persistent
def stop_before_load(*_arguments) -> None:
    VIEW.stop()


@persistent
def keep_before_save(*_arguments) -> None:
    keep_image()


@persistent
def note_before_save(*_arguments) -> None:
    """Whether the live view runs is stored in the file. Not when it starts: undo would take that back."""
    for scene in bpy.data.scenes:
        if scene.library is None and scene.stylerig.live != VIEW.running:
            scene.stylerig.live = VIEW.running


@persistent
def resume_after_load(*_arguments) -> None:
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
    return INTERVAL


def register() -> None:
    on_change.append(setting_changed)
    bpy.app.handlers.save_pre.append(note_before_save)
    bpy.app.handlers.load_post.append(resume_after_load)


def unregister() -> None:
    VIEW.stop()
    on_change.remove(setting_changed)
    bpy.app.handlers.save_pre.remove(note_before_save)
    bpy.app.handlers.load_post.remove(resume_after_load)
