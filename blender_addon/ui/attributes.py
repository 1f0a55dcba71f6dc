"""The panel Attributes: sliders for who somebody is, and operators that bring more of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import FloatProperty, IntProperty, StringProperty

from ..client import backend_manager
from ..client.candidates import both_ends
from ..errors import UserError
from ..identity import found, key_of
from ..operators import AsyncOperator
from ..rig import attributes
from ..rig.read_rig import active_rig, attribute_ranges, portrait_of
from ..translations import tr
from . import thumbnails
from .portrait import decimal
from .pose import RigOperator, has_editable_rig, reset_attributes

PICTURE_SCALE = 3.2  # of an end's picture, in units of the interface
LARGEST_FILE = 700_000  # bytes: what a request holds of it


class DirectionsOperator(AsyncOperator):
    """Asks the backend for directions in a thread, then makes sliders of them on the rig that was active."""

    bl_options = {"REGISTER", "UNDO"}
    waiting = "Reading directions…"
    asked = False  # whether a person has been asked for the options

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return has_editable_rig(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Wait in a thread also where a file browser or a dialog ends with this."""
        if self.asked:
            return AsyncOperator.invoke(self, context, None)
        return AsyncOperator.execute(self, context)

    def ask(self, portrait: dict) -> Callable[[Any], Any]:
        """What to ask a client for; it blocks."""
        raise AssertionError("each operator has its own")

    def work(self) -> Callable[[], Any]:
        settings, rig = backend_manager.launch_settings(), active_rig(bpy.context)
        self._rig = key_of(rig)
        ask = self.ask(portrait_of(rig))
        return lambda: ask(backend_manager.BACKEND.client(settings))

    def finish(self, context: bpy.types.Context, value: Any) -> set[str]:
        rig = found(bpy.data.objects, self._rig)
        if rig is None:
            self.report({"ERROR"}, "The rig is gone")
            return {"CANCELLED"}
        names = attributes.bring_directions(rig, value)
        self.report({"INFO"}, tr("{count} attributes are new", count=len(names)))
        return {"FINISHED"}


