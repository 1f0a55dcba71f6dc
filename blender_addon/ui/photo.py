"""Portrait from Photo: photos of a person, chosen or dropped, become a rig."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, IntProperty, StringProperty

from ..client import backend_manager
from ..client.candidates import thumbnail
from ..client.photo import SUFFIXES, PhotoWork, request_of
from ..errors import UserError
from ..operators import AsyncOperator, Task
from ..translations import tr
from ..windows import redraw
from . import thumbnails
from .portrait import MODEL, POPUP_SCALE, PlacedPortraitOperator

EFFORTS = (
    ("fast", "Fast", "Few steps: who it is, roughly", 1),
    ("fine", "Fine", "Many steps: as near as the model can come", 2),
)
PICTURE = "photo"  # name of the icon that shows what it looks like so far
RUNNING: list[PhotoWork] = []  # those under way, for the panel


class STYLERIG_OT_portrait_from_photo(PlacedPortraitOperator, bpy.types.Operator):
    """Build the rig of a person on one or several photos"""

    bl_idname = "stylerig.portrait_from_photo"
    bl_label = "Portrait from Photo"
    waiting = "Making a portrait of the photo…"

    filepath: StringProperty(name="File", description="A photo of the person", subtype="FILE_PATH", options={"SKIP_SAVE"})
    directory: StringProperty(name="Folder", description="Where several photos lie", subtype="DIR_PATH", options={"SKIP_SAVE"})
    files: CollectionProperty(
        name="Files", description="Several photos of one person", type=bpy.types.OperatorFileListElement, options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(default=";".join(f"*{suffix}" for suffix in SUFFIXES), options={"HIDDEN"})
    effort: EnumProperty(name="Effort", description="How long it may take", items=EFFORTS, default="fast")
    face: IntProperty(
        name="Face",
        description="Which face is meant on the first photo, from the left; 0 where there is one",
        default=0,
        min=0,
        max=99,
    )
    model: StringProperty(**MODEL)
    replace: BoolProperty(
        name="Replace Active Rig", description="Give the active rig the face and keep its animation", options={"SKIP_SAVE"}
    )
    asked = False  # whether a person has been asked for the options

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.asked = True
        if self.filepath or self.files:  # dropped
            return context.window_manager.invoke_props_dialog(self, width=420)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, _context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.use_property_split = True
        for name in ("effort", "face", "model", "replace"):
            column.prop(self, name)
        consent = tr("A photo of a person needs that person's consent. What is made of it is marked as synthetic.")
        for part in re.split(r"(?<=[.。])\s*", consent):  # a dialog does not wrap
            column.label(text=part, translate=False)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Wait in a thread also where a file browser or a dialog ends with this."""
        if self.asked:
            self.fill_in_placing(context)
            return AsyncOperator.invoke(self, context, None)
        return AsyncOperator.execute(self, context)

    def work(self) -> Callable[[], Any]:
        settings, paths = backend_manager.launch_settings(), self.paths()
        request, work = request_of(paths, self.effort, self.face, self.model), PhotoWork()
        self._work, self._shown, self._source = work, b"", tr("Photo {name}", name=paths[0].name)
        RUNNING.append(work)

        def fetch() -> tuple[dict, dict, Any]:
            client = backend_manager.BACKEND.client(settings)
            portrait = work.portrait(client, request)
            return portrait, client.mesh(portrait), thumbnail(client, portrait)

        return fetch

    def paths(self) -> list[Path]:
        """The photos. Raises UserError where none was chosen."""
        folder = Path(bpy.path.abspath(self.directory))
        found = [folder / item.name for item in self.files if item.name] or [Path(bpy.path.abspath(self.filepath))]
        if not found[0].name:
            raise UserError("no_file", "No photo was chosen.", "Choose a picture of the person.")
        return found

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "TIMER" and self._work.picture != self._shown:
            self._shown = self._work.picture
            thumbnails.show_file(PICTURE, self._shown)
        if event.type == "TIMER" and self._work.stage:
            context.workspace.status_text_set(f"{tr(self.waiting)}   {100 * self._work.done:.0f} %   {tr('(Esc: do not wait)')}")
            redraw("VIEW_3D")
        return super().modal(context, event)

    def cancel(self, context: bpy.types.Context) -> None:
        self._work.stop.set()
        self.forget()
        super().cancel(context)

    def conclude(self, context: bpy.types.Context, task: Task) -> set[str]:
        try:
            return super().conclude(context, task)
        finally:
            self.forget()

    def forget(self) -> None:
        """It is no longer under way."""
        if self._work in RUNNING:
            RUNNING.remove(self._work)

    def build(self, context: bpy.types.Context, portrait: dict, mesh: dict) -> bpy.types.Object:
        rig = super().build(context, portrait, mesh)
        rig.stylerig.source = self._source
        return rig


class STYLERIG_FH_photo(bpy.types.FileHandler):
    """Takes pictures that are dropped onto a 3D view."""

    bl_idname = "STYLERIG_FH_photo"
    bl_label = "Portrait from Photo"
    bl_import_operator = "stylerig.portrait_from_photo"
    bl_file_extensions = ";".join(SUFFIXES)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D" and context.mode == "OBJECT"


def draw_progress(layout: bpy.types.UILayout) -> None:
    """How far those under way are, and what the last one looks like so far."""
    for work in RUNNING:
        layout.progress(factor=work.done, text=tr("Photo: {percent} %", percent=round(100 * work.done)))
        if work is RUNNING[-1] and work.picture and (icon := thumbnails.icon_of(PICTURE)):
            layout.template_icon(icon_value=icon, scale=POPUP_SCALE)


CLASSES = (STYLERIG_OT_portrait_from_photo, STYLERIG_FH_photo)
