"""Capture as it comes: listening, the rig that follows, and recording to an action."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.props import IntProperty, StringProperty

from ..client.live_capture import LiveCapture, Values
from ..errors import UserError
from ..identity import found, key_of
from ..protocol import conversions
from ..rig import animation, controls
from ..rig.bones import HEAD_BONE
from ..rig.live_link_face import HEAD_ANGLES, Capture, matched
from ..rig.read_rig import active_rig, present_rig
from ..translations import tr, tr_error
from ..windows import redraw
from .pose import RigOperator, has_editable_rig, scene_rate, told_of

SECONDS = 1 / 30  # between looks for what has come
STREAM = LiveCapture()
_RIG: dict[str, int] = {}  # key of the rig that follows


def follow() -> float | None:
    """The timer: bring what has come onto the rig that was active when listening began."""
    if not STREAM.listening:
        return None
    rig = found(bpy.data.objects, _RIG.get("followed", 0))
    values = STREAM.newest()
    if rig is not None and values:
        show(rig, values)
    return SECONDS


def show(rig: bpy.types.Object, values: Values) -> None:
    """Expression and head as captured, without keys; a rig that cannot be changed stays as it is."""
    try:
        names = matched(values, controls.expressions_of(rig))
        controls.set_values(rig, {expression: values[name] for expression, name in names.items()}, keyed=False)
    except UserError:
        return
    bone = rig.pose.bones.get(HEAD_BONE)
    if bone is not None and all(name in values for name in HEAD_ANGLES):
        bone.rotation_mode = "XYZ"
        bone.rotation_euler = conversions.rotation_model_to_bone([values[name] for name in HEAD_ANGLES])


def capture_of(rows: list[tuple[float, Values]]) -> Capture:
    """A recording of what came; a value that a row lacks is 0."""
    names = tuple(sorted({name for _time, values in rows for name in values}))
    numbers = np.array([[values.get(name, 0.0) for name in names] for _time, values in rows])
    seconds = np.array([time for time, _values in rows])
    return Capture(seconds - seconds[0], names, numbers)


class STYLERIG_OT_live_capture(bpy.types.Operator):
    """Let the active rig follow what Live Link Face or an OSC sender of ARKit's expressions sends here; again to end"""

    bl_idname = "stylerig.live_capture"
    bl_label = "Live Capture"

    host: StringProperty(name="Address", description="Where to listen: 127.0.0.1 is this computer alone, 0.0.0.0 every network it is in")
    port: IntProperty(name="Port", description="UDP port that the sender sends to", default=11111, min=0, max=65535)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return STREAM.listening or has_editable_rig(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        if STREAM.listening:
            STREAM.stop()
            return {"FINISHED"}
        try:
            _RIG["followed"] = key_of(present_rig(context))
            STREAM.start(self.host or "127.0.0.1", self.port)
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        if not bpy.app.timers.is_registered(follow):
            bpy.app.timers.register(follow, first_interval=SECONDS)
        redraw("VIEW_3D")
        return {"FINISHED"}


class STYLERIG_OT_record_capture(RigOperator, bpy.types.Operator):
    """Record what Live Capture receives; again to end, and key it onto the rig as an action from the present frame on"""

    bl_idname = "stylerig.record_capture"
    bl_label = "Record"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not STREAM.listening and not STREAM.recording:
            cls.poll_message_set("Start Live Capture first")
            return False
        return super().poll(context)

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        if not STREAM.recording:
            STREAM.record()
            return
        rows = STREAM.recorded()
        if not rows:
            STREAM.rows()
            raise UserError("nothing_came", "Nothing was recorded.", "Check the address and the port in the sender, and the firewall.")
        rig = found(bpy.data.objects, _RIG.get("followed", 0)) or rig
        taken = capture_of(rows).resampled(scene_rate(context.scene))
        count, replaced = animation.apply_capture(rig, taken, context.scene.frame_current, True, (False, False, False), "Live Take")
        STREAM.rows()  # only now: a recording that could not be keyed, as on a linked head, can be keyed on another
        keyed = tr("Keyed {count} expressions at {frames} frames", count=count, frames=len(taken.seconds))
        self.report({"INFO"}, ". ".join([keyed, *told_of(replaced)]))


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Address, port, and what is coming."""
    gallery = context.window_manager.stylerig_gallery
    column = layout.column(align=True)
    column.use_property_split = True
    column.active = not STREAM.listening
    column.prop(gallery, "capture_host")
    column.prop(gallery, "capture_port")
    listen = layout.operator("stylerig.live_capture", icon="PAUSE" if STREAM.listening else "PLAY", depress=STREAM.listening)
    listen.host, listen.port = gallery.capture_host, gallery.capture_port
    if active_rig(context) is not None:
        layout.operator("stylerig.record_capture", icon="REC", depress=STREAM.recording)
    if STREAM.listening:
        words = tr("Packets: {good}, not understood: {bad}", good=STREAM.packets, bad=STREAM.left_out)
        layout.label(text=words, translate=False, icon="INFO")


CLASSES = (STYLERIG_OT_live_capture, STYLERIG_OT_record_capture)


def unregister() -> None:
    STREAM.stop()
    STREAM.rows()
    if bpy.app.timers.is_registered(follow):
        bpy.app.timers.unregister(follow)
