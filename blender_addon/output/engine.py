"""The render engine: portraits of a scene's rigs as Combined and passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import bpy
import numpy as np

from ..link.client import BackendError, Client
from ..link.session import backend_client
from ..rig import scene_light
from ..rig.controls import RigError, placed_rigs, read_controls
from ..translations import told
from . import frame, metadata, placement, sequence
from .errors import OutputError
from .passes import BACKEND_PASSES, COMBINED, PASSES, RenderPass

POLL_SECONDS = 0.05  # how often a waiting render looks whether it was cancelled
RESTART_SECONDS = 0.5  # a process that was killed closes its connections some moments before it is gone
LANDMARKS: dict[tuple[str, str], placement.Landmarks] = {}  # by weights and latent; a few, the newest last
MOST_LANDMARKS = 16


class StyleRigEngine(bpy.types.RenderEngine):
    """Renders every rig of the scene through the backend.

    Where a portrait goes, ``Scene.stylerig.placement`` says: at the mesh, as the scene camera sees
    it, or as a bare crop in the middle. Of several, the one nearest to the camera is in front. With
    the film not transparent, Combined lies over the world's colour; a world's picture is not drawn.
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
        metadata.begin(depsgraph.scene)
        try:
            pixels = self.picture(depsgraph)
        except (BackendError, OutputError, RigError) as error:
            pixels = {}
            self.fail(told(error))
        if not self.test_break():
            self.write(pixels, depsgraph)

    def picture(self, depsgraph: bpy.types.Depsgraph) -> dict[str, np.ndarray]:
        """All passes of the part of the frame that is rendered. Empty when the person cancelled meanwhile."""
        scene = depsgraph.scene
        sequence.check_output(scene, self.is_animation)
        area = result_area(scene.render, self.resolution_x, self.resolution_y)
        heads = self.heads(depsgraph, area)
        if heads is None:
            return {}
        picture = None
        for rig, portrait, placed in sorted(heads, key=lambda head: -head[2].distance):
            self.update_stats("", f"StyleRig: {rig.name}")
            passes = self.ask(frame_of, portrait, placed)
            if passes is None:
                return {}
            metadata.note(scene, rig.name, portrait, placed.controls, placed.size)
            placed_passes = frame.place(placed.finished(passes), placed.square, area)
            picture = frame.layer(placed_passes, picture) if picture else placed_passes
        picture = picture or frame.empty(area)
        background = None if scene.render.film_transparent else world_colour(scene.world)
        if background is not None:
            picture["Combined"] = frame.over_colour(picture["Combined"], background)
        return picture

    def heads(self, depsgraph, area: frame.Rectangle) -> list[tuple] | None:
        """(rig, portrait, where it is placed) of every head that is seen; None when the person cancelled."""
        render, size = depsgraph.scene.render, (self.resolution_x, self.resolution_y)
        bare = depsgraph.scene.stylerig.placement == "CROP"
        view = None if bare else placement.View.of_scene(depsgraph, *size)
        heads = []
        for rig, matrix in rigs_to_render(depsgraph):
            portrait, controls = read_controls(rig, depsgraph, matrix)
            if bare:
                aspect = render.pixel_aspect_x / render.pixel_aspect_y
                placed = placement.bare_crop(controls, size, aspect, distance_of(matrix, depsgraph))
            else:
                landmarks = self.ask(landmarks_of, portrait)
                if landmarks is None:
                    return None
                matrices = placement.head_matrices(rig, matrix, depsgraph)
                placed = placement.in_shot(controls, portrait, landmarks, matrices, view, area)
            if placed is not None:
                heads.append((rig, portrait, placed))
        return heads

    def ask(self, question: Callable, *arguments) -> object | None:
        """What ``question(client, *arguments)`` answers; None when the person cancelled. A backend that died is started again, once."""
        for last in (False, True):
            try:
                return unless_cancelled(partial(question, backend_client(), *arguments), self.test_break)
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
            for entry in (COMBINED, *PASSES):
                if entry.name in pixels:
                    write_pass(result, entry, pixels[entry.name])
        finally:
            self.end_result(result)
        for name, text in metadata.texts(depsgraph.scene).items():
            self.get_result().stamp_data_add_field(name, text)

    def fail(self, message: str) -> None:
        """Show the message and end the render; an animation stops with it."""
        self.update_stats("", message)
        self.report({"ERROR"}, message)

    def view_update(self, context, depsgraph) -> None:
        """The viewport shows no portrait: nothing to prepare."""

    def view_draw(self, context, depsgraph) -> None:
        """Leave the viewport's background; the live view shows the portrait."""
        self.update_stats("StyleRig", "Press F12, or open the live view")


def rigs_to_render(depsgraph: bpy.types.Depsgraph) -> list[tuple]:
    """The evaluated rigs with where they stand (4, 4). Raises OutputError when there is none."""
    rigs = [(rig, matrix) for rig, matrix in placed_rigs(depsgraph) if not rig.hide_render]
    if not rigs:
        raise OutputError(
            "There is no StyleRig portrait to render in this view layer.",
            "Add one in the sidebar, or enable the rig for renders in the Outliner.",
        )
    return rigs


def distance_of(matrix, depsgraph: bpy.types.Depsgraph) -> float:
    """How far from the scene camera a rig at ``matrix`` (4, 4) stands; 0 without a camera."""
    camera = depsgraph.scene.camera
    return (matrix.translation - camera.evaluated_get(depsgraph).matrix_world.translation).length if camera else 0.0


def frame_of(client: Client, portrait: dict, placed: placement.Placed) -> dict[str, np.ndarray]:
    """All passes of the frame that a place asks for."""
    return client.frame(portrait, placed.controls, placed.size, BACKEND_PASSES)


def landmarks_of(client: Client, portrait: dict) -> placement.Landmarks:
    """The landmarks of a portrait's head: asked for once."""
    key = portrait["weights_hash"], portrait["w"]
    if key not in LANDMARKS:
        LANDMARKS[key] = placement.Landmarks.of_mesh(client.mesh(portrait))
        for oldest in list(LANDMARKS)[:-MOST_LANDMARKS]:
            LANDMARKS.pop(oldest, None)
    return LANDMARKS[key]


def world_colour(world: bpy.types.World | None) -> tuple | None:
    """What the world shows behind everything, linear (3,); None where it shows a picture."""
    source = scene_light.background(world)
    if source is None:
        return tuple(world.color) if world is not None else (0.0, 0.0, 0.0)
    colour, strength, picture = source
    return None if picture else tuple(strength * channel for channel in colour)


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
