"""Rendering a sequence to disk: PNG frames and one multilayer EXR per frame, in one render.

With Overwrite off, an animation that was interrupted goes on with the frames that are not done. Frames are written
over and never removed, but for a file that was cut off in this very render.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import bpy
from bpy.app.handlers import persistent
from bpy.props import StringProperty

from ..errors import Text, UserError
from ..identity import found, key_of
from ..protocol.passes import COMBINED, EVERY_PASS, SOCKET_TYPES
from ..translations import tr, tr_error
from . import compositor, metadata, output_files
from .farm_script import leave_script
from .file_integrity import is_complete
from .finished_frames import FINISHED_FRAMES, UNFINISHED_SINCE, Register, is_finished_at_rest, set_aside
from .metadata_text import add_texts
from .portrait_camera import ensure_camera

PASSES_NODE = f"{compositor.NODE_PREFIX} Passes"
REGISTERS: dict[int, Register] = {}  # of the scenes that are being rendered, by key
WRITE_ERRORS: dict[int, UserError] = {}  # why a scene's last frame is not on disk
RENDER_ERRORS: list[str] = []  # of the last render, or of all in the background, as they were told


def setup_sequence(scene: bpy.types.Scene, folder: str, name: str = "frame_") -> None:
    """Set the scene's output: FOLDER/frames/NAME0001.png and FOLDER/passes/NAME0001.exr.

    ``folder`` may be relative to the .blend file ("//render"). The EXR holds Combined as the
    engine made it, before the compositor, and all passes, 32 bits each. A camera is added where
    the scene has none, and the film becomes transparent. Raises UserError if the folder cannot be written.
    """
    check_folder(Path(bpy.path.abspath(folder)))
    tree = compositor.ensure_tree(scene)
    compositor.ensure_output(tree, scene)
    render = scene.render
    set_format(render.image_settings, "IMAGE", "PNG", depth="8")
    render.image_settings.color_mode = "RGBA"
    render.filepath = os.path.join(folder, "frames", f"{name}####")
    if not render.filepath.endswith("####"):
        raise UserError("path_too_long", "The path of the output folder is too long for Blender.", "Choose a folder with a shorter path.")
    render.use_file_extension = True
    render.use_overwrite = False
    render.film_transparent = True
    compositor.set_exact_colours(scene)
    passes_node(tree, scene, os.path.join(folder, "passes"), f"{name}####")
    ensure_camera(scene)
    leave_script()


def set_format(settings: bpy.types.ImageFormatSettings, media: str, file_format: str, depth: str) -> None:
    """A file format with its kind of media, which 5.x wants set first."""
    if hasattr(settings, "media_type"):
        settings.media_type = media
    settings.file_format = file_format
    settings.color_depth = depth


def passes_node(tree: bpy.types.NodeTree, scene: bpy.types.Scene, folder: str, name: str) -> bpy.types.Node:
    """A File Output node that writes Combined and all passes as multilayer EXR; made anew."""
    if PASSES_NODE in tree.nodes:
        tree.nodes.remove(tree.nodes[PASSES_NODE])
    layers = compositor.render_layers(tree, scene)
    node = tree.nodes.new("CompositorNodeOutputFile")
    node.name = node.label = PASSES_NODE
    set_format(node.format, "MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER", depth="32")
    node.format.exr_codec = "ZIP"
    if hasattr(node.format, "use_exr_interleave"):
        node.format.use_exr_interleave = True  # one part, which every program reads
    if hasattr(node, "directory"):
        node.directory, node.file_name = folder, name
    else:
        node.base_path = os.path.join(folder, name)
    slots = node.file_output_items if hasattr(node, "file_output_items") else node.file_slots
    slots.clear()
    for entry in EVERY_PASS:
        source = "Image" if entry is COMBINED else entry.name
        if source not in layers.outputs:  # Vector, where no view layer asks for it
            continue
        if hasattr(node, "file_output_items"):
            item = slots.new(SOCKET_TYPES[entry.kind], entry.name)
            if entry.kind == "VECTOR":
                item.vector_socket_dimensions = entry.count
        else:
            slots.new(entry.name)
        tree.links.new(layers.outputs[source], node.inputs[entry.name])
    compositor.arrange((node, 560, 320))
    return node


def frames_after(scene: bpy.types.Scene) -> Iterator[int]:
    """The frames that the animation renders after the present one."""
    register = REGISTERS.get(key_of(scene))
    coming = range(scene.frame_current + scene.frame_step, scene.frame_end + 1, scene.frame_step)
    return (frame for frame in coming if register is None or not register.skips(scene, frame))


@persistent
def before_render(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph = None) -> None:
    """Before an animation or a still: with Overwrite off, see which frames are done."""
    close_register(scene)
    WRITE_ERRORS.clear()
    metadata.FRAME_METADATA.clear()
    if not bpy.app.background:  # a farm's Blender may render several times before it is asked
        RENDER_ERRORS.clear()
    render = scene.render
    if render.engine != "STYLERIG" or render.use_overwrite or render.is_movie_format:
        return
    try:
        REGISTERS[key_of(scene)] = Register(scene)
    except (OSError, RuntimeError) as error:  # Blender itself says what is wrong with a path
        tell(str(error))
    if not bpy.app.background:  # where Blender goes on meanwhile, soon: its own copy of the path is made by then
        bpy.app.timers.register(partial(give_back, key_of(scene)), first_interval=1.0)


@persistent
def before_frame(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph = None) -> None:
    give_back(key_of(scene))


def give_back(key: int) -> None:
    """Blender has seen which frames are done: let the scene's output path be the person's own again."""
    scene = found(bpy.data.scenes, key)
    if key in REGISTERS and scene is not None:
        REGISTERS[key].give_back(scene)


@persistent
def before_save(*_arguments: object) -> None:
    for key in REGISTERS:
        give_back(key)


@persistent
def after_write(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph = None) -> None:
    """After each frame of an animation: whether it is on disk, which Blender says of a full disk too."""
    notes = metadata.FRAME_METADATA.get(key_of(scene))
    if scene.render.engine != "STYLERIG" or notes is None or not notes.animation:
        return
    register = REGISTERS.get(key_of(scene))
    own = output_files.pictures(scene, scene.frame_current)
    for path in (*own, *notes.written):
        try:
            check_written(path, scene.frame_current, partial(add_texts, path, notes.texts))
        except UserError as error:
            WRITE_ERRORS.setdefault(key_of(scene), error)
    if register is not None:
        register.not_written = {len(own) + index for index in notes.not_written}
        register.look(scene)


def check_written(path: Path, frame: int, mend: Callable[[], None]) -> None:
    """Raise UserError unless a file of the frame that was just written is finished. What is cut off is removed."""
    if is_finished_at_rest(path, mend):
        return
    if not path.exists():
        raise UserError(
            "frame_gone",
            "{path} of frame {frame} is gone, although it was written: another program works in this folder.",
            "Let only one Blender draw a frame, as with Placeholders, and render again: it goes on with that frame.",
            path=path, frame=frame,
        )  # fmt: skip
    if is_complete(path):
        raise UserError(
            "no_metadata",
            "{path} of frame {frame} could not be given its metadata.",
            "Check the folder's rights and free space, and render again: it goes on with that frame.",
            path=path, frame=frame,
        )  # fmt: skip
    path.unlink(missing_ok=True)
    raise UserError(
        "frame_cut_off",
        "{path} of frame {frame} could not be written whole and was removed: the disk may be full.",
        "Free some space and render again: it goes on with that frame.",
        path=path, frame=frame,
    )  # fmt: skip


@persistent
def after_render(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph = None) -> None:
    """When all is rendered, or was cancelled: tell what nobody was told."""
    register, notes = REGISTERS.get(key_of(scene)), metadata.FRAME_METADATA.get(key_of(scene))
    still = notes is not None and not notes.animation
    left = register.left_undone(scene) if register is not None and not still else []
    close_register(scene)
    if key_of(scene) in WRITE_ERRORS:  # the last frame
        RENDER_ERRORS.append(tr_error(WRITE_ERRORS.pop(key_of(scene))))
        tell(RENDER_ERRORS[-1])
    if left:
        names = ", ".join(map(str, left))
        words = tr("Frames that are there but not done were left to the Blender that began them: {frames}.", frames=names)
        tell(f"{words} {tr('If there is none, render again without Placeholders.')}")


def keep_strangers(scene: bpy.types.Scene) -> list[tuple[str, str]]:
    """In an animation that goes on, keep what another program made of the present frame: old and new names. Raises UserError."""
    try:
        return set_aside(scene, scene.frame_current) if key_of(scene) in REGISTERS else []
    except OSError as error:
        raise UserError(
            "not_movable",
            "A frame that StyleRig did not make cannot be kept under another name: {reason}.", "Move it away, or turn Overwrite on.",
            reason=error,
        ) from error  # fmt: skip


def close_register(scene: bpy.types.Scene) -> None:
    if key_of(scene) in REGISTERS:
        REGISTERS.pop(key_of(scene)).close(scene)


def tell(message: str) -> None:
    """Say something that no operator is there to report: in the terminal, and in the window if there is one."""
    log(message)
    show_soon([message])


def log(message: str) -> None:
    print(f"StyleRig: {message}", flush=True)


def show_soon(messages: list[str]) -> None:
    """Show messages in the window, if there is one, from any thread."""
    if messages and not bpy.app.background:
        bpy.app.timers.register(partial(show, messages))


def show(messages: list[str]) -> None:
    def draw(popup: bpy.types.Menu, _context: bpy.types.Context) -> None:
        for message in messages:
            popup.layout.label(text=message, translate=False)

    bpy.context.window_manager.popup_menu(draw, title="StyleRig", icon="ERROR")


def check_output(scene: bpy.types.Scene, animation: bool) -> None:
    """Raise UserError, before any work is done, if a frame of this render could not be written."""
    if key_of(scene) in WRITE_ERRORS:
        raise WRITE_ERRORS.pop(key_of(scene))
    frame = scene.frame_current
    try:
        paths = [*output_files.of_nodes(scene, frame, animation), *(map(str, output_files.pictures(scene, frame)) if animation else ())]
    except RuntimeError as error:
        raise UserError(
            "bad_output_path", "Blender cannot read the output path: {reason}", "Change it in the output settings.", reason=error
        ) from error
    for folder in {os.path.dirname(path) for path in paths}:
        if output_files.WILDCARD not in folder:
            check_folder(Path(folder))


def check_folder(folder: Path) -> None:
    """Raise UserError unless the folder is there, or can be made, and can be written to."""
    hint = Text("Choose another output folder, or change its permissions.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        values = {"folder": folder, "reason": error.strerror}
        raise UserError("not_writable", "The output folder {folder} cannot be made: {reason}.", hint, **values) from error
    if not os.access(folder, os.W_OK):
        raise UserError("not_writable", "The output folder {folder} cannot be written to.", hint, folder=folder)


class STYLERIG_OT_setup_sequence(bpy.types.Operator):
    """Write PNG frames and a multilayer EXR with all passes per frame, and go on where a render stopped"""

    bl_idname = "stylerig.setup_sequence"
    bl_label = "Set Up Sequence Output"
    bl_options = {"REGISTER", "UNDO"}

    directory: StringProperty(
        name="Folder", description="Where the folders “frames” and “passes” go",
        subtype="DIR_PATH", default="//render", options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )  # fmt: skip

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.directory.startswith("//") and not bpy.data.filepath:
            self.report({"ERROR"}, "Save the file first, or choose a folder that is not relative to it.")
            return {"CANCELLED"}
        try:
            setup_sequence(context.scene, self.directory)
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_setup_sequence,)


def register() -> None:
    handlers = bpy.app.handlers
    handlers.render_init.append(before_render)
    handlers.render_pre.insert(0, before_frame)  # before any that reads the output path
    handlers.render_write.append(after_write)
    handlers.render_complete.append(after_render)
    handlers.render_cancel.append(after_render)
    handlers.save_pre.append(before_save)


def unregister() -> None:
    handlers = bpy.app.handlers
    handlers.save_pre.remove(before_save)
    handlers.render_cancel.remove(after_render)
    handlers.render_complete.remove(after_render)
    handlers.render_write.remove(after_write)
    handlers.render_pre.remove(before_frame)
    handlers.render_init.remove(before_render)
    before_save()
    for known in (WRITE_ERRORS, RENDER_ERRORS, REGISTERS, FINISHED_FRAMES, UNFINISHED_SINCE):
        known.clear()
