"""How steady surfaces are in motion: whether their detail goes where they go, beside renderings of the same motions.

On a slow turn of the head, an orbit of the camera and under a light that moves, each frame's fine detail is compared with the
frame's before it: at the same point of the head's UV layout, and at the same pixel. Detail that crawls differs at the point, detail
that sticks to the screen does not differ at the pixel.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from models.colour import over_backdrop
from models.data.image_set import ImageSet
from models.face import FaceModel, load_face_model
from models.face.camera import Camera, rotation_matrix
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.generators.guide import REST_DISTANCE
from models.rigging.controls import Controls
from models.rigging.guided_renderer import BODY_SHARE
from models.rigging.rig import Rig
from models.synthetic.dataset import HEAD
from models.synthetic.expressions import gaze_weights, neutral
from models.synthetic.light import Lamp, Light, draw_light
from models.synthetic.series import Series
from models.synthetic.shot import Shot
from models.synthetic.traits import Person
from models.translation.steady import completed, flow_from_uv, warped

MOTIONS = ("turn", "orbit", "light")
FRAMES = 24  # of each motion
TURN, SWING = 1.0, 2.0  # degrees a frame: of the head or the camera, and of the light
COARSE = 1 / 128  # of the frame: standard deviation of the blur that leaves no detail
SAME = 2 / 256  # of the UV layout: points closer than this are the same; else another one hid it in the frame before
FIELDS = ("parameters", "camera", "body")


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame: display values (H, W, 3) over grey, and which point of the UV layout (H, W, 2) each pixel shows, 0 where none."""

    image: np.ndarray
    uv: np.ndarray


def motions(person: Person, number: int, random: np.random.Generator, face: FaceModel) -> list[Shot]:
    """The shots of ``MOTIONS`` of a calm person, ``FRAMES`` each."""
    weights = dict.fromkeys(face.expression_names, 0.0)
    neutral(random, weights)
    values = np.array([float(np.clip((weights | gaze_weights(0.0, 0.0))[name], 0, 1)) for name in face.expression_names])
    light = draw_light(random, float(person.reflectance[0]))
    shots = []
    for kind in MOTIONS:
        for frame in range(FRAMES):
            middle = math.radians(frame - (FRAMES - 1) / 2)
            yaw = 0.0 if kind == "light" else TURN * middle
            head = np.array([yaw, 0.0, 0.0])
            lit = turned(light, {"turn": 0.0, "orbit": yaw, "light": SWING * middle}[kind])
            shots.append(Shot(values, head, head if kind == "orbit" else BODY_SHARE * head, REST_DISTANCE, lit))
    return shots


SERIES = Series("motions", [f"{kind} {frame}" for kind in MOTIONS for frame in range(FRAMES)], motions, HEAD)


def turned(light: Light, yaw: float) -> Light:
    """All that lights the scene, turned by ``yaw`` radians about the vertical."""
    turn = rotation_matrix(torch.tensor([[yaw, 0.0, 0.0]]))[0].numpy()
    lamps = tuple(Lamp(turn @ lamp.direction, lamp.irradiance, lamp.angle) for lamp in light.lamps)
    return dataclasses.replace(light, turn=light.turn + yaw, lamps=lamps)


def changes(frames: Sequence[Seen]) -> dict[str, float]:
    """Mean change of detail from frame to frame on the head's surface, as a share of the detail: at the same point of the
    surface ("surface"), and at the same pixel ("screen")."""
    fine = [detail(frame.image) for frame in frames]
    surface = screen = strength = 0.0
    for before, now, fine_before, fine_now in zip(frames[:-1], frames[1:], fine[:-1], fine[1:], strict=True):
        flow = flow_from_uv(now.uv, before.uv)
        moved, inside = warped(np.concatenate((fine_before, before.uv), axis=2), completed(flow))
        same = inside & now.uv.any(axis=2) & (np.abs(moved[..., 3:] - now.uv).max(axis=2) < SAME)
        surface += float(np.abs(fine_now - moved[..., :3])[same].sum())
        screen += float(np.abs(fine_now - fine_before)[same].sum())
        strength += float(np.abs(fine_now)[same].sum())
    return {"surface": round(surface / max(strength, 1e-6), 4), "screen": round(screen / max(strength, 1e-6), 4)}


