"""The panel Attributes: sliders for who somebody is, and operators that bring more of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import FloatProperty, IntProperty, StringProperty

from ..client import backend_manager
from ..errors import UserError
from ..identity import found, key_of
from ..operators import AsyncOperator
from ..rig import attributes
from ..rig.read_rig import active_rig, attribute_ranges, portrait_of
from ..translations import tr
from .pose import RigOperator, reset_attributes

LARGEST_FILE = 700_000  # bytes: what a request holds of it


class DirectionsOperator(AsyncOperator):
    """Asks the backend for directions in a thread, then makes sliders of them on the rig that was active."""

    bl_options = {"REGISTER", "UNDO"}
    waiting = "Reading directions…"
    asked = False  # whether a person has been asked for the options

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return RigOperator.poll.__func__(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Wait in a thread also where a file browser or a dialog ends with this."""
        if self.asked:
            return AsyncOperator.invoke(self, context, None)
        return AsyncOperator.execute(self, context)

    def ask(self, portrait: dict) -> Callable[[Any], dict]:
        """What to ask a client for."""
        raise AssertionError("each operator has its own")

    def work(self) -> Callable[[], Any]:
        settings, rig = backend_manager.launch_settings(), active_rig(bpy.context)
        self._rig = key_of(rig)
        ask = self.ask(portrait_of(rig))
        return lambda: ask(backend_manager.BACKEND.client(settings))

    def finish(self, context: bpy.types.Context, value: dict) -> set[str]:
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
    count: IntProperty(name="Count", description="How many directions to find", default=6, min=1, max=48)
    distance: FloatProperty(name="Distance", description="How far an amount of 1 goes", default=6, min=0.1, max=100, soft_max=20)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.asked = True
        return context.window_manager.invoke_props_dialog(self)

    def ask(self, portrait: dict) -> Callable[[Any], dict]:
        layers, count, distance = self.layers, self.count, self.distance
        return lambda client: client.sefa_directions(portrait, layers, count, distance)


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

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        attributes.remove_directions(rig)


def draw(layout: bpy.types.UILayout, rig: bpy.types.Object, readable: Callable[[str], str]) -> None:
    """The sliders, numbered ones folded by what they are called, and buttons."""
    try:
        portrait = portrait_of(rig)
    except UserError as error:
        layout.label(text=tr(error.message_text), translate=False, icon="ERROR")
        return
    present = [name for name in attribute_ranges(portrait) if name in rig]
    for group, names in attributes.in_groups(present).items():
        draw_group(layout, rig, group, names, readable)
    if not portrait.get("attributes") or len(present) < len(attribute_ranges(portrait)):
        layout.operator("stylerig.refresh_attributes", icon="FILE_REFRESH")
    row = layout.row(align=True)
    row.operator("stylerig.reset_attributes", icon="LOOP_BACK")
    column = layout.column(align=True)
    column.operator("stylerig.load_directions", icon="FILE_FOLDER")
    column.operator("stylerig.sefa_directions", icon="ADD")
    if portrait.get("directions"):
        column.operator("stylerig.remove_directions", icon="X")


def draw_group(layout: bpy.types.UILayout, rig: bpy.types.Object, group: str, names: list[str], readable: Callable[[str], str]) -> None:
    """Sliders of one group, folded where it has a name."""
    body: bpy.types.UILayout | None = layout
    if group:
        header, body = layout.panel(f"stylerig_attributes_{group}", default_closed=True)
        header.label(text=readable(group), translate=False)
    if body is not None and names:
        column = body.column(align=True)
        for name in names:
            column.prop(rig, attributes.path_of(name), text=readable(name), slider=True, translate=False)


CLASSES = (
    STYLERIG_OT_load_directions,
    STYLERIG_OT_sefa_directions,
    STYLERIG_OT_refresh_attributes,
    STYLERIG_OT_reset_attributes,
    STYLERIG_OT_remove_directions,
)
