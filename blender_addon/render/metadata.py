"""What a rendered picture says of itself: that it is synthetic, and what it takes to make it again.

Blender writes the texts of a render result into every PNG and EXR that it makes of it. Files of
File Output nodes have none: they get theirs once the frame is rendered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ..client.backend_manager import addon_version
from ..client.portrait import text_of
from ..identity import key_of
from ..protocol import cryptomatte, image_texts
from . import output_files
from .file_integrity import MARK
from .finished_frames import state
from .metadata_text import JPEG_MAX_COMMENT, add_texts, left_beside


@dataclass
class FrameMetadata:
    """What is known of the frame that a scene is rendering."""

    before: set[tuple] = field(default_factory=set)  # state of the files that there were before it
    animation: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)  # in its Cryptomattes, by layer
    recipes: list[str] = field(default_factory=list)  # of the portraits in it
    written: list[Path] = field(default_factory=list)  # by File Output nodes
    not_written: set[int] = field(default_factory=set)  # which of those files are not made after all


FRAME_METADATA: dict[int, FrameMetadata] = {}  # by the scene's key; the render thread writes and reads it


def begin(scene: bpy.types.Scene, animation: bool) -> None:
    """A view layer of a frame begins: what was noted of others stays. Also a picture without a portrait has texts."""
    notes = FRAME_METADATA.setdefault(key_of(scene), FrameMetadata())
    notes.animation = animation
    notes.texts |= {image_texts.SOFTWARE: f"StyleRig {addon_version()}, Blender {bpy.app.version_string}", MARK: addon_version()}


def texts(scene: bpy.types.Scene) -> dict[str, str]:
    """The texts for the frame's own file, name -> text: but for what Blender cannot write into it."""
    longest = JPEG_MAX_COMMENT if scene.render.image_settings.file_format == "JPEG" else math.inf
    return {name: text for name, text in FRAME_METADATA[key_of(scene)].texts.items() if len(name) + len(text) < longest - 20}


def add_portrait(scene: bpy.types.Scene, rig: str, portrait: dict, controls: dict, size: int) -> None:
    """A portrait is in the frame: what it is, and the rig file that draws it again.

    Of several portraits, or views of one, the names of the second one's texts end with 2 and so on. One that several
    view layers show alike is told once.
    """
    notes, made_by = FRAME_METADATA[key_of(scene)], recipe(portrait, controls, size)
    if made_by in notes.recipes:
        return
    notes.recipes.append(made_by)
    number = str(len(notes.recipes)) if len(notes.recipes) > 1 else ""
    notes.texts |= image_texts.SYNTHETIC_TEXTS | {image_texts.XMP_NAME: image_texts.XMP}
    of_portrait = {
        image_texts.SOURCE: image_texts.source_of(portrait["model"], portrait["weights_hash"], portrait["seed"]),
        image_texts.PORTRAIT: rig.encode("ascii", "replace").decode(),
        image_texts.CONTROLS: image_texts.compact(controls),
        image_texts.RECIPE: made_by,
    }
    notes.texts |= {f"{name}{number}": text for name, text in of_portrait.items()}


def add_cryptomatte(scene: bpy.types.Scene, layer: str, names: Iterable[str]) -> None:
    """A layer of Cryptomatte, "ViewLayer.CryptoObject", holds these names, of all views."""
    FRAME_METADATA[key_of(scene)].names.setdefault(layer, set()).update(names)


def cryptomattes(scene: bpy.types.Scene) -> dict[str, str]:
    """What the render result says of its layers of Cryptomatte; File Output nodes write it under names of their own."""
    found = (cryptomatte.texts(layer, names) for layer, names in FRAME_METADATA[key_of(scene)].names.items())
    return {name: text for texts in found for name, text in texts.items()}


def recipe(portrait: dict, controls: dict, size: int) -> str:
    """A rig file of one frame, packed as ``python -m backend render`` reads it from a picture."""
    start = text_of({"portrait": portrait})[:-1]
    frame = text_of({"frames": [controls], "output": {"size": size, "passes": []}})[1:]
    return image_texts.pack_recipe(start, f",{frame}", level=1)


@persistent
def before_frame(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph = None) -> None:
    """A frame begins: nothing is known of it yet but which files are there."""
    FRAME_METADATA.clear()
    if scene.render.engine == "STYLERIG":
        FRAME_METADATA[key_of(scene)] = FrameMetadata(before=set(state(output_files.found(possible_files(scene)))))


def possible_files(scene: bpy.types.Scene) -> set[str]:
    """What File Output nodes may write at this frame: Blender does not say whether it is of an animation."""
    return {path for animation in (True, False) for path in output_files.of_nodes(scene, scene.frame_current, animation)}


@persistent
def after_frame(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph = None) -> None:
    """Write the frame's texts into the files that File Output nodes have just made of it."""
    notes = FRAME_METADATA.get(key_of(scene))
    if scene.render.engine != "STYLERIG" or notes is None or not notes.texts:
        return
    for index, path in enumerate(output_files.of_nodes(scene, scene.frame_current, notes.animation)):
        written = [one for one in output_files.found([path]) if not notes.before.issuperset(state([one]))]
        for one in written:
            left = left_beside(one)
            add_texts(one, notes.texts)
            for old in left:  # of a render that was killed
                old.unlink(missing_ok=True)
        notes.written += written
        notes.not_written |= set() if written else {index}


def register() -> None:
    bpy.app.handlers.render_pre.append(before_frame)
    bpy.app.handlers.render_post.append(after_frame)


def unregister() -> None:
    bpy.app.handlers.render_post.remove(after_frame)
    bpy.app.handlers.render_pre.remove(before_frame)
    FRAME_METADATA.clear()
