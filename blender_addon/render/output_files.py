"""Which files a frame is made of: those of the scene's output, one for each view, and those of its File Output nodes.

Each is given by its path, in which WILDCARD stands for what Blender fills in and is not known here: numbers (a rate, a
resolution), and what a later Blender may have.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import bpy

from . import compositor

MAX_FRAME = 1048574  # the last frame that Blender knows: its number shows where a path has the frame's
DIGITS = 4  # of a number where a path has no place for it
WILDCARD = "\0"
UNTITLED_NAME = "Untitled"  # what Blender 5 calls a still in a folder that is all of the path
EXPRESSION = re.compile(r"\{\{|\}\}|\{([^{}:]*)(?::[^{}]*)?\}")
FORBIDDEN_CHARACTERS = re.compile(r'[\x00-\x1f/\\?*:|"<>]')
SUFFIXES = {"PNG": ".png", "OPEN_EXR": ".exr", "OPEN_EXR_MULTILAYER": ".exr", "JPEG": ".jpg"}  # of other formats: any
KNOWN_SUFFIX = re.compile(r"\.(png|exr|jpe?g|tiff?|tga|webp|bmp|hdr|dpx|cin|rgb|jp2|j2c)$", re.IGNORECASE)


def of_frame(scene: bpy.types.Scene, frame: int) -> list[str]:
    """All files that a frame of the animation has."""
    return [*map(str, pictures(scene, frame)), *of_nodes(scene, frame)]


def found(paths: Iterable[str]) -> list[Path]:
    """The files that are there."""
    patterns = ("*".join(map(glob.escape, path.split(WILDCARD))) for path in paths)
    return [Path(path) for pattern in patterns for path in glob.glob(pattern)]


def pictures(scene: bpy.types.Scene, frame: int) -> list[Path]:
    """Files of the scene's own output: one for each view where each has its own, none where it is a movie."""
    if scene.render.is_movie_format:
        return []
    camera = camera_at(scene, frame)
    return [picture(scene, frame, view, camera) for view in own_files(scene.render, scene.render.image_settings) or [""]]


def picture(scene: bpy.types.Scene, frame: int, view: str, camera: bpy.types.Object | None) -> Path:
    """As Blender names it, which fills in the present camera: here it is the one that the frame will have."""
    path = bpy.path.abspath(scene.render.frame_path(frame=frame, view=view))
    if "{camera_name" in scene.render.filepath and camera is not None and scene.camera is not None:
        path = path.replace(in_name(scene.camera.name), in_name(camera.name))
    return Path(path)


def stills(scene: bpy.types.Scene) -> list[Path]:
    """Where Blender writes a still: to the same path, in which the place of a number stays as it is."""
    name = os.path.basename(scene.render.filepath)
    places = re.findall("#+", EXPRESSION.sub("", name))
    found = []
    for path in pictures(scene, MAX_FRAME):
        before, _, after = path.name.rpartition(str(MAX_FRAME))
        unnamed = UNTITLED_NAME if not name and compositor.has_group_tree() else ""
        found.append(path.with_name(f"{before}{places[-1]}{after}" if places else KNOWN_SUFFIX.sub("", before) + unnamed + after))
    return found


def existing(scene: bpy.types.Scene) -> list[int]:
    """Numbers of the frames that have a picture, of whatever range, in order."""
    cameras = {scene.camera, *(marker.camera for marker in scene.timeline_markers if marker.camera)}
    views = own_files(scene.render, scene.render.image_settings) or [""]
    numbers = {number for camera in cameras for view in views for number in numbers_like(picture(scene, MAX_FRAME, view, camera))}
    return sorted(number for number in numbers if any(path.is_file() for path in pictures(scene, number)))


def numbers_like(path: Path) -> Iterator[int]:
    """Numbers of the files that are named as this one of the frame MAX_FRAME."""
    before, _, after = path.name.rpartition(str(MAX_FRAME))
    name = re.compile(f"{re.escape(before)}(-?[0-9]+){re.escape(after)}")
    try:
        for entry in os.scandir(path.parent):
            if match := name.fullmatch(entry.name):
                yield int(match[1])
    except OSError:  # there is no such folder yet
        return


def active_views(render: bpy.types.RenderSettings) -> list[str]:
    """Names of the views that are rendered; none without stereoscopy."""
    if not render.use_multiview:
        return []
    return [view.name for view in (render.stereo_views if render.views_format == "STEREO_3D" else render.views) if view.use]


def own_files(render: bpy.types.RenderSettings, settings: bpy.types.ImageFormatSettings) -> list[str]:
    """Names of the views that have files of their own."""
    return active_views(render) if settings.views_format == "INDIVIDUAL" else []


