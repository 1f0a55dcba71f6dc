"""The render engine: portraits of a scene's rigs as Combined and passes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ..client.backend_manager import connector
from ..client.http_client import Client
from ..client.tasks import Task
from ..errors import Text, UserError
from ..protocol import compositing, cryptomatte, exposure, frames, motion, placement
from ..protocol.passes import COMBINED, EVERY_PASS, VECTOR, RenderPass
from ..rig import scene_light
from ..rig.read_rig import is_rig, placed_rigs, read_controls
from ..translations import tr, tr_error
from . import compositor, metadata, prefetch, reach, sequence, shutter
from .passes import cryptomatte_levels, passes_of
from .scene_view import head_matrices, view_of

POLL_SECONDS = 0.05  # how often a waiting render looks whether it was cancelled
RESTART_SECONDS = 0.5  # a process that was killed closes its connections some moments before it is gone
LANDMARKS: dict[tuple[str, str], placement.Landmarks] = {}  # by weights and latent; a few, the newest last
MAX_LANDMARKS = 16


@dataclass(frozen=True)
class Head:
    """A rig that is seen in a frame."""

    name: str
    number: int  # of those with this name: collection instances have their rig's
    portrait: dict
    placed: placement.Placed

    def request(self, passes: tuple[RenderPass, ...]) -> tuple:
        """The arguments of ``Client.frame``."""
        return self.portrait, self.placed.controls, self.placed.size, drawn_passes(self.portrait, passes)


def drawn_passes(portrait: dict, passes: tuple[RenderPass, ...]) -> tuple[str, ...]:
    """Those of ``passes`` that the backend draws; only models that show whole heads draw mattes of parts."""
    drawn = (entry.name for entry in passes if entry.name in frames.PASSES)
    return tuple(name for name in drawn if portrait.get("frame") or name not in frames.MATTES)


Layer = tuple[dict[str, np.ndarray], cryptomatte.Coverages]  # a view's passes and what its Cryptomattes hold


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

    def update_render_passes(self, scene: bpy.types.Scene = None, renderlayer: bpy.types.ViewLayer = None) -> None:
        for entry in (COMBINED, *passes_of(renderlayer)):
            self.register_pass(scene, renderlayer, entry.name, entry.count, entry.channels, entry.kind)

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        metadata.begin(depsgraph.scene, self.is_animation)
        try:
            drawn = self.pictures(depsgraph)
            if drawn:
                self.keep_strangers(depsgraph.scene)
        except UserError as error:
            drawn = {view: ({}, self.area(depsgraph)) for view in self.views()}
            self.fail(tr_error(error))
        if not self.test_break():
            for view, (pixels, part) in drawn.items():
                self.write(pixels, part, view, depsgraph)

    def pictures(self, depsgraph: bpy.types.Depsgraph) -> dict[str, tuple[dict[str, np.ndarray], compositing.Rectangle]]:
        """By view, the passes of a part of the frame, and which it is: around it there is nothing. Empty when the person cancelled."""
        scene = depsgraph.scene
        compositor.check_plate(scene)
        compositor.check_compared(scene)
        sequence.check_output(scene, self.is_animation)
        passes = passes_to_draw(scene, self.is_animation, depsgraph.view_layer)
        around = self.sightings_around(depsgraph) if VECTOR in passes and scene.stylerig.placement == "SHOT" else None
        views = self.heads_by_view(depsgraph)
        if views is None:
            return {}
        if around:
            views = {view: [moving(head, *(frame[view] for frame in around)) for head in heads] for view, heads in views.items()}
        self.tell_beyond(depsgraph)
        if not self.is_animation and not any(views.values()):
            self.report({"INFO"}, tr("No portrait is seen in this view layer."))
        moments = self.at_moments(depsgraph)
        if moments is None:
            return {}
        shown = [head for frame in (views, *moments) for heads in frame.values() for head in heads]
        area = self.area(depsgraph)
        if shown and not passes and depsgraph.scene.render.film_transparent:
            area = compositing.union_bounds([head.placed.square.rectangle for head in shown], area)
        for heads in views.values():
            for head in heads:
                metadata.add_portrait(depsgraph.scene, head.name, head.portrait, head.placed.controls, head.placed.size)
        layers = self.layered(views, passes, area, depsgraph) if passes or not moments else {view: ({}, {}) for view in views}
        if moments and layers:
            blurred = self.exposed(moments, passes, area, depsgraph)
            layers = {view: (layers[view][0] | pixels, coverages) for view, (pixels, coverages) in blurred.items()}
        return {view: (self.finished(*layer, depsgraph), area) for view, layer in layers.items()}

    def exposed(
        self,
        moments: list[dict[str, list[Head]]],
        passes: tuple[RenderPass, ...],
        area: compositing.Rectangle,
        depsgraph: bpy.types.Depsgraph,
    ) -> dict[str, Layer]:
        """By view, what the shutter sees of the portraits while it is open; empty when the person cancelled."""
        seen = {view: exposure.Exposure() for view in moments[0]}
        wanted = tuple(entry for entry in passes if entry.name in exposure.BLURRED)
        still = Still()
        for views in moments:
            layers = self.layered(views, wanted, area, depsgraph, still)
            if not layers:
                return {}
            for view, layer in layers.items():
                seen[view].add(*layer)
        return {view: exposed.mean() for view, exposed in seen.items()}

    def layered(
        self,
        views: dict[str, list[Head]],
        passes: tuple[RenderPass, ...],
        area: compositing.Rectangle,
        depsgraph: bpy.types.Depsgraph,
        still: Still | None = None,
    ) -> dict[str, Layer]:
        """Each view's heads drawn and laid over each other, in a part of the frame; empty when the person cancelled."""
        drawn = self.drawn([head for heads in views.values() for head in heads], passes, depsgraph, still)
        layers = {view: self.layer(heads, drawn, passes, area, depsgraph) for view, heads in views.items()}
        whole = {view: layer for view, layer in layers.items() if layer is not None}
        return whole if len(whole) == len(layers) else {}

    def layer(
        self,
        heads: list[Head],
        drawn: Iterator[dict | None],
        passes: tuple[RenderPass, ...],
        area: compositing.Rectangle,
        depsgraph: bpy.types.Depsgraph,
    ) -> Layer | None:
        """One view's passes and what its Cryptomattes hold; None when the person cancelled."""
        picture, matted = None, bool(passes) and bool(cryptomatte_levels(depsgraph.view_layer))
        coverages: cryptomatte.Coverages = {}
        for head, made in zip(heads, drawn, strict=False):  # ``drawn`` goes on with the next view
            if made is None:
                return None
            placed_passes = compositing.paste(head.placed.finished(made), head.placed.square, area)
            picture = compositing.over(placed_passes, picture) if picture else placed_passes
            if matted:
                coverages = cryptomatte.over(cryptomatte.of_portrait(head.name, placed_passes), coverages)
        return picture or compositing.empty(area, passes), coverages

    def finished(
        self, picture: dict[str, np.ndarray], coverages: cryptomatte.Coverages, depsgraph: bpy.types.Depsgraph
    ) -> dict[str, np.ndarray]:
        """A view's passes with the world's colour behind them and names in layers."""
        scene = depsgraph.scene
        background = None if scene.render.film_transparent else world_colour(scene.world)
        if background is not None:
            picture["Combined"] = compositing.over_colour(picture["Combined"], background)
        levels = cryptomatte_levels(depsgraph.view_layer)
        for layer in coverages.keys() & levels.keys():
            picture |= cryptomatte.ranked(layer, coverages[layer], levels[layer])
            metadata.add_cryptomatte(scene, f"{depsgraph.view_layer.name}.{layer}", coverages[layer])
        return picture

    def tell_beyond(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Tell what the portraits cannot follow of the camera: of an animation once for all frames that have the same to tell."""
        if depsgraph.scene.stylerig.placement != "SHOT":
            return
        area = self.area(depsgraph)
        seen = (self.beyond_view(view, depsgraph, area) for view in self.views())
        told = list({str(text): text for texts in seen for text in texts}.values())
        if self.is_animation:
            reach.note(depsgraph, told)
            return
        for text in told:
            self.report({"WARNING"}, tr(text))

    def beyond_view(self, view: str, depsgraph: bpy.types.Depsgraph, area: compositing.Rectangle) -> list[Text]:
        self.active_view_set(view)
        return reach.beyond_in(depsgraph, self.view(depsgraph), area)

    def area(self, depsgraph: bpy.types.Depsgraph) -> compositing.Rectangle:
        """The part of the full picture that the render result holds."""
        return result_area(depsgraph.scene.render, self.resolution_x, self.resolution_y)

    def views(self) -> list[str]:
        """Names of the views that are rendered: one without a name, but in stereoscopy."""
        result = self.get_result()
        return [view.name for view in result.views] if result and result.views else [""]

    def heads_by_view(self, depsgraph: bpy.types.Depsgraph) -> dict[str, list[Head]] | None:
        """The heads that each view sees; None when the person cancelled."""
        found = {}
        for view in self.views():
            self.active_view_set(view)
            heads = self.heads(depsgraph)
            if heads is None:
                return None
            found[view] = heads
        return found

    def heads(self, depsgraph: bpy.types.Depsgraph) -> list[Head] | None:
        """Every head that the present view sees, the farthest first; None when the person cancelled."""
        render, size = depsgraph.scene.render, (self.resolution_x, self.resolution_y)
        bare = depsgraph.scene.stylerig.placement == "CROP"
        seen_by = None if bare else self.view(depsgraph)
        heads = []
        for number, rig, matrix in numbered(rigs_to_render(depsgraph)):
            portrait, controls = read_controls(rig, depsgraph, matrix)
            placed: placement.Placed | None
            if seen_by is None:
                aspect = render.pixel_aspect_x / render.pixel_aspect_y
                placed = placement.bare_crop(controls, size, aspect, distance_of(matrix, depsgraph))
            elif portrait.get("frame"):
                matrices = head_matrices(rig, matrix, depsgraph)
                placed = placement.whole_in_shot(controls, portrait, matrices, seen_by, self.area(depsgraph))
            else:
                landmarks = self.landmarks(portrait)
                if landmarks is None:
                    return None
                matrices = head_matrices(rig, matrix, depsgraph)
                placed = placement.in_shot(controls, portrait, landmarks, matrices, seen_by, self.area(depsgraph))
            if placed is not None:
                heads.append(Head(rig.name, number, portrait, placed))
        return sorted(heads, key=lambda head: -head.placed.distance)

    def at_moments(self, depsgraph: bpy.types.Depsgraph) -> list[dict[str, list[Head]]] | None:
        """The heads by view at each moment of the shutter's; none without motion blur, None when the person cancelled.

        They are evaluated in the engine's own dependency graph, which then goes back to this frame.
        """
        now, part = depsgraph.scene.frame_current, depsgraph.scene.frame_subframe
        times = shutter.moments(depsgraph.scene)
        found = []
        try:
            for frame, subframe in times:
                self.frame_set(frame, subframe)
                views = self.heads_by_view(depsgraph)
                if views is None:
                    return None
                found.append(views)
        finally:
            if times:
                self.frame_set(now, part)
        return found

    def sightings_around(self, depsgraph: bpy.types.Depsgraph) -> list[dict[str, dict[tuple[str, int], motion.Sighting]]]:
        """By view, name and number where each head is at the frame before and at the one after.

        They are evaluated in the engine's own dependency graph, which then goes back to this frame.
        """
        now, part = depsgraph.scene.frame_current, depsgraph.scene.frame_subframe
        found = []
        try:
            for frame in (now - 1, now + 1):
                self.frame_set(frame, part)
                found.append({view: self.sightings(view, depsgraph) for view in self.views()})
        finally:
            self.frame_set(now, part)
        return found

    def sightings(self, view: str, depsgraph: bpy.types.Depsgraph) -> dict[tuple[str, int], motion.Sighting]:
        self.active_view_set(view)
        seen_by = self.view(depsgraph)
        rigs = numbered(rigs_to_render(depsgraph))
        return {(rig.name, number): seen_by.sighting(head_matrices(rig, matrix, depsgraph)[0]) for number, rig, matrix in rigs}

    def view(self, depsgraph: bpy.types.Depsgraph) -> placement.View:
        """What the camera of the present view sees: of an eye, where stereoscopy puts it. Raises UserError."""
        camera = self.camera_override
        if camera is None:
            raise no_camera()
        matrix, shift = self.camera_model_matrix(camera), self.camera_shift_x(camera)
        return view_of(camera, matrix, shift, depsgraph, self.resolution_x, self.resolution_y)

    def landmarks(self, portrait: dict) -> placement.Landmarks | None:
        """The landmarks of a portrait's head, asked for once; None when the person cancelled."""
        key = portrait["weights_hash"], portrait["w"]
        if key not in LANDMARKS:
            connect = connector()
            mesh = self.ask(lambda: Task(lambda: connect().mesh(portrait)))
            if mesh is None:
                return None
            LANDMARKS[key] = placement.Landmarks.of_mesh(mesh)
            for oldest in list(LANDMARKS)[:-MAX_LANDMARKS]:
                LANDMARKS.pop(oldest, None)
        return LANDMARKS[key]

    def drawn(
        self, heads: list[Head], passes: tuple[RenderPass, ...], depsgraph: bpy.types.Depsgraph, still: Still | None = None
    ) -> Iterator[dict | None]:
        """What the backend draws of each head, in turn; None when the person cancelled.

        Meanwhile looks ahead, but while the shutter is open: then ``still`` keeps what does not move.
        """
        requests = [head.request(passes) for head in heads]
        if still is not None:
            yield from still.drawn(requests, lambda request: self.ask(partial(prefetch.FrameTask, connector(), request)))
            return
        prefetcher = prefetch.of_layer(depsgraph) if self.is_animation else prefetch.FramePrefetcher()
        prefetched, connect = prefetcher.take(depsgraph.scene.frame_current, requests), connector()
        look = partial(self.prefetch, prefetcher, connect, passes, depsgraph)
        for head, request, drawing in zip(heads, requests, prefetched, strict=True):
            self.update_stats("StyleRig", head.name)
            yield self.ask(partial(prefetch.FrameTask, connect, request), drawing, look if head is heads[0] else None)

    def prefetch(
        self,
        prefetcher: prefetch.FramePrefetcher,
        connect: Callable[[], Client],
        passes: tuple[RenderPass, ...],
        depsgraph: bpy.types.Depsgraph,
    ) -> None:
        """Have the backend draw the animation's next frames after this one, where that is of use.

        They are evaluated in the engine's own dependency graph, which then goes back to this frame:
        evaluated data that was read before may no longer be there.
        """
        scene = depsgraph.scene
        missing = [number for number in islice(sequence.frames_after(scene), prefetcher.depth) if number not in prefetcher.pending]
        if not missing or prefetch.others_follow_frames():
            return
        now, part = scene.frame_current, scene.frame_subframe
        started = time.perf_counter()
        try:
            for number in missing:
                self.frame_set(number, part)
                views = self.heads_by_view(depsgraph) or {}
                prefetcher.begin(number, connect, [head.request(passes) for heads in views.values() for head in heads])
        except UserError:
            pass  # told when Blender comes to that frame
        finally:
            self.frame_set(now, part)
        prefetcher.evaluation_seconds = (time.perf_counter() - started) / len(missing)

    def ask(self, begin: Callable[[], Task], prefetched: Task | None = None, meanwhile: Callable[[], None] | None = None) -> Any:
        """The result of the task that ``begin()`` starts; None when the person cancelled.

        A backend that died is started again, once. ``prefetched``: the same task, started before; if it
        fails, for whatever reason, it is started again. ``meanwhile`` is called while the task runs.
        """
        for last in (False, True):
            if self.test_break():
                return None
            try:
                task = prefetched if prefetched and not last else begin()
                if meanwhile and not last:
                    meanwhile()
                return unless_cancelled(task, self.test_break)
            except UserError as error:
                gone = error.code == "backend_gone"
                if last and gone:
                    raise gone_again(error) from error
                if last or not (prefetched or gone):
                    raise
                if gone:
                    time.sleep(RESTART_SECONDS)
        return None

    def keep_strangers(self, scene: bpy.types.Scene) -> None:
        """In an animation that goes on, keep what another program made of this frame, and say so. Raises UserError."""
        for name, kept in sequence.keep_strangers(scene) if self.is_animation else ():
            told_so = tr(
                "{name} does not say that StyleRig made it: the frame is drawn anew, what was there is kept as {kept}.",
                name=name,
                kept=kept,
            )
            self.report({"WARNING"}, told_so)

    def write(self, pixels: dict[str, np.ndarray], part: compositing.Rectangle, view: str, depsgraph: bpy.types.Depsgraph) -> None:
        """Fill a part of a view's passes with pictures (H, W, C); the rest of a new result is 0."""
        area = self.area(depsgraph)
        view_layer = depsgraph.view_layer.name
        for entry in EVERY_PASS[1:]:
            if entry.name in pixels:
                self.add_pass(entry.name, entry.count, entry.channels, layer=view_layer)
        result = self.begin_result(part.x - area.x, part.y - area.y, part.width, part.height, layer=view_layer, view=view)
        try:
            for entry in EVERY_PASS:
                if entry.name in pixels:
                    write_pass(result, entry, pixels[entry.name])
        finally:
            self.end_result(result)
        for name, text in (metadata.texts(depsgraph.scene) | metadata.cryptomattes(depsgraph.scene)).items():
            self.get_result().stamp_data_add_field(name, text)

    def fail(self, message: str) -> None:
        """Show the message and end the render; an animation stops with it."""
        sequence.RENDER_ERRORS.append(message)
        self.update_stats("", message)
        self.report({"ERROR"}, message)

    def view_update(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """The viewport shows no portrait: nothing to prepare."""

    def view_draw(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """Leave the viewport's background; the live view shows the portrait."""
        self.update_stats("StyleRig", tr("Press F12, or open the live view"))


class Still:
    """The last drawings while the shutter is open: what is asked for in the same way again is the same."""

    def __init__(self) -> None:
        self.last: list[tuple[tuple, dict]] = []  # requests and what was drawn of them

    def drawn(self, requests: list[tuple], draw: Callable[[tuple], dict | None]) -> Iterator[dict | None]:
        """What ``draw`` makes of each request."""
        known, self.last = self.last, []
        for request in requests:
            made = next((picture for asked, picture in known if asked == request), None) or draw(request)
            self.last += [(request, made)] if made is not None else []
            yield made


def no_camera() -> UserError:
    return UserError("no_camera", "The scene has no camera.", "Add one, or choose the placement Aligned Crop.")


def moving(head: Head, before: dict[tuple[str, int], motion.Sighting], after: dict[tuple[str, int], motion.Sighting]) -> Head:
    """The head with where it is at the frames around: where it is now, if it is not there."""
    if head.placed.head_to_world is None or head.placed.view is None:
        return head
    now, key = head.placed.view.sighting(head.placed.head_to_world), (head.name, head.number)
    return replace(head, placed=replace(head.placed, around=(before.get(key, now), after.get(key, now))))


def numbered(rigs: list[tuple]) -> Iterator[tuple]:
    """Rigs and where they stand, each with how many of its name come before it."""
    known: Counter[str] = Counter()
    for rig, matrix in rigs:
        yield known[rig.name], rig, matrix
        known[rig.name] += 1


def gone_again(error: UserError) -> UserError:
    """The backend was started again for a frame and died again."""
    return UserError(
        "backend_gone",
        "The backend is not running any more.",
        "Render again: it is started anew, and with Overwrite off finished frames stay. "
        "Its log may say why it ended; if not, the system ended it, mostly for want of memory: {log}",
        log=error.hint_text.values.get("log"),
    )


def rigs_to_render(depsgraph: bpy.types.Depsgraph) -> list[tuple]:
    """The evaluated rigs with where they stand (4, 4): none where all are hidden, or in other view layers.

    Raises UserError when the scene holds none at all.
    """
    rigs = [(rig, matrix) for rig, matrix in placed_rigs(depsgraph) if not rig.hide_render]
    if not rigs:
        check_portraits(depsgraph.scene)
    return rigs


def check_portraits(scene: bpy.types.Scene) -> None:
    """Raise UserError when a scene holds no portrait, hidden or not."""
    if not holds_rig(scene.objects):
        raise UserError("no_rig", "There is no StyleRig portrait in this scene.", "Add one in the sidebar.")


def holds_rig(objects: Iterable[bpy.types.Object], seen: frozenset[str] = frozenset()) -> bool:
    """Whether a rig is among the objects, or in the collections that they are instances of."""
    for item in objects:
        shown = item.instance_collection if item.instance_type == "COLLECTION" else None
        if is_rig(item) or (shown and shown.name_full not in seen and holds_rig(shown.all_objects, seen | {shown.name_full})):
            return True
    return False


def distance_of(matrix: Matrix, depsgraph: bpy.types.Depsgraph) -> float:
    """How far from the scene camera a rig at ``matrix`` (4, 4) stands; 0 without a camera."""
    camera = depsgraph.scene.camera
    return (matrix.translation - camera.evaluated_get(depsgraph).matrix_world.translation).length if camera else 0.0


def passes_to_draw(scene: bpy.types.Scene, animation: bool, view_layer: bpy.types.ViewLayer) -> tuple[RenderPass, ...]:
    """The passes besides Combined that something can be made of: none in an animation whose frames have room for nothing else.

    A still shows all of them in the Image Editor. Another scene's compositor may show this one.
    """
    render = scene.render
    composited = any(one.render.use_compositing and compositor.scene_tree(one) is not None for one in bpy.data.scenes)
    layered = render.image_settings.file_format == "OPEN_EXR_MULTILAYER" or render.use_render_cache
    return () if animation and not composited and not layered else passes_of(view_layer)


def world_colour(world: bpy.types.World | None) -> tuple | None:
    """What the world shows behind everything, linear (3,); None where it shows a picture."""
    source = scene_light.background(world)
    if source is None:
        return tuple(world.color) if world is not None else (0.0, 0.0, 0.0)
    colour, strength, picture = source
    return None if picture else tuple(strength * channel for channel in colour)


def unless_cancelled(task: Task, cancelled: Callable[[], bool]) -> object | None:
    """What a task returns, or raises; None as soon as ``cancelled()`` is true.

    The task is then given up: what the backend has prefetched to draw cannot be taken back, but the person
    need not wait for it.
    """
    while not task.wait(POLL_SECONDS):
        if cancelled():
            task.cancel()
            return None
    return task.result()


def result_area(render: bpy.types.RenderSettings, width: int, height: int) -> compositing.Rectangle:
    """The part of the full picture that the render result holds: all of it, or the border."""
    if not render.use_border:
        return compositing.Rectangle(0, 0, width, height)
    edges = (render.border_min_x, render.border_min_y, render.border_max_x, render.border_max_y)
    return compositing.border_rectangle(width, height, edges)


def write_pass(result: bpy.types.RenderResult, entry: RenderPass, pixels: np.ndarray) -> None:
    """Copy a picture (H, W, C) into the pass of the result's layer, if the result has it."""
    target = next((one for one in result.layers[0].passes if one.name == entry.name), None)
    if target is not None:
        flat = np.ascontiguousarray(pixels, dtype=np.float32).reshape(-1)
        target.rect.foreach_set(flat)


def panels() -> list[Any]:
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
