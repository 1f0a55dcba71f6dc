"""Making portraits: from a seed, from a gallery of candidates, by mixing two, as a duplicate."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..client import backend_manager
from ..client.candidates import Candidate, Face, Gallery, draw_candidate, thumbnail
from ..client.http_client import Client
from ..errors import UserError
from ..identity import found, key_of
from ..operators import AsyncOperator
from ..protocol import frames
from ..render.portrait_camera import needs_camera, show_in_render
from ..rig import placing, seeds, style_mixing
from ..rig.build import build_rig, duplicate_rig, place_beside, replace_portrait
from ..rig.read_rig import active_rig, is_rig, portrait_of, rigs_in
from ..translations import tr, tr_error
from ..windows import redraw
from . import favorites, thumbnails
from .pose import equip
from .status import draw_wrapped

POLL_SECONDS = 0.1  # between looks for candidates that have come
COLUMNS = 3
THUMBNAIL_SCALE = 4.5  # of a candidate, in units of the interface
GALLERY = Gallery()
POPUP_SCALE = 6.0  # of a picture to choose, in units of the interface
CANDIDATES: dict[Face, Candidate] = {}  # of this session
MAX_CANDIDATES = 240  # kept; 64 KB of picture each
LAYERS = (
    ("COARSE", "Coarse", "Pose and the shape of head and face", 1),
    ("MIDDLE", "Middle", "Features and hair", 2),
    ("FINE", "Fine", "Colors and small detail", 4),
)
TRUNCATION = {
    "name": "Variety",
    "description": "How far from the average face (truncation): low is plain, high is varied and more often odd",
    "default": 0.7, "min": 0, "max": 1, "subtype": "FACTOR",
}  # fmt: skip


def known_models(_owner: Any, _context: bpy.types.Context, _typed: str) -> list[str]:
    """Names to choose from: those of the backend that runs or ran last."""
    return backend_manager.BACKEND.models


MODEL = {
    "name": "Model",
    "description": "Name of the model that draws the face; empty: the backend's first",
    "search": known_models,
}


def keep_seed(gallery: StyleRigGallery, _context: bpy.types.Context) -> None:
    """Empty the text where it is no seed."""
    if gallery.large_first and not seeds.is_seed(gallery.large_first):
        gallery.large_first = ""


_PICTURES: list[tuple] = []  # of the last enumeration: Blender does not keep the texts itself


def picture_items(gallery: StyleRigGallery, _context: bpy.types.Context | None) -> list[tuple]:
    """The faces of the page that have been drawn, with their pictures."""
    drawn = [CANDIDATES[face] for face in faces_of(gallery) if face in CANDIDATES]
    _PICTURES[:] = [
        (icon_name(one.face), str(one.face.seed), "Build this face", thumbnails.icon_of(icon_name(one.face)), place)
        for place, one in enumerate(drawn)
    ]
    return _PICTURES


def build_picture(gallery: StyleRigGallery, _context: bpy.types.Context) -> None:
    """A picture was clicked: build its rig."""
    chosen = next((one for one in CANDIDATES.values() if icon_name(one.face) == gallery.picture), None)
    if chosen is not None and bpy.ops.stylerig.new_portrait.poll():
        number, text = seeds.fields_of(chosen.face.seed)
        options = {"seed": number, "large_seed": text, "truncation": chosen.face.truncation, "model": chosen.face.model}
        options |= {"replace": gallery.replace, "in_sight": True, "controls": True}
        bpy.ops.stylerig.new_portrait("EXEC_DEFAULT" if bpy.app.background else "INVOKE_DEFAULT", True, **options)


class StyleRigGallery(bpy.types.PropertyGroup):
    """What the panels offer to draw; of the window manager, kept for the session."""

    first: IntProperty(name="First Seed", description="Number of the first face", default=0, min=0)
    large_first: StringProperty(
        name="Large Seed", description="Instead of First Seed, a number that its field cannot hold: up to 9223372036854775807",
        update=keep_seed,
    )  # fmt: skip
    count: IntProperty(name="Count", description="How many faces to draw", default=9, min=1, max=48)
    truncation: FloatProperty(**TRUNCATION)
    model: StringProperty(**MODEL)
    favorites: BoolProperty(name="Favorites", description="Show the faces that were kept, instead of a page of seeds")
    capture_host: StringProperty(
        name="Address", description="Where to listen: 127.0.0.1 is this computer alone, 0.0.0.0 every network it is in", default="127.0.0.1"
    )
    capture_port: IntProperty(name="Port", description="UDP port that the sender sends to", default=11111, min=1, max=65535)
    picture: EnumProperty(name="Picture", description="Click a face to build it", items=picture_items, update=build_picture)
    replace: BoolProperty(
        name="Replace Active Rig", description="Give the active rig the face and keep its animation, instead of adding a rig"
    )
    layers: EnumProperty(
        name="Layers", description="What is taken from the other portrait", items=LAYERS, default={"MIDDLE"}, options={"ENUM_FLAG"}
    )
    amount: FloatProperty(name="Amount", description="How much of the other portrait", default=1, min=0, max=1, subtype="FACTOR")


class PortraitOperator(AsyncOperator):
    """Fetches a portrait, its mesh and a small picture in a thread, then builds a rig of it."""

    bl_options = {"REGISTER", "UNDO"}
    waiting = "Drawing a portrait…"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set("Switch to Object Mode first")
            return False
        return True

    def finish(self, context: bpy.types.Context, value: tuple) -> set[str]:
        if context.mode != "OBJECT":
            self.report({"ERROR"}, "The rig was not built: switch to Object Mode and try again")
            return {"CANCELLED"}
        portrait, mesh, picture = value
        rig = self.build(context, portrait, mesh)
        self.show(context, rig)
        thumbnails.fill(rig.preview_ensure(), thumbnails.display(picture))
        self.report({"INFO"}, tr("Built {name}", name=rig.name))
        return {"FINISHED"}

    def build(self, context: bpy.types.Context, portrait: dict, mesh: dict) -> bpy.types.Object:
        return build_or_replace(context, portrait, mesh, getattr(self, "replace", False))

    def show(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        """Bring the rig into sight."""


class PlacedPortraitOperator(PortraitOperator):
    """One that can place its rig in sight, with a camera and controls; for a person it does unless told otherwise."""

    in_sight: BoolProperty(
        name="Place in Sight", description="At the 3D cursor, beside what stands there, and framed in the views", options={"SKIP_SAVE"}
    )
    camera: BoolProperty(
        name="Portrait Camera", description="Add a camera that frames the head, and render with StyleRig", options={"SKIP_SAVE"}
    )

    controls: BoolProperty(
        name="Controls on the Rig", description="Expressions as properties of the rig that drive the shape keys, and a gaze target",
        options={"SKIP_SAVE"},
    )  # fmt: skip

    def fill_in_placing(self, context: bpy.types.Context) -> None:
        """What a person has not chosen: in sight, and with a camera in a scene where nobody has placed one."""
        chosen = self.properties.is_property_set
        if not chosen("in_sight"):
            self.in_sight = True
        if not chosen("controls"):
            self.controls = True
        if not chosen("camera"):
            self.camera = not self.replace and needs_camera(context.scene)

    def show(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        if self.in_sight and not self.replace:
            placing.place_at_cursor(context, rig)
            placing.frame_in_views(context, rig)
        if self.controls and not self.replace:
            equip(context, rig)
        if self.camera:
            show_in_render(context.scene, rig)


def build_or_replace(context: bpy.types.Context, portrait: dict, mesh: dict, replace: bool) -> bpy.types.Object:
    """A new rig of the portrait, or the active one with its face."""
    if not replace:
        return build_rig(context, portrait, mesh)
    rig = active_rig(context)
    if rig is None:
        raise UserError("no_rig", "There is no active rig to give the face to.", "Select a portrait's rig.")
    replace_portrait(context, rig, portrait, mesh)
    rig.stylerig.source = ""
    return rig


class STYLERIG_OT_new_portrait(PlacedPortraitOperator, bpy.types.Operator):
    """Draw a new face from a number and build its rig"""

    bl_idname = "stylerig.new_portrait"
    bl_label = "New Portrait"

    seed: IntProperty(name="Seed", description="The same number is the same face, on every computer", default=7, min=0)
    large_seed: StringProperty(
        name="Large Seed", description="Instead of Seed, a number that its field cannot hold: up to 9223372036854775807",
        options={"SKIP_SAVE"},
    )  # fmt: skip
    truncation: FloatProperty(**TRUNCATION)
    model: StringProperty(**MODEL)
    replace: BoolProperty(
        name="Replace Active Rig", description="Give the active rig the face and keep its animation", options={"SKIP_SAVE"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.fill_in(context)
        return super().invoke(context, event)

    def fill_in(self, context: bpy.types.Context) -> None:
        """What a person has not chosen: any face, and how it is placed."""
        if not self.properties.is_property_set("seed") and not self.large_seed:
            self.seed = random.randrange(seeds.MAX_NUMBER)
        self.fill_in_placing(context)

    def work(self) -> Callable[[], Any]:
        settings = backend_manager.launch_settings()
        face = Face(seeds.seed_of(self.seed, self.large_seed), decimal(self.truncation), self.model)
        known = CANDIDATES.get(face)

        def fetch() -> tuple[dict, dict, Any]:
            client = backend_manager.BACKEND.client(settings)
            candidate = known or draw_candidate(client, face)
            return candidate.portrait, client.mesh(candidate.portrait), candidate.combined

        return fetch


class STYLERIG_OT_draw_gallery(bpy.types.Operator):
    """Draw faces to choose from"""

    bl_idname = "stylerig.draw_gallery"
    bl_label = "Generate"

    page: IntProperty(name="Page", description="Pages to go on before drawing", default=0, options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        gallery = context.window_manager.stylerig_gallery
        first = first_of(gallery) + self.page * gallery.count
        gallery.first, gallery.large_first = seeds.fields_of(min(max(0, first), frames.MAX_SEED))
        settings = backend_manager.launch_settings()
        wanted = [face for face in faces_of(gallery) if face not in CANDIDATES]
        if wanted:
            GALLERY.start(lambda: backend_manager.BACKEND.client(settings), wanted)
            if not bpy.app.timers.is_registered(collect):
                bpy.app.timers.register(collect, first_interval=POLL_SECONDS)
        return {"FINISHED"}


class STYLERIG_OT_mix_portraits(PortraitOperator, bpy.types.Operator):
    """Make a portrait of the active one with layers of another one's style"""

    bl_idname = "stylerig.mix_portraits"
    bl_label = "Mix Portraits"
    waiting = "Mixing portraits…"

    other: StringProperty(name="Other", description="Name of the rig whose style is taken", options={"SKIP_SAVE"})
    layers: EnumProperty(name="Layers", description="What is taken from it", items=LAYERS, default={"MIDDLE"}, options={"ENUM_FLAG"})
    amount: FloatProperty(name="Amount", description="How much is taken", default=1, min=0, max=1, subtype="FACTOR")
    replace: BoolProperty(name="Replace Active Rig", description="Change the active rig instead of adding one", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if active_rig(context) is None or len(rigs_in(context.scene)) < 2:
            cls.poll_message_set("Select one of at least two portraits")
            return False
        return super().poll(context)

    def work(self) -> Callable[[], Any]:
        settings, rig = backend_manager.launch_settings(), active_rig(bpy.context)
        other = bpy.context.scene.objects.get(self.other)
        if not is_rig(other) or other == rig:
            raise UserError(
                "no_other", "There is no other rig named “{name}”.", "Choose one of the scene's other portraits.", name=self.other
            )
        portrait, theirs = portrait_of(rig), portrait_of(other)
        self._base, self._source = key_of(rig), style_mixing.describe(other.name, self.layers, self.amount)
        self._left = other.name if style_mixing.leaves_offsets(portrait, theirs) else ""
        mixture = portrait, theirs, self.layers, self.amount
        w, parameters = style_mixing.encode_w(style_mixing.mix(*mixture)), style_mixing.mix_parameters(*mixture)
        return lambda: fetch_mixed(backend_manager.BACKEND.client(settings), portrait, w, parameters)

    def build(self, context: bpy.types.Context, portrait: dict, mesh: dict) -> bpy.types.Object:
        rig = build_or_replace(context, portrait, mesh, self.replace)
        rig.stylerig.source = self._source
        base = found(context.scene.objects, self._base)
        if base is not None and not self.replace:
            place_beside(rig, base)
        if self._left:
            self.report({"WARNING"}, tr("What was tuned to the photo of {name} is not mixed in", name=self._left))
        return rig


def fetch_mixed(client: Client, portrait: dict, w: str, parameters: dict | None) -> tuple[dict, dict, Any]:
    """Portrait, mesh and picture of a mixed latent, with what was tuned to the photo of ``portrait``. Blocks."""
    mixed = style_mixing.with_offsets_of(portrait, client.portrait_of_latent(portrait, w, parameters))
    return mixed, client.mesh(mixed), thumbnail(client, mixed)


class STYLERIG_OT_duplicate_portrait(bpy.types.Operator):
    """Copy the active rig with its head, animation and portrait"""

    bl_idname = "stylerig.duplicate_portrait"
    bl_label = "Duplicate Portrait"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set("Switch to Object Mode first")
        elif active_rig(context) is None:
            cls.poll_message_set("Select a portrait's rig")
        else:
            return True
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            duplicate_rig(context, active_rig(context))
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        return {"FINISHED"}


def decimal(value: float) -> float:
    """What a person meant: Blender's float32 of 0.7 is 0.699999988."""
    return round(value, 4)


def first_of(gallery: StyleRigGallery) -> int:
    return seeds.seed_of(gallery.first, gallery.large_first)


def page_of(gallery: StyleRigGallery) -> range:
    """The seeds that the gallery shows."""
    first = first_of(gallery)
    return range(first, min(first + gallery.count, frames.MAX_SEED + 1))


def faces_of(gallery: StyleRigGallery) -> list[Face]:
    """The faces that the gallery shows, drawn or not."""
    return (
        favorites.favorites()
        if gallery.favorites
        else [Face(seed, decimal(gallery.truncation), gallery.model) for seed in page_of(gallery)]
    )


def icon_name(face: Face) -> str:
    return f"{face.seed} {face.truncation:.3f} {face.model}"


def collect() -> float | None:
    """The timer: show candidates that have come, until all have."""
    busy = GALLERY.busy  # asked before taking: what comes after it is taken the next time
    come = GALLERY.take()
    for candidate in come:
        CANDIDATES[candidate.face] = candidate
        thumbnails.show(icon_name(candidate.face), thumbnails.display(candidate.combined))
    while len(CANDIDATES) > MAX_CANDIDATES:
        del CANDIDATES[next(iter(CANDIDATES))]
    if come or not busy:
        redraw("VIEW_3D")
    return POLL_SECONDS if busy else None


def draw_gallery(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Settings and the grid of candidates."""
    gallery = context.window_manager.stylerig_gallery
    column = layout.column(align=True)
    column.use_property_split = True
    column.prop(gallery, "favorites")
    for name in () if gallery.favorites else ("first", "large_first", "count", "truncation", "model"):
        column.prop(gallery, name)
    column.prop(gallery, "replace")
    row = layout.row(align=True)
    pages = () if gallery.favorites else ((-1, "TRIA_LEFT"), (1, "TRIA_RIGHT"))
    row.operator("stylerig.draw_gallery", icon="IMGDISPLAY").page = 0
    for page, icon in pages:
        row.operator("stylerig.draw_gallery", text="", icon=icon).page = page
    if GALLERY.error is not None:
        draw_wrapped(layout, context, tr_error(GALLERY.error), "ERROR")
    drawn = [CANDIDATES[face] for face in faces_of(gallery) if face in CANDIDATES]
    if drawn:
        layout.template_icon_view(gallery, "picture", show_labels=True, scale=POPUP_SCALE, scale_popup=POPUP_SCALE)
    elif gallery.favorites:
        layout.label(text="Stars keep faces here", icon="SOLO_OFF")
    grid = layout.grid_flow(row_major=True, columns=COLUMNS, even_columns=True, even_rows=True, align=True)
    for candidate in drawn:
        draw_thumbnail(grid.column(align=True), gallery, candidate)
    if GALLERY.busy:
        layout.label(text="Drawing…", icon="SORTTIME")


def draw_thumbnail(cell: bpy.types.UILayout, gallery: StyleRigGallery, candidate: Candidate) -> None:
    cell.template_icon(icon_value=thumbnails.icon_of(icon_name(candidate.face)), scale=THUMBNAIL_SCALE)
    row, face = cell.row(align=True), candidate.face
    favorites.draw_button(row, face._replace(model=candidate.portrait["model"]))
    pick = row.operator("stylerig.new_portrait", text=str(face.seed))
    pick.seed, pick.large_seed = seeds.fields_of(face.seed)
    pick.truncation, pick.model, pick.replace = face.truncation, face.model, gallery.replace


def draw_favorite(layout: bpy.types.UILayout, rig: bpy.types.Object) -> None:
    """The star of a rig whose face is that of a seed."""
    favorites.draw_button(layout, Face(int(rig.stylerig.seed), decimal(rig.stylerig.truncation), rig.stylerig.model))


def draw_mixing(layout: bpy.types.UILayout, context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """What to take, and a button for each other portrait to take it from."""
    gallery = context.window_manager.stylerig_gallery
    column = layout.column(align=True)
    column.row(align=True).prop(gallery, "layers")
    column.prop(gallery, "amount", slider=True)
    column.prop(gallery, "replace")
    others = [other for other in rigs_in(context.scene) if other != rig]
    for other in others:
        mix = column.operator("stylerig.mix_portraits", text=tr("With {name}", name=other.name), translate=False, icon="USER")
        mix.other, mix.layers, mix.amount, mix.replace = other.name, gallery.layers, gallery.amount, gallery.replace
    if not others:
        column.label(text="Needs a second portrait", icon="INFO")


CLASSES = (
    StyleRigGallery,
    STYLERIG_OT_new_portrait,
    STYLERIG_OT_draw_gallery,
    STYLERIG_OT_mix_portraits,
    STYLERIG_OT_duplicate_portrait,
)


def register() -> None:
    bpy.types.WindowManager.stylerig_gallery = PointerProperty(type=StyleRigGallery)


def unregister() -> None:
    GALLERY.stop()
    if bpy.app.timers.is_registered(collect):
        bpy.app.timers.unregister(collect)
    CANDIDATES.clear()
    thumbnails.forget()
    del bpy.types.WindowManager.stylerig_gallery