def detail(image: np.ndarray) -> np.ndarray:
    """What a blurred copy (H, W, C) of an image lacks."""
    return image - cv2.GaussianBlur(image, (0, 0), COARSE * len(image))


@dataclass(frozen=True, eq=False)
class Renderings:
    """A set that ``SERIES`` photographed: images and truth of people in motion."""

    images: ImageSet
    face: FaceModel

    @classmethod
    def open(cls, folder: Path) -> Renderings:
        """Raises StyleRigError for a set of other pictures, and for one that has not finished."""
        source = SERIES.open(folder)
        images = ImageSet(folder, source.size, FIELDS, progress=False, whole=True)
        if not len(images.numbers) or len(images.numbers) % len(SERIES.kinds):
            raise SERIES.another_set(folder)
        return cls(images, load_face_model(HEAD))

    @property
    def people(self) -> int:
        return len(self.images.numbers) // len(SERIES.kinds)

    def rows(self, person: int, kind: str) -> range:
        """Which of the images show that motion of that person."""
        start = person * len(SERIES.kinds) + MOTIONS.index(kind) * FRAMES
        return range(start, start + FRAMES)

    def seen(self, row: int) -> Seen:
        """The rendering, and the rig's mesh in its place."""
        rgba = torch.from_numpy(self.images.pictures[[row]]).permute(0, 3, 1, 2).float() / 255
        camera = Camera(*self.images.truth["camera"][row].tolist())
        body = torch.from_numpy(self.images.truth["body"][[row]])
        uv = render(self.face, self.parameters(row), rgba.shape[-1], camera, ("uv",), body)["uv"]
        return Seen(over_backdrop(rgba[:, :3], rgba[:, 3:])[0].permute(1, 2, 0).numpy(), uv[0].numpy())

    def parameters(self, row: int) -> RigParameters:
        return RigParameters.from_vector(torch.from_numpy(self.images.truth["parameters"][[row]]), self.face)

    def controls(self, row: int, names: Sequence[str]) -> Controls:
        """What poses another person, whose face has expressions of ``names``, in the same way, in the same light."""
        truth = self.parameters(row)
        known = zip(self.face.expression_names, truth.expression[0].tolist(), strict=True)
        expression = {name: value for name, value in known if name in names}
        distance = float(self.images.truth["camera"][row][0])
        return Controls(tuple(truth.rotation[0].tolist()), expression, truth.light[0].numpy(), distance=distance)


def acted(rig: Rig, seed: int, renderings: Renderings, rows: Sequence[int]) -> list[Seen]:
    """What the portrait of ``seed`` looks like in the poses and the light of some renderings."""
    portrait, size = rig.new_portrait(seed), renderings.images.size
    names = rig.face.expression_names
    frames = [rig.frame(portrait, renderings.controls(row, names), size, ("Portrait", "UV")) for row in rows]
    return [Seen(frame["Portrait"], frame["UV"]) for frame in frames]


def measure_motion(rig: Rig, renderings: Renderings, kind: str) -> dict[str, dict[str, float]]:
    """``changes`` in one of ``MOTIONS`` of the rig's portraits ("portraits") and of the renderings ("renderings"), means over people."""
    everybody = [renderings.rows(person, kind) for person in range(renderings.people)]
    portraits = [changes(acted(rig, seed, renderings, rows)) for seed, rows in enumerate(everybody)]
    rendered = [changes([renderings.seen(row) for row in rows]) for rows in everybody]
    return {"portraits": mean_of(portraits), "renderings": mean_of(rendered)}


def mean_of(people: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([person[name] for person in people])), 4) for name in people[0]}
