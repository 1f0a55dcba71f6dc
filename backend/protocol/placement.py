"""Where a portrait goes in a picture: at the mesh, through the scene camera, or as a bare centred crop.

Some generators' pictures show the head as the FFHQ alignment crops it: eyes and mouth decide where the
crop lies. The same eyes and mouth of the rig, seen by the scene camera, say where that crop goes:
a similarity, exact in place, size and roll. The head is asked for as it is turned to the line of
sight, the light with it. Other generators show the whole head as a camera at any distance sees it.

Places in a picture are complex numbers, x + iy: x right, y up from its lower left corner, in heights
of a pixel, so that circles are round whatever the pixel aspect. A product turns and scales. This is
computed for every head of every frame, twice where one looks ahead: plain numbers take a tenth of the
time that numpy needs for arrays so small. numpy only.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np

from . import alignment, camera, compositing, conversions, frames, harmonics, motion
from .camera import FFHQ
from .compositing import Rectangle, Square, backend_size, unit_columns
from .motion import Sighting
from .rounding import rounded, rounded_light, rounded_place

MIN_AXIS = 0.25  # heights of a pixel; a head that is smaller is not drawn


@dataclass(frozen=True)
class Landmarks:
    """The 68 landmarks of a portrait's head in model space, cm."""

    neutral: np.ndarray  # (68, 3)
    names: tuple[str, ...]  # of the expressions
    changes: np.ndarray  # (len(names), 204): of each expression at 1, flat

    @classmethod
    def of_mesh(cls, mesh: dict[str, np.ndarray]) -> Landmarks:
        """From the arrays of /v1/portraits/mesh."""
        rows = np.asarray(mesh["landmarks"], dtype=int)
        changes = np.asarray(mesh["expression"])[:, rows].astype(float)
        names = tuple(map(str, mesh["expression_names"]))
        return cls(np.asarray(mesh["vertices"])[rows].astype(float), names, changes.reshape(len(names), 3 * len(rows)))

    def points(self, expression: dict[str, float]) -> np.ndarray:
        """(68, 3) with this expression, 0 to 1 by name."""
        values = np.array([expression.get(name, 0.0) for name in self.names])
        return self.neutral + (values @ self.changes).reshape(-1, 3)


@dataclass(frozen=True)
class View:
    """A camera's picture."""

    world_to_camera: np.ndarray  # (4, 4); the camera looks along its -z, x right, y up
    projection: np.ndarray  # (4, 4) as OpenGL has it
    width: int  # pixels
    height: int
    aspect: float  # width of a pixel / its height
    near: float  # metres

    @property
    def perspective(self) -> bool:
        return self.projection[3, 3] == 0

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (N, 3) in the camera's axes."""
        return points @ self.world_to_camera[:3, :3].T + self.world_to_camera[:3, 3]

    def project(self, points: np.ndarray) -> list[complex]:
        """World points (N, 3) before the camera -> their N places in the picture."""
        clip = self.to_camera(points) @ self.projection[:, :3].T + self.projection[:, 3]
        seen = (clip[:, :2] / clip[:, 3:] + 1) * (0.5 * self.width * self.aspect, 0.5 * self.height)
        return [complex(x, y) for x, y in seen.tolist()]

    def sighting(self, head_to_world: np.ndarray) -> Sighting:
        """How the camera sees a head (4, 4)."""
        return Sighting(self.world_to_camera @ head_to_world, self.projection, (self.width, self.height))

    def distance_in(self, point: np.ndarray, unit: float) -> float:
        """How far a point (3,) of the world is, in units of ``unit`` metres, within what a portrait's camera can be."""
        distance = float(np.linalg.norm(self.to_camera(point[None]))) / unit if self.perspective else frames.MAX_DISTANCE
        return rounded([min(max(distance, frames.MIN_DISTANCE), frames.MAX_DISTANCE)])[0]

    def sight(self, point: np.ndarray) -> np.ndarray:
        """Axes (3, 3) in the world, as columns, of a camera at the same place that looks at ``point`` (3,), held as level."""
        ahead = np.array((0.0, 0.0, -1.0))
        towards = self.to_camera(point[None])[0] if self.perspective else ahead
        turn = harmonics.rotation_between(ahead, towards / np.linalg.norm(towards))
        return self.world_to_camera[:3, :3].T @ turn


