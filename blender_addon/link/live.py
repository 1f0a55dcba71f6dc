"""The live view: the active rig's portrait in an image that follows every edit.

A thread talks to the backend; a timer on the main thread reads the rig, hands over the newest
request and puts finished pixels into the image. Handlers only set a flag: they also run in the
render thread, and an edit may call them many times.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..preferences import preferences
from ..rig.controls import RigError, active_rig, read_controls
from . import session
from .newest import Answer, NewestWorker
from .process import LaunchSettings

IMAGE = "StyleRig Portrait"
INTERVAL = 1 / 60  # seconds between looks; the pause of an idle look costs nothing
RESTARTING = "The backend stopped; starting it again…"


@dataclass(frozen=True)
class FrameRequest:
    """All that the thread needs; nothing in it belongs to Blender."""

    portrait: dict
    controls: dict
    size: int | None
    settings: LaunchSettings


def render_frame(request: FrameRequest) -> np.ndarray:
    """The portrait (H, W, 4), scene-linear, premultiplied, row 0 at the bottom. Runs in the thread."""
    client = session.BACKEND.client(request.settings)
    combined = client.frame(request.portrait, request.controls, request.size)["Combined"]
    return np.ascontiguousarray(combined[::-1], dtype=np.float32)


class LiveView:
    """The one live view of this Blender. All methods are for the main thread."""

    def __init__(self) -> None:
        self.worker: NewestWorker | None = None
        self.changed = False  # set by handlers
        self.status = ""  # for the panel
        self.failed = False  # whether the status tells of an error
        self.seconds = 0.0  # of the last frame, request to pixels
        self._asked: tuple | None = None
        self._rig = ""
        self._settings: LaunchSettings | None = None  # looking for it costs file accesses

    @property
    def running(self) -> bool:
        return self.worker is not None

    def start(self) -> None:
        if self.running:
            return
        self.worker = NewestWorker(render_frame)
        self._asked, self._settings, self.changed = None, None, True
        self._say("Waiting for the first picture…")
        for handlers in watched_handlers():
            handlers.append(mark_changed)
        bpy.app.handlers.load_pre.append(stop_before_load)
        bpy.app.timers.register(tick, first_interval=0)

    def stop(self) -> None:
        if self.worker is None:
            return
        self.worker.stop()
        self.worker = None
        self._say("")
        for handlers in watched_handlers():
            handlers.remove(mark_changed)
        bpy.app.handlers.load_pre.remove(stop_before_load)
        if bpy.app.timers.is_registered(tick):
            bpy.app.timers.unregister(tick)

    def poll(self) -> None:
        """Show what has come, ask for what has changed. Never blocks."""
        answer = self.worker.take()
        if answer is not None:
            self._show(answer)
        # While a render runs in the window, the scene is its own thread's.
        if self.changed and not bpy.app.is_job_running("RENDER"):
            self.changed = False
            self._ask()

    def _ask(self) -> None:
        rig = self._followed_rig()
        if rig is None:
            self._say("There is no rig to show. Make a new portrait.", failed=True)
            return
        try:
            portrait, controls = read_controls(rig, bpy.context.evaluated_depsgraph_get())
        except RigError as error:
            self._say(str(error), failed=True)
            return
        size = getattr(preferences(), "live_size", 0) or None
        asked = (rig.stylerig.portrait, controls, size)
        if asked != self._asked:
            self._asked = asked
            self._settings = self._settings or session.launch_settings()
            self.worker.submit(FrameRequest(portrait, controls, size, self._settings))

    def _followed_rig(self) -> bpy.types.Object | None:
        """The active rig, else the one that was shown last."""
        rig = active_rig(bpy.context) or bpy.context.scene.objects.get(self._rig)
        if rig is not None:
            self._rig = rig.name
        return rig

    def _show(self, answer: Answer) -> None:
        if answer.error is None:
            show_pixels(answer.value)
            self.seconds = answer.seconds
            self._say(f"{answer.seconds * 1000:.0f} ms per picture")
            return
        self._asked = self._settings = None  # the next edit asks again, whatever it is
        gone = answer.error.code == "backend_gone" and self.worker.busy
        self._say(RESTARTING if gone else str(answer.error), failed=True)

    def _say(self, status: str, failed: bool = False) -> None:
        if (status, failed) != (self.status, self.failed):
            self.status, self.failed = status, failed
            redraw("VIEW_3D")


VIEW = LiveView()


def watched_handlers() -> tuple[list, ...]:
    handlers = bpy.app.handlers
    return handlers.depsgraph_update_post, handlers.frame_change_post, handlers.undo_post, handlers.redo_post


@persistent
def mark_changed(*_arguments) -> None:
    VIEW.changed = True


@persistent
def stop_before_load(*_arguments) -> None:
    VIEW.stop()


def tick() -> float | None:
    """The timer: once more after INTERVAL, or None to end."""
    if not VIEW.running:
        return None
    VIEW.poll()
    return INTERVAL


def live_image(width: int, height: int) -> bpy.types.Image:
    """The live view's image at this size; made when missing (undo may take it away)."""
    image = bpy.data.images.get(IMAGE)
    if image is None:
        # Float, because pixels come scene-linear; Blender shows linear floats as sRGB.
        image = bpy.data.images.new(IMAGE, width, height, alpha=True, float_buffer=True)
        image.alpha_mode = "PREMUL"
    elif tuple(image.size) != (width, height):
        image.scale(width, height)
    return image


def show_pixels(pixels: np.ndarray) -> None:
    """Put (H, W, 4) into the image; 0.3 ms at 512²."""
    height, width, _ = pixels.shape
    image = bpy.data.images.get(IMAGE)
    resized = image is None or tuple(image.size) != (width, height)
    image = live_image(width, height)
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    if resized:
        fit_views(image)
    redraw("IMAGE_EDITOR")


def fit_views(image: bpy.types.Image) -> None:
    """Zoom the editors that show the image so that it fills them."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "IMAGE_EDITOR" and area.spaces.active.image == image:
                region = next(region for region in area.regions if region.type == "WINDOW")
                with bpy.context.temp_override(window=window, area=area, region=region):
                    bpy.ops.image.view_all(fit_view=True)


def redraw(kind: str) -> None:
    """Have all areas of a kind drawn again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == kind:
                area.tag_redraw()


def unregister() -> None:
    VIEW.stop()
