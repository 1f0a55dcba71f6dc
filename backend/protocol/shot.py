"""A portrait in a shot without Blender: what a rig file says of the scene's camera, and the picture that follows from it.

The same functions place the portrait when Blender renders. numpy only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import compositing, placement
from .compositing import Rectangle
from .frames import SHOT_PASSES
from .motion import Sighting
from .passes import PASSES, VECTOR
from .placement import Landmarks, Placed, View

OF_THE_MESH = ("Normal", "Depth", "UV", "Position")  # passes that are turned into the scene's together


def sight(view: View, matrices: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """One frame of a camera track: how ``view`` sees a head. ``matrices`` (4, 4), (3, 3): as ``placement.in_shot`` has them."""
    head, rig = matrices
    named = {"camera": view.world_to_camera, "projection": view.projection, "head": head, "rig": rig}
    return {name: np.asarray(matrix, dtype=float).reshape(-1).tolist() for name, matrix in named.items()} | {"near": view.near}


def track(view: View, sights: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A camera track, as a rig file has it, of a picture like that of ``view``."""
    return {"width": view.width, "height": view.height, "pixel_aspect": view.aspect, "sights": list(sights)}


def read(camera: Mapping[str, Any]) -> tuple[View, tuple[np.ndarray, np.ndarray]]:
    """What a track of one frame says: the reverse of ``sight`` and ``track``."""
    [seen] = camera["sights"]
    return seen_in(camera, seen)


def seen_in(camera: Mapping[str, Any], seen: Mapping[str, Any]) -> tuple[View, tuple[np.ndarray, np.ndarray]]:
    """What one sight of a track says."""
    square = {name: np.array(seen[name], dtype=float).reshape(4, 4) for name in ("camera", "projection", "head")}
    view = View(square["camera"], square["projection"], camera["width"], camera["height"], camera["pixel_aspect"], seen["near"])
    return view, (square["head"], np.array(seen["rig"], dtype=float).reshape(3, 3))


def placed(portrait: dict, controls: dict, landmarks: Landmarks | None, camera: Mapping[str, Any]) -> Placed | None:
    """Where a portrait (JSON) with these controls, expression and light among them, goes; None where the camera does not see it.

    ``landmarks``: of portraits that are aligned crops.
    """
    view, matrices = read(camera)
    if landmarks is None:
        where = placement.whole_in_shot(controls, portrait, matrices, view, area_of(camera))
    else:
        where = placement.in_shot(controls, portrait, landmarks, matrices, view, area_of(camera))
    return where and replace(where, around=sightings_around(camera))


def sightings_around(camera: Mapping[str, Any]) -> tuple[Sighting, Sighting] | None:
    """How a track of one frame says that the head is seen at the frames before and after, if it does."""
    if not camera.get("around"):
        return None
    before, after = (view.sighting(head) for view, (head, _) in (seen_in(camera, seen) for seen in camera["around"]))
    return before, after


def needed(names: Collection[str]) -> tuple[str, ...]:
    """The passes that a rig has to make for these of the whole picture."""
    together = OF_THE_MESH if set(names) & {*OF_THE_MESH, *SHOT_PASSES} else ()
    return tuple(dict.fromkeys((*(name for name in names if name not in SHOT_PASSES), *together)))


def area_of(camera: Mapping[str, Any]) -> Rectangle:
    return Rectangle(0, 0, camera["width"], camera["height"])


def picture(where: Placed | None, made: dict[str, np.ndarray], camera: Mapping[str, Any], names: Collection[str]) -> dict[str, np.ndarray]:
    """Combined and the passes ``names`` of the whole picture, (H, W, C), row 0 at the top, of what the rig made (scene-linear).

    Normal and Position are in the world, Depth is along the scene camera's axis, in metres; UV has two channels.
    """
    area = area_of(camera)
    wanted = tuple(entry for entry in (*PASSES, VECTOR) if entry.name in names)
    drawn = compositing.empty(area, wanted) if where is None else compositing.paste(where.finished(made), where.square, area)
    channels = {"UV": 2}
    return {name: np.ascontiguousarray(drawn[name][::-1, :, : channels.get(name)]) for name in ("Combined", *names)}