@dataclass(frozen=True)
class Placed:
    """A head in a picture: the frame to ask the backend for and where it goes."""

    controls: dict
    size: int  # pixels of the backend's square frame
    square: Square  # where the frame goes in the picture, pixels
    distance: float  # metres from the camera; nearer heads cover those behind
    head_to_world: np.ndarray | None = None  # (4, 4), cm to metres; None for the bare crop
    view: View | None = None
    to_crop: tuple[complex, complex] | None = None  # (a, b): a z + b, NDC of the frame -> of the portrait's own
    around: tuple[Sighting, Sighting] | None = None  # at the frames before and after, where Vector is asked for

    def finished(self, passes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The backend's passes of the frame as they go into the picture, row 0 at the bottom."""
        if self.view is None:
            return compositing.with_head_depth(compositing.to_blender(passes))
        made = compositing.to_blender(passes, self.head_to_world, self.view.world_to_camera)
        faded = made if self.to_crop is None else compositing.feather(made, self.to_crop)
        made = compositing.with_head_depth(faded, self.distance)
        if self.around is None or self.head_to_world is None or "HeadDepth" not in made:
            return made
        before, after = self.around
        now = self.view.sighting(self.head_to_world)
        return {**made, "Vector": motion.vectors(made["HeadDepth"], self.square, before, now, after)}


def bare_crop(controls: dict, size: tuple[int, int], aspect: float, distance: float) -> Placed:
    """A centred square as large as the shorter side of a picture of this size, as the portrait's own camera sees the rig."""
    width, height = size
    side = math.floor(min(width * aspect, height))
    square = Square(math.floor(width - side / aspect) // 2, (height - side) // 2, side, aspect)
    return Placed(controls, backend_size(side), square, distance)


def in_shot(
    controls: dict, portrait: dict, landmarks: Landmarks, matrices: tuple[np.ndarray, np.ndarray], view: View, area: Rectangle
) -> Placed | None:
    """The head where the mesh stands, as far as its aligned crop reaches into ``area`` of the picture.

    ``matrices`` (4, 4): model space (cm) of the head to the world, and the rig's own axes to the
    world. None for a head that the camera does not see: outside the area, behind the camera, or
    turned away by more than 90°.
    """
    head, rig_axes = matrices
    points = landmarks.points(controls["expression"])
    world = points @ head[:3, :3].T + head[:3, 3]
    depths = -view.to_camera(world)[:, 2]
    if depths.min() <= view.near:
        return None
    centre, axis = alignment.ffhq_crop(view.project(world[alignment.CROP_POINTS]))
    middle = alignment.crop_centre(world)
    sight = view.sight(middle)
    turned = sight.T @ unit_columns(head[:3, :3])
    square = square_around(centre, axis, view, area)
    if square is None or turned[2, 2] <= 0:
        return None
    yaw, pitch, _ = camera.rotation_from_matrix(turned)
    light = harmonics.rotate(np.array(controls["light"]), sight.T @ rig_axes @ conversions.AXES)
    still = landmarks.points(portrait["parameters"]["expression"])
    asked, to_crop = frame_controls(points, still, (yaw, pitch), square.in_frame(centre, axis))
    asked = {**controls, **asked, "light": rounded_light(light)}
    return Placed(asked, backend_size(square.side), square, float(depths.mean()), head, view, to_crop)


def whole_in_shot(controls: dict, portrait: dict, matrices: tuple[np.ndarray, np.ndarray], view: View, area: Rectangle) -> Placed | None:
    """As ``in_shot``, of a portrait that shows the whole head: a camera at the place of the scene's looks at its middle."""
    head, rig_axes = matrices
    middle = head[:3, :3] @ portrait["frame"]["center"] + head[:3, 3]
    scale = float(np.linalg.norm(head[:3, :3], axis=0).mean())  # metres per cm
    half = scale * portrait["frame"]["half_width"]
    depth = -view.to_camera(middle[None])[0, 2]
    sight = view.sight(middle)
    turned = sight.T @ unit_columns(head[:3, :3])
    if depth - half <= view.near or turned[2, 2] <= 0:
        return None
    centre, beside, above = view.project(np.stack((middle, middle + half * sight[:, 0], middle + half * sight[:, 1])))
    axis = (beside - centre + (above - centre) / 1j) / 2
    square = square_around(centre, axis, view, area)
    if square is None:
        return None
    yaw, pitch, roll = camera.rotation_from_matrix(turned)
    crop = square.in_frame(centre, axis)
    light = harmonics.rotate(np.array(controls["light"]), sight.T @ rig_axes @ conversions.AXES)
    asked = {
        **controls,
        "rotation": rounded((yaw, pitch, wrapped(roll + cmath.phase(axis)))),
        "translation": rounded((crop[0].real / 2, crop[0].imag / 2)),
        "scale": min(max(rounded([abs(crop[1])])[0], frames.MIN_SCALE), frames.MAX_SCALE),
        "distance": view.distance_in(middle, scale),
        "light": rounded_light(light),
    }
    return Placed(asked, backend_size(square.side), square, float(depth), head, view, back_to_frame(*crop))


def frame_controls(
    points: np.ndarray, still: np.ndarray, turned: tuple[float, float], crop: tuple[complex, complex]
) -> tuple[dict, tuple[complex, complex]]:
    """Rotation, translation and scale that bring the aligned crop of ``points`` (68, 3) to ``crop``, and what leads back.

    ``crop``: centre and half axis x in the frame, NDC. The backend turns and scales about the
    head's origin, and keeps the head where it stands with the portrait's own expression (``still``).
    """
    centre, axis = crop
    roll, place = alignment.align(points, *turned)
    _, reference = alignment.align(still, *turned)
    shift = centre - FFHQ.project(reference) + axis * FFHQ.project(place)
    enlarged = FFHQ.depth_of(place) / FFHQ.depth_of(reference)
    controls = {
        "rotation": rounded((*turned, wrapped(roll + cmath.phase(axis)))),
        "translation": rounded((shift.real / 2, shift.imag / 2)),
        "scale": min(max(rounded([abs(axis) / enlarged])[0], frames.MIN_SCALE), frames.MAX_SCALE),
    }
    return controls, back_to_frame(centre, axis)


def back_to_frame(centre: complex, axis: complex) -> tuple[complex, complex]:
    """(a, b) so that a z + b leads from where a frame lies, by its centre and half axis x, back to its own NDC.

    Rounded, so that what fades by them is the same to the bit where another numpy has placed it.
    """
    return rounded_place(1 / axis), rounded_place(-centre / axis)


def square_around(centre: complex, axis: complex, view: View, area: Rectangle) -> Square | None:
    """Whole pixels around the part of a crop that lies in the area; None if nothing does, or hardly anything.

    As a square in the picture it may reach beyond the area, and where the crop is very large it
    takes in more of it, so that the backend need not enlarge it more than it can.
    """
    length = abs(axis)
    if not (MIN_AXIS < length < math.inf and cmath.isfinite(centre)):
        return None
    reach = abs(axis.real) + abs(axis.imag)  # the upright square around the turned one
    left = max(math.floor((centre.real - reach) / view.aspect), area.x)
    right = min(math.ceil((centre.real + reach) / view.aspect), area.x + area.width)
    bottom, top = max(math.floor(centre.imag - reach), area.y), min(math.ceil(centre.imag + reach), area.y + area.height)
    if right <= left or top <= bottom:
        return None
    side = max((right - left) * view.aspect, top - bottom, 2.05 * length / frames.MAX_SCALE)
    return Square(left, bottom, math.ceil(side - 1e-6), view.aspect)


def wrapped(angle: float) -> float:
    """The same angle in ±π."""
    return math.remainder(angle, 2 * math.pi)
