"""Pictures of the same people with one thing changed: what the judge's own error looks like.

A judge that reads another smile after a turn of the head may be wrong, or the rig may leak. In these
pictures, photographed like all others, the truth of everything but one control is the same, so what
the judge reads of the rest is its own error. They also show one person in several pictures, which
the likeness of the same person is measured on.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from models.colour import over_backdrop
from models.data.image_set import ImageSet
from models.evaluation.control.identity import other_people, similarity
from models.evaluation.control.judge import READABLE, expressions
from models.evaluation.control.response import mean
from models.evaluation.control.subjects import BATCH, Reading
from models.face import FaceModel
from models.face.camera import PORTRAIT_CAMERA
from models.face.gaze import is_gaze
from models.perception.face_regressor import SIZE, Estimator
from models.synthetic.expressions import gaze_weights, neutral
from models.synthetic.light import Light, draw_light
from models.synthetic.series import Series
from models.synthetic.shot import Shot, draw_rotation
from models.synthetic.traits import Person

KINDS = ("own", "yaw", "pitch", "expression", "light")  # of each person, one after another
LIKENESS = {"pose": ("yaw", "pitch"), "expression": ("expression",), "light": ("light",)}
TURN = {"yaw": math.radians(25), "pitch": math.radians(11)}
SAME = 1e-3  # truth closer than this has not changed


def variation(person: Person, number: int, random: np.random.Generator, face: FaceModel) -> list[Shot]:
    """The shots of ``KINDS`` of person ``number``: calm, at most a little turned, and then with one thing changed."""
    rotation = 0.4 * draw_rotation(random)
    rotation = np.clip(rotation, -np.radians(15), np.radians(15))
    weights = dict.fromkeys(face.expression_names, 0.0)
    neutral(random, weights)
    tone = float(person.reflectance[0])
    sign = 1.0 if number % 2 else -1.0
    turned = {kind: rotation + sign * TURN[kind] * np.eye(3)[column] for column, kind in enumerate(TURN)}
    shown = [name for name in face.expression_names if not is_gaze(name)]
    changed = weights | {shown[number % len(shown)]: 1.0}
    own = draw_light(random, tone), draw_light(random, tone)

    def shot(weights: dict[str, float], pose: np.ndarray, light: Light) -> Shot:
        looking = gaze_weights(-pose[0], pose[1])  # at the camera
        values = [float(np.clip((weights | looking)[name], 0, 1)) for name in face.expression_names]
        return Shot(np.array(values), pose, 0.3 * rotation, float(PORTRAIT_CAMERA.distance), light)

    return [shot(weights, rotation, own[0]), shot(weights, turned["yaw"], own[0]), shot(weights, turned["pitch"], own[0]),
            shot(changed, rotation, own[0]), shot(weights, rotation, own[1])]  # fmt: skip


VARIATIONS = Series("variations", KINDS, variation)


@torch.no_grad()
def measure_floors(judge: Estimator, folder: Path, face: FaceModel) -> dict:
    """For ``judge.floors``: by kind of edit, the root mean square change of each axis whose truth stayed, in its own
    units, and the likeness of the same person. Raises StyleRigError for pictures that are no variations."""
    source = VARIATIONS.open(folder)
    pictures = ImageSet(folder, SIZE if source.size % SIZE == 0 else 0, fields=("parameters",), progress=False)
    count = len(pictures.numbers) // len(KINDS)
    rows = np.arange(count * len(KINDS))
    if not np.array_equal(pictures.numbers[rows], rows):
        raise VARIATIONS.another_set(folder)
    names = expressions(judge, face, READABLE)
    reading = Reading.joined([read(judge, pictures, part, face, names) for part in np.array_split(rows, -(-len(rows) // BATCH))])
    truth = Reading.of_vector(torch.from_numpy(pictures.truth["parameters"][rows]), face, names)
    shape = (count, len(KINDS))
    floors = {
        KINDS[column]: axis_floors(
            {name: values.reshape(shape) for name, values in reading.values.items()},
            {name: values.reshape(shape) for name, values in truth.values.items()},
            column,
        )
        for column in range(1, len(KINDS))
    }
    likeness = reading.embedding.reshape(count, len(KINDS), -1)
    likeness = likeness - likeness[:, 0].mean(axis=0)
    own = likeness[:, 0]
    same = {name: mean(similarity(own, likeness[:, KINDS.index(kind)]) for kind in kinds) for name, kinds in LIKENESS.items()}
    return {"leakage": floors, "likeness": same, "other_person": round(other_people(own), 4), "people": count}


def axis_floors(read: dict[str, np.ndarray], truth: dict[str, np.ndarray], column: int) -> dict[str, float]:
    """Change (N, K) of each axis from the first column to ``column``, of those people whose truth stayed."""
    floors = {}
    for name, values in read.items():
        stayed = np.abs(truth[name][:, column] - truth[name][:, 0]) < SAME
        if stayed.any():
            change = (values[:, column] - values[:, 0])[stayed]
            floors[name] = round(float(np.sqrt(np.mean(change**2))), 5)
    return floors


def read(judge: Estimator, pictures: ImageSet, rows: np.ndarray, face: FaceModel, names: list[str]) -> Reading:
    """What the judge sees of some pictures, over the neutral backdrop."""
    rgba = torch.from_numpy(pictures.pictures[rows]).to(judge.mean.device).permute(0, 3, 1, 2).float() / 255
    return Reading.of(judge, over_backdrop(rgba[:, :3], rgba[:, 3:]), face, names)


def add_floors(path: Path, folder: Path, face: FaceModel, device: torch.device | str = "cpu") -> Estimator:
    """Measure the judge at ``path`` and keep the floors in its file."""
    judge = Estimator.load(path).to(device)
    floors = measure_floors(judge, folder, face)
    judge.save(path, {**judge.header, "floors": floors})
    return Estimator.load(path)
