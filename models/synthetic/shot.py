"""What changes from one picture of a person to the next: pose, expression, gaze, light and lens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from models.face.camera import Camera, rotation_matrix
from models.face.frame import half_width, translation
from models.face.model import FaceModel
from models.face.parameters import RigParameters
from models.synthetic.expressions import draw_expression
from models.synthetic.light import Light, draw_light
from models.synthetic.traits import Person

SHOTS = 4  # pictures of one person
# Most pictures lie where most shots do; the others spread evenly over all that a shot may want.
WIDE = 0.25  # share of pictures whose yaw, pitch and roll, and as many, independently, whose distance, are spread evenly
USUAL = {"yaw": (20.0, 40.0), "pitch": (8.0, 20.0), "roll": (5.0, 12.0)}  # degrees: standard deviation, farthest
FARTHEST = {"yaw": 75.0, "pitch": 35.0, "roll": 25.0}
USUAL_DISTANCE, DISTANCE = (80.0, 200.0), (40.0, 600.0)  # cm from the camera to the head
NECK = {"yaw": 50.0, "pitch": 25.0, "roll": 20.0}  # degrees that a neck turns; beyond, the shoulders go along


@dataclass(frozen=True)
class Shot:
    """One picture: expression (E,), head and shoulders (yaw, pitch, roll) in radians, distance in cm, light."""

    expression: np.ndarray
    rotation: np.ndarray
    body: np.ndarray
    distance: float
    light: Light

    def parameters(self, person: Person, face: FaceModel) -> RigParameters:
        """The rig's exact parameters of this one picture."""
        row = lambda values: torch.as_tensor(np.asarray(values), dtype=torch.float32)[None]
        rotation = row(self.rotation)
        return RigParameters(row(person.identity), row(person.reflectance), row(self.expression), self.light.harmonics()[None],
                             rotation, translation(rotation))  # fmt: skip

    def camera(self, person: Person, face: FaceModel) -> Camera:
        """The camera that keeps the head's size whatever the distance."""
        return Camera(self.distance, float(half_width(face, torch.as_tensor(person.identity, dtype=torch.float32)[None])))


def draw_shot(random: np.random.Generator, person: Person, face: FaceModel) -> Shot:
    """A picture of that person."""
    rotation = draw_rotation(random)
    return Shot(
        expression=draw_expression(random, face.expression_names, rotation),
        rotation=rotation,
        body=draw_body(random, rotation),
        distance=draw_distance(random),
        light=draw_light(random, float(person.reflectance[0]), turn=rotation_matrix(torch.as_tensor(rotation)[None])[0].numpy()),
    )


def draw_rotation(random: np.random.Generator) -> np.ndarray:
    """Yaw, pitch and roll (3,) in radians."""
    wide = random.random() < WIDE
    angles = []
    for name, (spread, end) in USUAL.items():
        far = FARTHEST[name]
        angles.append(random.uniform(-far, far) if wide else float(np.clip(spread * random.normal(), -end, end)))
    return np.radians(angles)


def draw_body(random: np.random.Generator, rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll (3,) of the shoulders: they go along by any share, and as far as the neck demands."""
    share = random.uniform((0.1, 0.0, 0.0), (0.9, 1.0, 0.5))
    reach = np.radians(list(NECK.values()))
    return rotation - np.clip((1 - share) * rotation, -reach, reach)


def draw_distance(random: np.random.Generator) -> float:
    """From the camera to the head, cm; even in logarithm."""
    near, far = DISTANCE if random.random() < WIDE else USUAL_DISTANCE
    return math.exp(random.uniform(math.log(near), math.log(far)))
