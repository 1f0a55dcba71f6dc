"""The list of a rig's looks, and looks on any image of the Image Editor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ..client import backend_manager
from ..errors import UserError
from ..identity import found, key_of
from ..operators import AsyncOperator
from ..rig import look_list, looks
from ..rig.read_rig import active_rig
from ..translations import tr
from .pose import RigOperator, has_editable_rig

TARGETS = (("RIG", "Rig", "The active portrait's list of looks"), ("IMAGE", "Image", "The look for images of this scene"))
REFERENCE_SIDE = 256  # pixels that a reference is sent with
HALF_MAX = 65504.0


class STYLERIG_UL_looks(bpy.types.UIList):
    """A rig's looks, each with its strength."""

    def draw_item(
        self, _context: bpy.types.Context, layout: bpy.types.UILayout, _data: Any, item: looks.StyleRigLook,
        _icon: int, _active_data: Any, _active_property: str,
    ) -> None:  # fmt: skip
        row = layout.row(align=True)
        row.label(text=item.name, translate=False, icon="SHADERFX")
        row.prop(item, "strength", text="", slider=True)


class STYLERIG_OT_add_look(AsyncOperator, bpy.types.Operator):
    """Choose a look of those that the backend has"""

    bl_idname = "stylerig.add_look"
    bl_label = "Add Look"
    bl_options = {"REGISTER", "UNDO"}
    waiting = "Asking for looks…"

    name: StringProperty(name="Name", description="Name of the look; empty to choose from a menu", options={"SKIP_SAVE"})
    target: EnumProperty(name="Target", description="What gets the look", items=TARGETS, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        in_images = context.area is not None and context.area.type == "IMAGE_EDITOR"
        return in_images or has_editable_rig(cls, context)

    def work(self) -> Callable[[], Any]:
        settings, rig = backend_manager.launch_settings(), active_rig(bpy.context)
        if self.target == "RIG" and rig is None:
            raise UserError("no_rig", "Select a portrait's rig.")
        self._rig = key_of(rig) if rig is not None else 0
        return lambda: backend_manager.BACKEND.client(settings).looks()

    def finish(self, context: bpy.types.Context, value: list[dict]) -> set[str]:
        if not value:
            raise UserError("no_looks", "The backend has no looks.", "Its command look --list says where yours go.")
        if not self.name and not bpy.app.background:
            return self.ask(context, value)
        entry = next((one for one in value if one["name"] == self.name), None)
        if entry is None:
            there = ", ".join(one["name"] for one in value)
            raise UserError("unknown_look", "There is no look “{name}”.", "There are: {there}.", name=self.name, there=there)
        return self.put(context, entry)

    def ask(self, context: bpy.types.Context, entries: list[dict]) -> set[str]:
        """Show a menu whose entries call this operator with a name."""
        target = self.target

        def draw(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
            for entry in entries:
                operator = menu.layout.operator("stylerig.add_look", text=entry["name"], translate=False)
                operator.name, operator.target = entry["name"], target

        context.window_manager.popup_menu(draw, title=self.bl_label)
        return {"CANCELLED"}

    def put(self, context: bpy.types.Context, entry: dict) -> set[str]:
        if self.target == "IMAGE":
            looks.fill(context.scene.stylerig.image_look, entry)
            return {"FINISHED"}
        rig = found(bpy.data.objects, self._rig)
        if rig is None:
            self.report({"ERROR"}, "The rig is gone")
            return {"CANCELLED"}
        look_list.add_look(rig, entry)
        return {"FINISHED"}


class LookOperator(RigOperator):
    """Changes one of the active rig's looks."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = active_rig(context)
        return has_editable_rig(cls, context) and rig is not None and bool(rig.stylerig.looks)

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        settings = rig.stylerig
        index = settings.active_look if self.index < 0 else self.index
        if not 0 <= index < len(settings.looks):
            raise UserError("no_look", "There is no such look.", "Choose one in the list.")
        self.change_look(rig, index)

    def change_look(self, rig: bpy.types.Object, index: int) -> None:
        raise AssertionError("each operator has its own")


class STYLERIG_OT_remove_look(LookOperator, bpy.types.Operator):
    """Take a look away, with its keys and drivers"""

    bl_idname = "stylerig.remove_look"
    bl_label = "Remove Look"

    index: IntProperty(name="Index", description="Which look of the list; -1 is the chosen one", default=-1, options={"SKIP_SAVE"})

    def change_look(self, rig: bpy.types.Object, index: int) -> None:
        look_list.remove_look(rig, index)


class STYLERIG_OT_move_look(LookOperator, bpy.types.Operator):
    """Put a look on earlier or later; its keys and drivers go along"""

    bl_idname = "stylerig.move_look"
    bl_label = "Move Look"

    index: IntProperty(name="Index", description="Which look of the list; -1 is the chosen one", default=-1, options={"SKIP_SAVE"})
    direction: EnumProperty(
        name="Direction", description="Where to", items=(("UP", "Up", "Earlier"), ("DOWN", "Down", "Later")), options={"SKIP_SAVE"}
    )

    def change_look(self, rig: bpy.types.Object, index: int) -> None:
        look_list.move_look(rig, index, -1 if self.direction == "UP" else 1)


class STYLERIG_OT_clear_reference(LookOperator, bpy.types.Operator):
    """Take the look's style from its seed again"""

    bl_idname = "stylerig.clear_reference"
    bl_label = "Clear Reference"

    index: IntProperty(name="Index", description="Which look of the list; -1 is the chosen one", default=-1, options={"SKIP_SAVE"})
    target: EnumProperty(name="Target", description="Whose look it is", items=TARGETS, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return looks.has_styles(context.scene.stylerig.image_look) or super().poll(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.target == "RIG":
            return super().execute(context)
        self.clear(context.scene.stylerig.image_look)
        return {"FINISHED"}

    def change_look(self, rig: bpy.types.Object, index: int) -> None:
        self.clear(rig.stylerig.looks[index])

    def clear(self, look: looks.StyleRigLook) -> None:
        look.style = look.reference = ""


class STYLERIG_OT_look_reference(AsyncOperator, bpy.types.Operator):
    """Take the style of the chosen look from a picture"""

    bl_idname = "stylerig.look_reference"
    bl_label = "Style from Picture"
    bl_options = {"REGISTER", "UNDO"}
    waiting = "Reading the style…"

    filepath: StringProperty(name="File", description="The picture whose style is taken", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    target: EnumProperty(name="Target", description="Whose look it is", items=TARGETS, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if looks.has_styles(context.scene.stylerig.image_look):
            return True
        if not has_editable_rig(cls, context):
            return False
        look = chosen(active_rig(context))
        return look is not None and looks.has_styles(look)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def work(self) -> Callable[[], Any]:
        on_image, rig = self.target == "IMAGE", active_rig(bpy.context)
        look, settings = bpy.context.scene.stylerig.image_look if on_image else chosen(rig), backend_manager.launch_settings()
        if look is None or not looks.has_styles(look):
            raise UserError("no_look", "There is no such look.", "Choose one in the list.")
        if rig is not None:
            self._rig, self._index = key_of(rig), rig.stylerig.active_look
        asked, pixels = looks.request_of(look), reference_pixels(Path(bpy.path.abspath(self.filepath)))
        return lambda: backend_manager.BACKEND.client(settings).look_style(asked, pixels)

    def finish(self, context: bpy.types.Context, value: str) -> set[str]:
        look = context.scene.stylerig.image_look
        if self.target == "RIG":
            rig = found(bpy.data.objects, self._rig)
            if rig is None or self._index >= len(rig.stylerig.looks):
                self.report({"ERROR"}, "The rig is gone")
                return {"CANCELLED"}
            look = rig.stylerig.looks[self._index]
        look.reference, look.style = Path(self.filepath).name, value
        return {"FINISHED"}


class STYLERIG_OT_look_image(AsyncOperator, bpy.types.Operator):
    """Make a new image of the shown one with the look on it"""

    bl_idname = "stylerig.look_image"
    bl_label = "Put Look on Image"
    bl_options = {"REGISTER", "UNDO"}
    waiting = "Putting the look on…"

    image: StringProperty(name="Image", description="Name of the image; empty for the one that is shown", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not context.scene.stylerig.image_look.name:
            cls.poll_message_set("Choose a look first")
            return False
        return True

    def work(self) -> Callable[[], Any]:
        shown = getattr(bpy.context.space_data, "image", None)
        image = bpy.data.images.get(self.image) if self.image else shown
        if image is None:
            raise UserError("no_image", "There is no image to put a look on.", "Open one in the Image Editor.")
        asked = looks.request_of(bpy.context.scene.stylerig.image_look) | {"mask": "head"}
        pixels, settings = image_pixels(image), backend_manager.launch_settings()
        self._name, self._linear = f"{image.name} {asked['name']}", pixels.dtype == np.float16
        return lambda: backend_manager.BACKEND.client(settings).look_picture(asked, pixels)

    def finish(self, context: bpy.types.Context, value: np.ndarray) -> set[str]:
        made = new_image(self._name, value[::-1], self._linear)
        if getattr(context.space_data, "type", "") == "IMAGE_EDITOR":
            context.space_data.image = made
        self.report({"INFO"}, tr("{name} is new", name=made.name))
        return {"FINISHED"}


def chosen(rig: bpy.types.Object | None) -> looks.StyleRigLook | None:
    """The look that is chosen in the rig's list."""
    settings = rig.stylerig if rig is not None else None
    return settings.looks[settings.active_look] if settings and 0 <= settings.active_look < len(settings.looks) else None


def image_pixels(image: bpy.types.Image) -> np.ndarray:
    """(H, W, 4), row 0 at the top: uint8 of display values, or float16 scene-linear. Raises UserError."""
    if image.type == "RENDER_RESULT":
        return rendered_pixels(image)
    width, height = image.size
    if not len(image.pixels):
        raise no_pixels(image)
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    pixels = pixels.reshape(height, width, 4)[::-1]
    return pixels.clip(-HALF_MAX, HALF_MAX).astype(np.float16) if image.is_float else (pixels * 255).round().clip(0, 255).astype(np.uint8)


def rendered_pixels(image: bpy.types.Image) -> np.ndarray:
    """Those of the Render Result, which Blender only gives to a file."""
    with tempfile.TemporaryDirectory(prefix="stylerig-") as folder:
        path = Path(folder) / "result.exr"
        try:
            save_as_exr(image, path)
            loaded = bpy.data.images.load(str(path))
        except RuntimeError as error:
            raise no_pixels(image) from error
        try:
            return image_pixels(loaded)
        finally:
            bpy.data.images.remove(loaded)


def save_as_exr(image: bpy.types.Image, path: Path) -> None:
    """Write an image scene-linear; the scene's own settings for files stay as they are. Raises RuntimeError."""
    settings = bpy.context.scene.render.image_settings
    names = [name for name in ("media_type", "file_format", "color_mode", "color_depth") if hasattr(settings, name)]
    before = {name: getattr(settings, name) for name in names}
    try:
        for name, value in {"media_type": "IMAGE", "file_format": "OPEN_EXR", "color_mode": "RGBA", "color_depth": "32"}.items():
            if name in names:
                setattr(settings, name, value)
        image.save_render(str(path), scene=bpy.context.scene)
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


def no_pixels(image: bpy.types.Image) -> UserError:
    return UserError("no_pixels", "The image “{name}” has no pixels.", "Load or render it first.", name=image.name)


def reference_pixels(path: Path) -> np.ndarray:
    """A picture's file at REFERENCE_SIDE, (S, S, 4) uint8 of display values. Raises UserError."""
    try:
        image = bpy.data.images.load(str(path))
    except RuntimeError as error:
        raise UserError("no_file", "{path} cannot be read: {reason}.", "Choose another.", path=path, reason=str(error).strip()) from error
    try:
        if not len(image.pixels):
            raise no_pixels(image)
        image.scale(REFERENCE_SIDE, REFERENCE_SIDE)
        return image_pixels(image)
    finally:
        bpy.data.images.remove(image)


def new_image(name: str, pixels: np.ndarray, scene_linear: bool) -> bpy.types.Image:
    """An image of pixels (H, W, 4), row 0 at the bottom, packed into the file."""
    height, width, _ = pixels.shape
    image = bpy.data.images.new(name, width, height, alpha=True, float_buffer=scene_linear)
    if scene_linear:
        image.alpha_mode = "PREMUL"
    image.pixels.foreach_set(np.ascontiguousarray(pixels, np.float32).ravel())
    image.update()
    image.pack()
    return image


def draw(layout: bpy.types.UILayout, rig: bpy.types.Object) -> None:
    """The list, and what the chosen look takes."""
    row, settings = layout.row(), rig.stylerig
    row.template_list("STYLERIG_UL_looks", "", settings, "looks", settings, "active_look", rows=3)
    column = row.column(align=True)
    column.operator("stylerig.add_look", text="", icon="ADD").target = "RIG"
    column.operator("stylerig.remove_look", text="", icon="REMOVE")
    column.separator()
    for direction, icon in (("UP", "TRIA_UP"), ("DOWN", "TRIA_DOWN")):
        column.operator("stylerig.move_look", text="", icon=icon).direction = direction
    look = chosen(rig)
    if look is not None:
        draw_look(layout, look, "RIG")
        layout.prop(look, "mask")


def draw_look(layout: bpy.types.UILayout, look: looks.StyleRigLook, target: str) -> None:
    """What any look takes: strength, amounts of attributes or a domain, style."""
    column = layout.column()
    column.use_property_split = True
    column.prop(look, "strength", slider=True)
    for amount in look.amounts:
        column.prop(amount, "value", text=amount.name, slider=True, translate=False)
    if looks.names_of(look) and not look.amounts:
        column.prop(look, "label")
    if not looks.has_styles(look):
        return
    if not look.style:
        column.prop(look, "seed")
    row = layout.row(align=True)
    shown = {"text": look.reference, "translate": False} if look.reference else {}
    row.operator("stylerig.look_reference", icon="IMAGE_REFERENCE", **shown).target = target
    if look.reference:
        row.operator("stylerig.clear_reference", text="", icon="X").target = target


class STYLERIG_PT_image_looks(bpy.types.Panel):
    bl_label = "Looks"
    bl_space_type = "IMAGE_EDITOR"
    bl_region_type = "UI"
    bl_category = "StyleRig"

    def draw(self, context: bpy.types.Context) -> None:
        layout, look = self.layout, context.scene.stylerig.image_look
        shown = look.name or tr("Choose Look")
        layout.operator("stylerig.add_look", text=shown, translate=False, icon="SHADERFX").target = "IMAGE"
        if look.name:
            draw_look(layout, look, "IMAGE")
        layout.operator("stylerig.look_image", icon="IMAGE_DATA")


CLASSES = (
    STYLERIG_UL_looks,
    STYLERIG_OT_add_look,
    STYLERIG_OT_remove_look,
    STYLERIG_OT_move_look,
    STYLERIG_OT_clear_reference,
    STYLERIG_OT_look_reference,
    STYLERIG_OT_look_image,
    STYLERIG_PT_image_looks,
)
