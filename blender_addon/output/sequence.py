"""Rendering a sequence to disk: PNG frames and one multilayer EXR per frame, in one render.

A frame is done when its PNG is there: Blender writes it after the EXR. With Overwrite off, an
animation that was interrupted goes on at the first frame that is not done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import bpy
from bpy.app.handlers import persistent
from bpy.props import StringProperty

from ..translations import told
from . import compositor, metadata
from .camera import ensure_camera
from .errors import OutputError
from .passes import COMBINED, PASSES, SOCKET_TYPES
from .whole import is_whole

PASSES_NODE = f"{compositor.OURS} Passes"
CUT_OFF: set[str] = set()  # names of scenes whose last frame was not written to its end
OTHERS_WRITE_SECONDS = 60  # with placeholders on, another Blender may be writing a young file


def setup_sequence(scene: bpy.types.Scene, folder: str, name: str = "frame_") -> None:
    """Set the scene's output: FOLDER/frames/NAME0001.png and FOLDER/passes/NAME0001.exr.

    ``folder`` may be relative to the .blend file ("//render"). The EXR holds Combined as the
    engine made it, before the compositor, and all passes, 32 bits each. A camera is added where
    the scene has none, and the film becomes transparent. Raises OutputError if the folder cannot be written.
    """
    check_folder(Path(bpy.path.abspath(folder)))
    tree = compositor.ensure_tree(scene)
    compositor.ensure_output(tree, scene)
    render = scene.render
    set_format(render.image_settings, "IMAGE", "PNG", depth="8")
    render.image_settings.color_mode = "RGBA"
    render.filepath = os.path.join(folder, "frames", f"{name}####")
    if not render.filepath.endswith("####"):
        raise OutputError("The path of the output folder is too long for Blender.", "Choose a folder with a shorter path.")
    render.use_file_extension = True
    render.use_overwrite = False
    render.film_transparent = True
    compositor.set_exact_colours(scene)
    passes_node(tree, scene, os.path.join(folder, "passes"), f"{name}####")
    ensure_camera(scene)


def set_format(settings, media: str, file_format: str, depth: str) -> None:
    """A file format with its kind of media, which 5.x wants set first."""
    if hasattr(settings, "media_type"):
        settings.media_type = media
    settings.file_format = file_format
    settings.color_depth = depth


def passes_node(tree, scene, folder: str, name: str) -> bpy.types.Node:
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
    for entry in (COMBINED, *PASSES):
        if hasattr(node, "file_output_items"):
            slots.new(SOCKET_TYPES[entry.kind], entry.name)
        else:
            slots.new(entry.name)
        source = "Image" if entry is COMBINED else entry.name
        tree.links.new(layers.outputs[source], node.inputs[entry.name])
    compositor.arrange((node, 560, 320))
    return node


def passes_path(scene: bpy.types.Scene, frame: int) -> Path | None:
    """The EXR of a frame, when the scene's compositor writes one."""
    tree = compositor.scene_tree(scene) if scene.render.use_compositing else None
    node = tree.nodes.get(PASSES_NODE) if tree else None
    if node is None or node.mute:
        return None
    path = os.path.join(node.directory, node.file_name) if hasattr(node, "directory") else node.base_path
    head, hashes, tail = path.rpartition("####")
    return Path(bpy.path.abspath(f"{head}{frame:04}{tail}.exr")) if hashes else None


def frame_path(scene: bpy.types.Scene, frame: int) -> Path:
    """The file of the scene's own output for a frame."""
    return Path(bpy.path.abspath(scene.render.frame_path(frame=frame)))


def frames(scene: bpy.types.Scene) -> range:
    """The frames that rendering the animation makes."""
    return range(scene.frame_start, scene.frame_end + 1, scene.frame_step)


def frames_after(scene: bpy.types.Scene) -> Iterator[int]:
    """The frames that the animation renders after the present one."""
    keeps = not scene.render.use_overwrite and not scene.render.is_movie_format
    coming = range(scene.frame_current + scene.frame_step, scene.frame_end + 1, scene.frame_step)
    return (frame for frame in coming if not (keeps and frame_path(scene, frame).is_file()))


def unfinished_files(scene: bpy.types.Scene) -> Iterator[Path]:
    """Files that would make Blender skip a frame that is not whole.

    With placeholders on, other Blenders may share the folder: then empty files are theirs, and
    so is one that was written to within the last minute.
    """
    newest = time.time() - OTHERS_WRITE_SECONDS if scene.render.use_placeholder else float("inf")
    for frame in frames(scene):
        picture, passes = frame_path(scene, frame), passes_path(scene, frame)
        if not picture.is_file():
            continue
        status = picture.stat()
        if status.st_mtime > newest or (status.st_size == 0 and scene.render.use_placeholder):
            continue
        if not is_whole(picture) or (passes is not None and passes.is_file() and unfinished_passes(passes, picture)):
            yield picture


def unfinished_passes(passes: Path, picture: Path) -> bool:
    """Whether an EXR is not whole, or has not got the texts that its PNG has: they are written after the PNG."""
    return not is_whole(passes) or (metadata.has_texts(picture) and not metadata.has_texts(passes))


@persistent
def before_render(scene: bpy.types.Scene, _depsgraph=None) -> None:
    """Before an animation that goes on where it stopped: remove what only looks done."""
    CUT_OFF.discard(scene.name)
    render = scene.render
    if render.engine != "STYLERIG" or render.use_overwrite or render.is_movie_format:
        return
    for path in unfinished_files(scene):
        path.unlink(missing_ok=True)


@persistent
def after_write(scene: bpy.types.Scene, _depsgraph=None) -> None:
    """After each frame of an animation: remove one that was cut off, as on a full disk, which Blender calls saved."""
    if scene.render.engine != "STYLERIG" or scene.render.is_movie_format:
        return
    picture, passes = frame_path(scene, scene.frame_current), passes_path(scene, scene.frame_current)
    files = [path for path in (picture, passes) if path is not None and path.is_file()]
    if all(is_whole(path) for path in files):
        return
    for path in files:
        path.unlink(missing_ok=True)
    CUT_OFF.add(scene.name)


def check_output(scene: bpy.types.Scene, animation: bool) -> None:
    """Raise OutputError, before any work is done, if a frame of this render could not be written."""
    if scene.name in CUT_OFF:
        CUT_OFF.discard(scene.name)
        raise OutputError(
            "The frame before this one could not be written whole and was removed: the disk may be full.",
            "Free some space and render again: it goes on with that frame.",
        )
    if animation:
        check_folder(frame_path(scene, scene.frame_current).parent)
    passes = passes_path(scene, scene.frame_current)
    if passes is not None:
        check_folder(passes.parent)


def check_folder(folder: Path) -> None:
    """Raise OutputError unless the folder is there, or can be made, and can be written to."""
    hint = "Choose another output folder, or change its permissions."
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The output folder {folder} cannot be made: {error.strerror}.", hint) from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"The output folder {folder} cannot be written to.", hint)


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
        except OutputError as error:
            self.report({"ERROR"}, told(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_setup_sequence,)


def register() -> None:
    bpy.app.handlers.render_init.append(before_render)
    bpy.app.handlers.render_write.append(after_write)


def unregister() -> None:
    bpy.app.handlers.render_write.remove(after_write)
    bpy.app.handlers.render_init.remove(before_render)
    CUT_OFF.clear()