def camera_at(scene: bpy.types.Scene, frame: int) -> bpy.types.Object | None:
    """The camera that markers bind to a frame, else the scene's."""
    bound = [(marker.frame, marker.camera) for marker in scene.timeline_markers if marker.camera and not marker.camera.hide_render]
    if not bound:
        return scene.camera
    before = [one for one in bound if one[0] <= frame]
    return (max if before else min)(before or bound, key=lambda one: one[0])[1]


def of_nodes(scene: bpy.types.Scene, frame: int, animation: bool = True) -> list[str]:
    """What the compositor's File Output nodes write of a frame, or of a still at it."""
    tree = compositor.scene_tree(scene) if scene.render.use_compositing else None
    return [
        file
        for node in (file_outputs(tree, set()) if tree else ())
        for path, settings in written_by(node)
        for file in completed(path, scene, node, settings, frame, animation)
    ]


def file_outputs(tree: bpy.types.NodeTree, seen: set[str]) -> Iterator[bpy.types.Node]:
    """File Output nodes of a tree and of the groups in it."""
    seen.add(tree.name)
    for node in tree.nodes:
        if node.mute:
            continue
        if node.bl_idname == "CompositorNodeOutputFile":
            yield node
        elif getattr(node, "node_tree", None) is not None and node.node_tree.name not in seen:
            yield from file_outputs(node.node_tree, seen)


def written_by(node: bpy.types.Node) -> Iterator[tuple[str, bpy.types.ImageFormatSettings]]:
    """Path and format of each file that a File Output node writes: of those pictures that something is linked to."""
    layered, linked = node.format.file_format == "OPEN_EXR_MULTILAYER", [socket.is_linked for socket in node.inputs]
    if hasattr(node, "directory"):
        begins = node.directory + ("" if node.directory.endswith(("/", "\\")) else "/") + node.file_name
        if layered and any(linked):
            yield begins, node.format
        for item, used in zip(() if layered else node.file_output_items, linked, strict=False):
            if used:
                yield begins + item.name, item.format if item.override_node_format else node.format
    else:
        if layered:
            yield node.base_path, node.format
        for slot, used in zip(() if layered else node.file_slots, linked, strict=False):
            if used:
                yield os.path.join(node.base_path, slot.path), node.format if slot.use_node_format else slot.format


def completed(
    path: str, scene: bpy.types.Scene, node: bpy.types.Node, settings: bpy.types.ImageFormatSettings, frame: int, animation: bool
) -> Iterator[str]:
    """A path of a File Output node with all that Blender puts into it, for each view."""
    path = bpy.path.abspath(filled(path, words(scene, node, frame)))
    path = numbered(path, frame, number(frame, DIGITS) if animation or not compositor.has_group_tree() else "")
    suffix = SUFFIXES.get(settings.file_format, f".{WILDCARD}") if compositor.has_group_tree() or scene.render.use_file_extension else ""
    if suffix:
        path = KNOWN_SUFFIX.sub("", path)
    render = scene.render
    for view in own_files(render, settings) or [""]:
        yield path + (render.views[view].file_suffix if view else "") + suffix


def words(scene: bpy.types.Scene, node: bpy.types.Node, frame: int) -> dict[str, str]:
    """The words that Blender fills into a path; numbers and what a later Blender may know are not among them."""
    camera, blend = camera_at(scene, frame), Path(bpy.data.filepath)
    known = {"scene_name": in_name(scene.name), "node_name": in_name(node.name)}
    if camera is not None:
        known["camera_name"] = in_name(camera.name)
    if bpy.data.filepath:
        known |= {"blend_name": in_name(blend.stem), "blend_dir": str(blend.parent)}
    return known


def filled(path: str, known: dict[str, str]) -> str:
    """A path with its expressions {name} and {name:format} filled in, or left open; doubled braces are braces."""

    def word(match: re.Match) -> str:
        return match[0][0] if match[1] is None else known.get(match[1], WILDCARD)

    return EXPRESSION.sub(word, path)


def in_name(text: str) -> str:
    """As Blender makes a name fit for a file."""
    return FORBIDDEN_CHARACTERS.sub("_", text)


def numbered(path: str, frame: int, otherwise: str) -> str:
    """A path with the frame's number in place of the last ### of its name, else at its end as ``otherwise`` says."""
    folder, name = os.path.split(path)
    places = list(re.finditer("#+", name))
    if not places:
        return path + otherwise
    start, end = places[-1].span()
    return os.path.join(folder, name[:start] + number(frame, end - start) + name[end:])


def number(frame: int, digits: int) -> str:
    """-7 with four digits is -0007: a sign takes no digit's place."""
    return f"{'-' if frame < 0 else ''}{abs(frame):0{digits}}"
