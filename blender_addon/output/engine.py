"""The render engine: portraits of a scene's rigs as Combined and passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import bpy
import numpy as np

from ..link.client import BackendError
from ..link.session import backend_client
from ..rig.controls import RigError, read_controls, rigs_in
from . import frame, sequence
from .errors import OutputError
from .passes import BACKEND_PASSES, COMBINED, PASSES, RenderPass

POLL_SECONDS = 0.05  # how often a waiting render looks whether it was cancelled
RESTART_SECONDS = 0.5  # a process that was killed closes its connections some moments before it is gone


class StyleRigEngine(bpy.types.RenderEngine):
    """Renders every rig of the scene through the backend.

    The portrait is a centred square as large as the shorter side of the picture and transparent
    around it: Combined always has its alpha, whatever the scene's film setting, and the world is
    not drawn. Several rigs lie over each other, the one nearest to the camera in front.
    """

    bl_idname = "STYLERIG"
    bl_label = "StyleRig"
    bl_use_preview = False
    bl_use_eevee_viewport = True
    bl_use_shading_nodes_custom = False

    def update_render_passes(self, scene=None, renderlayer=None) -> None:
        for entry in (COMBINED, *PASSES):
            self.register_pass(scene, renderlayer, entry.name, entry.count, entry.channels, entry.kind)

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        try:
            pixels = self.picture(depsgraph)
        except (BackendError, OutputError, RigError) as error:
            pixels = {}
            self.fail(str(error))
        if not self.test_break():
            self.write(pixels, depsgraph)

    def picture(self, depsgraph: bpy.types.Depsgraph) -> dict[str, np.ndarray]:
        """All passes of the frame at its full size. Empty when the person cancelled meanwhile."""
        scene = depsgraph.scene
        sequence.check_output(scene, self.is_animation)
        size = (self.resolution_x, self.resolution_y)
        square = frame.portrait_square(*size)
        portraits = None
        for rig in rigs_back_to_front(depsgraph):
            passes = self.portrait(rig, depsgraph, square.width)
            if passes is None:
                return {}
            portraits = frame.layer(passes, portraits)
        outside = {entry.name: entry.outside for entry in (COMBINED, *PASSES)}
        return {
            name: frame.place(pixels, size, square, outside[name]) for name, pixels in portraits.items()
        }

    def portrait(self, rig, depsgraph, side: int) -> dict[str, np.ndarray] | None:
        """The passes of one rig, ``side`` pixels square; None when the person cancelled."""
        self.update_stats("", f"StyleRig: {rig.name}")
        portrait, controls = read_controls(rig, depsgraph)
        passes = self.ask(portrait, controls, frame.backend_size(side))
        return None if passes is None else frame.to_blender(passes, side)

    def ask(self, portrait: dict, controls: dict, size: int) -> dict[str, np.ndarray] | None:
        """The backend's frame; None when the person cancelled. A backend that died is started again, once."""
        for last in (False, True):
            client = backend_client()
            try:
                return unless_cancelled(
                    lambda: client.frame(portrait, controls, size, BACKEND_PASSES), self.test_break
                )
            except BackendError as error:
                if last or error.code != "backend_gone":
                    raise
                time.sleep(RESTART_SECONDS)
        return None

    def write(self, pixels: dict[str, np.ndarray], depsgraph: bpy.types.Depsgraph) -> None:
        """Fill the passes of the result with pictures (H, W, C); those without one stay empty."""
        view_layer = depsgraph.view_layer.name
        for entry in PASSES:
            self.add_pass(entry.name, entry.count, entry.channels, layer=view_layer)
        result = self.begin_result(0, 0, self.resolution_x, self.resolution_y, layer=view_layer)
        try:
            area = result_area(depsgraph.scene.render, self.resolution_x, self.resolution_y)
            for entry in (COMBINED, *PASSES):
                if entry.name in pixels:
                    write_pass(result, entry, pixels[entry.name][area.rows, area.columns])
        finally:
            self.end_result(result)

    def fail(self, message: str) -> None:
        """Show the message and end the render; an animation stops with it."""
        self.update_stats("", message)
        self.report({"ERROR"}, message)

    def view_update(self, context, depsgraph) -> None:
        """The viewport shows no portrait: nothing to prepare."""

    def view_draw(self, context, depsgraph) -> None:
        """Leave the viewport's background; the live view shows the portrait."""
        self.update_stats("StyleRig", "Press F12, or open the live view")


def rigs_back_to_front(depsgraph: bpy.types.Depsgraph) -> list[bpy.types.Object]:
    """The rigs to render, farthest from the camera first. Raises OutputError when there is none."""
    rigs = [rig for rig in rigs_in(depsgraph) if not rig.hide_render]
    if not rigs:
        raise OutputError(
            "There is no StyleRig portrait to render in this view layer.",
            "Add one in the sidebar, or enable the rig for renders in the Outliner.",
        )
    camera = depsgraph.scene.camera
    if camera is None or len(rigs) == 1:
        return rigs
    eye = camera.evaluated_get(depsgraph).matrix_world.translation
    return sorted(rigs, key=lambda rig: -(rig.matrix_world.translation - eye).length)


def unless_cancelled(work: Callable[[], object], cancelled: Callable[[], bool]) -> object | None:
    """What ``work()`` returns, or raises; None as soon as ``cancelled()`` is true.

    The work goes on in a thread of its own and its result is then dropped: a request to the
    backend cannot be taken back, but the person need not wait for it.
    """
    outcome: dict[str, object] = {}

    def run() -> None:
        try:
            outcome["result"] = work()
        except Exception as error:  # handed to the caller's thread, which knows what to expect
            outcome["error"] = error

    if cancelled():
        return None
    thread = threading.Thread(target=run, name="StyleRig frame", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_SECONDS)
        if thread.is_alive() and cancelled():
            return None
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def result_area(render: bpy.types.RenderSettings, width: int, height: int) -> frame.Rectangle:
    """The part of the full picture that the render result holds: all of it, or the border."""
    if not render.use_border:
        return frame.Rectangle(0, 0, width, height)
    edges = (render.border_min_x, render.border_min_y, render.border_max_x, render.border_max_y)
    return frame.border_rectangle(width, height, edges)


def write_pass(result: bpy.types.RenderResult, entry: RenderPass, pixels: np.ndarray) -> None:
    """Copy a picture (H, W, C) into the pass of the result's layer, if the result has it."""
    target = next((one for one in result.layers[0].passes if one.name == entry.name), None)
    if target is not None:
        flat = np.ascontiguousarray(pixels, dtype=np.float32).reshape(-1)
        target.rect.foreach_set(flat)


def panels() -> list[type]:
    """Blender's own panels that make sense with this engine: those every engine shows."""
    hidden = {"VIEWLAYER_PT_filter", "VIEWLAYER_PT_layer_passes", "RENDER_PT_freestyle"}
    return [
        panel
        for panel in bpy.types.Panel.__subclasses__()
        if "BLENDER_RENDER" in getattr(panel, "COMPAT_ENGINES", ()) and panel.__name__ not in hidden
    ]


CLASSES = (StyleRigEngine,)


def register() -> None:
    for panel in panels():
        panel.COMPAT_ENGINES.add(StyleRigEngine.bl_idname)


def unregister() -> None:
    for panel in bpy.types.Panel.__subclasses__():
        getattr(panel, "COMPAT_ENGINES", set()).discard(StyleRigEngine.bl_idname)