class STYLERIG_OT_load_directions(DirectionsOperator, bpy.types.Operator):
    """Make sliders of the directions in a file of python -m backend directions"""

    bl_idname = "stylerig.load_directions"
    bl_label = "Load Directions"

    filepath: StringProperty(name="File", description="A directions file (.safetensors)", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.safetensors", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.asked = True
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def ask(self, portrait: dict) -> Callable[[Any], dict]:
        path = Path(bpy.path.abspath(self.filepath))
        content = read_file(path)
        return lambda client: client.directions_of_file(portrait, path.name, content)


def read_file(path: Path) -> bytes:
    """A file's bytes. Raises UserError where it cannot be read or is far too large."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError("too_large", "{path} is too large for a file of directions.", "Choose another, or save fewer.", path=path)
        return path.read_bytes()
    except OSError as error:
        raise UserError("no_file", "{path} cannot be read: {reason}.", "Choose another.", path=path, reason=error.strerror) from error


class STYLERIG_OT_sefa_directions(DirectionsOperator, bpy.types.Operator):
    """Make sliders of what changes the model's pictures most, found in its weights (SeFa)"""

    bl_idname = "stylerig.sefa_directions"
    bl_label = "Directions from SeFa"
    waiting = "Finding directions…"

    layers: StringProperty(name="Layers", description="Numbers and ranges of layers, coarse ones first: 0-1,4; or all", default="0-4")
    count: IntProperty(name="Count", description="How many directions to find", default=6, min=1, max=24)
    distance: FloatProperty(name="Distance", description="How far an amount of 1 goes", default=6, min=0.1, max=100, soft_max=20)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.asked = True
        return context.window_manager.invoke_props_dialog(self)

    def ask(self, portrait: dict) -> Callable[[Any], Any]:
        layers, count, distance = self.layers, self.count, decimal(self.distance)

        def find(client: Any) -> tuple[dict, dict]:
            directions = client.sefa_directions(portrait, layers, count, distance)
            return directions, both_ends(client, portrait, directions)

        return find

    def finish(self, context: bpy.types.Context, value: tuple[dict, dict]) -> set[str]:
        directions, pictures = value
        result = super().finish(context, directions)
        for (name, end), picture in pictures.items():
            thumbnails.show(icon_name(self._rig, name, end), thumbnails.display(picture))
        return result


def icon_name(rig: int, name: str, end: str) -> str:
    """What the small picture of an attribute's end is called; ``rig`` is its key."""
    return f"{rig} {name} {end}"


class STYLERIG_OT_refresh_attributes(DirectionsOperator, bpy.types.Operator):
    """Give the rig the sliders that its model comes with, as for one that an earlier version made"""

    bl_idname = "stylerig.refresh_attributes"
    bl_label = "Add the Model's Attributes"
    waiting = "Asking for attributes…"

    def ask(self, portrait: dict) -> Callable[[Any], dict]:
        def of_model(client: Any) -> dict:
            mine = [model for model in client.models() if model["weights_hash"] == portrait["weights_hash"]]
            if not mine or not mine[0].get("attributes"):
                raise UserError("no_attributes", "The portrait's model comes with no attributes.", "Load directions that were made for it.")
            return mine[0]

        return of_model

    def finish(self, context: bpy.types.Context, value: dict) -> set[str]:
        rig = found(bpy.data.objects, self._rig)
        if rig is None:
            self.report({"ERROR"}, "The rig is gone")
            return {"CANCELLED"}
        attributes.store(rig, {**portrait_of(rig), "attributes": value["attributes"]})
        attributes.add_sliders(rig)
        return {"FINISHED"}


class STYLERIG_OT_reset_attributes(RigOperator, bpy.types.Operator):
    """Set all attributes to zero, which is the portrait itself"""

    bl_idname = "stylerig.reset_attributes"
    bl_label = "Reset Attributes"

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        reset_attributes(context, rig)


class STYLERIG_OT_remove_directions(RigOperator, bpy.types.Operator):
    """Take away the attributes that were loaded, but not those of the model"""

    bl_idname = "stylerig.remove_directions"
    bl_label = "Remove Loaded Directions"

    name: StringProperty(name="Name", description="Name of the only one to remove; empty for all", options={"SKIP_SAVE"})

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        attributes.remove_directions(rig, [self.name] if self.name else attributes.own_names(portrait_of(rig)))


def draw(layout: bpy.types.UILayout, rig: bpy.types.Object, readable: Callable[[str], str]) -> None:
    """The sliders, numbered ones folded by what they are called, and buttons."""
    try:
        portrait = portrait_of(rig)
    except UserError as error:
        layout.label(text=tr(error.message_text), translate=False, icon="ERROR")
        return
    ranges, own = attribute_ranges(portrait), attributes.own_names(portrait)
    present = [name for name in ranges if name in rig]
    for group, names in attributes.in_groups(present).items():
        column = group_column(layout, group, readable(group), opened=any(name in own for name in names))
        if column is None:
            continue
        for name in names:
            draw_slider(column.row(align=True), rig, name, readable(name), name in own)
    if not portrait.get("attributes") or len(present) < len(ranges):
        layout.operator("stylerig.refresh_attributes", icon="FILE_REFRESH")
    layout.operator("stylerig.reset_attributes", icon="LOOP_BACK")
    column = layout.column(align=True)
    column.operator("stylerig.load_directions", icon="FILE_FOLDER")
    column.operator("stylerig.sefa_directions", icon="ADD")
    if own:
        column.operator("stylerig.remove_directions", icon="X")


def group_column(layout: bpy.types.UILayout, group: str, label: str, opened: bool) -> bpy.types.UILayout | None:
    """Where the sliders of a group go; None where it is folded, as one with a name is at first unless ``opened``."""
    if not group:
        return layout.column(align=True)
    header, body = layout.panel(f"stylerig_attributes_{group}", default_closed=not opened)
    header.label(text=label, translate=False)
    return body.column(align=True) if body is not None else None


def draw_slider(row: bpy.types.UILayout, rig: bpy.types.Object, name: str, label: str, removable: bool) -> None:
    """A slider between small pictures of its ends, where they were drawn."""
    low, high = (thumbnails.icon_of(icon_name(key_of(rig), name, end)) for end in ("minimum", "maximum"))
    if low:
        row.template_icon(icon_value=low, scale=PICTURE_SCALE)
    row.prop(rig, attributes.path_of(name), text=label, slider=True, translate=False)
    if high:
        row.template_icon(icon_value=high, scale=PICTURE_SCALE)
    if removable:
        row.operator("stylerig.remove_directions", text="", icon="X").name = name


CLASSES = (
    STYLERIG_OT_load_directions,
    STYLERIG_OT_sefa_directions,
    STYLERIG_OT_refresh_attributes,
    STYLERIG_OT_reset_attributes,
    STYLERIG_OT_remove_directions,
)
