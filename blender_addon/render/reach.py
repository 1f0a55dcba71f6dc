"""Cameras that a portrait cannot follow: behind the head, beyond what generators were taught, too near.

A frame of an animation is told of with those before and after it that have the same to tell.
"""

from __future__ import annotations

import math

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..errors import Text, UserError
from ..identity import key_of
from ..protocol import camera, frames
from ..protocol.compositing import Rectangle, unit_columns
from ..protocol.placement import View
from ..rig.read_rig import placed_rigs, portrait_of
from ..translations import tr
from . import sequence
from .portrait_camera import head_position
from .scene_view import head_matrices, view_of_scene

RANGES: dict[tuple[int, str], list[tuple[Text, int, int]]] = {}  # by scene and view layer: what is told since which frame, until which
TOLD: list[str] = []  # in this render, of ranges that ended


def beyond(rig: str, portrait: dict, head: np.ndarray, view: View, area: Rectangle) -> list[Text]:
    """What a portrait cannot follow of how ``view`` sees its head; nothing of one that lies outside of ``area``.

    ``head`` (4, 4): model space, cm, to the world.
    """
    middle = head[:3, :3] @ -head_position(portrait) + head[:3, 3]
    unit = float(np.linalg.norm(head[:3, :3], axis=0).mean())  # metres per cm
    if not in_sight(middle, unit * camera.camera_of(portrait).frame_width / 2, view, area):
        return []
    turned = view.sight(middle).T @ unit_columns(head[:3, :3])
    if turned[2, 2] <= 0:
        return [Text("{name} is seen from behind: it is not drawn.", name=rig)]
    whole = portrait.get("frame") is not None
    told = []
    yaw, pitch = (math.degrees(abs(angle)) for angle in camera.rotation_from_matrix(turned)[:2])
    most_yaw, most_pitch = frames.WHOLE_HEAD_TURN if whole else frames.CROP_TURN
    if yaw > most_yaw or pitch > most_pitch:
        told.append(
            Text(
                "{name} is turned from the camera farther than its generator was taught, {yaw}° to the side or {pitch}° up or down: "
                "the picture may fall apart.",
                name=rig,
                yaw=most_yaw,
                pitch=most_pitch,
            )
        )
    if view.perspective and np.linalg.norm(view.to_camera(middle[None])) < frames.MIN_DISTANCE * unit:
        drawn_from = frames.MIN_DISTANCE if whole else camera.FFHQ.distance
        told.append(
            Text(
                "The camera is nearer to {name} than {nearest} cm: its perspective is that of {distance} cm.",
                name=rig,
                nearest=round(frames.MIN_DISTANCE),
                distance=round(drawn_from),
            )
        )
    return told


def in_sight(middle: np.ndarray, radius: float, view: View, area: Rectangle) -> bool:
    """Whether a part of a ball in the world (metres) lies before the camera and in a part of its picture."""
    if -view.to_camera(middle[None])[0, 2] <= view.near:
        return False
    centre, beside = view.project(np.stack((middle, middle + radius * view.sight(middle)[:, 0])))
    reach = abs(beside - centre)
    across, up = centre.real / view.aspect - area.x, centre.imag - area.y
    return -reach / view.aspect < across < area.width + reach / view.aspect and -reach < up < area.height + reach


def beyond_in(depsgraph: bpy.types.Depsgraph, view: View, area: Rectangle) -> list[Text]:
    """The same of every portrait of an evaluated scene."""
    rigs = [(rig, matrix) for rig, matrix in placed_rigs(depsgraph) if not rig.hide_render]
    heads = ((rig, head_matrices(rig, matrix, depsgraph)[0]) for rig, matrix in rigs)
    return [text for rig, head in heads for text in beyond(rig.name, portrait_of(rig), head, view, area)]


def beyond_now(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> list[Text]:
    """The same of the scene camera at the state that ``depsgraph`` has evaluated; nothing where that cannot be said."""
    if scene.camera is None or scene.stylerig.placement != "SHOT":
        return []
    try:
        view = view_of_scene(scene, depsgraph)
        return beyond_in(depsgraph, view, Rectangle(0, 0, view.width, view.height))
    except UserError:  # told when it is rendered
        return []


def note(depsgraph: bpy.types.Depsgraph, told: list[Text]) -> None:
    """What there is to tell of the animation's present frame; what ended before it goes into the log."""
    frame, key = depsgraph.scene.frame_current, (key_of(depsgraph.scene), depsgraph.view_layer.name)
    before = RANGES.get(key, [])
    firsts = [next((first for text, first, _last in before if text == one), frame) for one in told]
    RANGES[key] = [(text, first, frame) for text, first in zip(told, firsts, strict=True)]
    log([ended for ended in before if ended[0] not in told])


def log(ended: list[tuple[Text, int, int]]) -> None:
    for text, first, last in ended:
        TOLD.append(in_words(text, first, last))
        sequence.log(TOLD[-1])


def in_words(text: Text, first: int, last: int) -> str:
    """A message with the frames that it is about."""
    frames_in_words = str(first) if first == last else f"{first}–{last}"
    return tr("Frame {frames}: {message}", frames=frames_in_words, message=text)


@persistent
def forget(_scene: bpy.types.Scene = None, _depsgraph: bpy.types.Depsgraph = None) -> None:
    RANGES.clear()
    TOLD.clear()


@persistent
def finish(_scene: bpy.types.Scene = None, _depsgraph: bpy.types.Depsgraph = None) -> None:
    """When all is rendered, or was cancelled: tell what held until the end, and show all of it."""
    for ranges in RANGES.values():
        log(ranges)
    sequence.show_soon([*TOLD])
    forget()


def register() -> None:
    bpy.app.handlers.render_init.append(forget)
    for functions in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        functions.append(finish)


def unregister() -> None:
    bpy.app.handlers.render_init.remove(forget)
    for functions in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        functions.remove(finish)
    forget()
