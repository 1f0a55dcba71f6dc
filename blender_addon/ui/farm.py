"""Render on Farm: the panel and its operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from ..farm.follower import FOLLOWER
from ..farm.job import Job
from ..farm.shot import ORDERS
from ..operators import AsyncOperator
from ..rig.read_rig import active_rig
from ..translations import tr
from .status import draw_wrapped


class STYLERIG_OT_render_on_farm(AsyncOperator, bpy.types.Operator):
    """Have the saved file rendered by other machines: the scene's own frames, step and view layers"""

    bl_idname = "stylerig.render_on_farm"
    bl_label = "Render on Farm"
    waiting = "Giving the file to the farm…"

    def work(self) -> Callable[[], Any]:
        return ORDERS[bpy.context.scene.stylerig.farm](bpy.context).submit

    def finish(self, _context: bpy.types.Context, value: Job) -> set[str]:
        FOLLOWER.follow(value)
        self.report({"INFO"}, tr("{name} was given to the farm", name=value.name))
        return {"FINISHED"}


class STYLERIG_OT_cancel_farm(AsyncOperator, bpy.types.Operator):
    """Have the farm stop; frames that are drawn stay, and Render on Farm goes on with the others"""

    bl_idname = "stylerig.cancel_farm"
    bl_label = "Stop Farm"
    waiting = "Stopping the farm…"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if FOLLOWER.job is None or (FOLLOWER.state and FOLLOWER.state.ended):
            cls.poll_message_set("Nothing is rendered on a farm")
            return False
        return True

    def work(self) -> Callable[[], Any]:
        job = FOLLOWER.job
        return job.cancel if job is not None else lambda: None


class STYLERIG_PT_farm(bpy.types.Panel):
    bl_label = "Farm"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "StyleRig"
    bl_parent_id = "STYLERIG_PT_output"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_rig(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.use_property_split = True
        settings = context.scene.stylerig
        column.prop(settings, "farm")
        if settings.farm == "FLAMENCO":
            column.prop(settings, "farm_chunk")
        column.operator("stylerig.render_on_farm", icon="RENDER_ANIMATION")
        if FOLLOWER.state is not None and FOLLOWER.job is not None:
            draw_wrapped(self.layout, context, tr(FOLLOWER.state.text), "ERROR" if FOLLOWER.state.failed else "INFO")
            row = self.layout.row(align=True)
            if FOLLOWER.job.link:
                row.operator("wm.url_open", text="Open Page", icon="URL").url = FOLLOWER.job.link
            row.operator("stylerig.cancel_farm", text="Stop", icon="CANCEL")


CLASSES = (STYLERIG_OT_render_on_farm, STYLERIG_OT_cancel_farm, STYLERIG_PT_farm)


def unregister() -> None:
    FOLLOWER.forget()
