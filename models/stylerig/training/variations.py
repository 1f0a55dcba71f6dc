"""Pictures of the same people with one thing changed: what the judge's own error looks like.

A judge that reads another smile after a turn of the head may be wrong, or the rig may leak. In these
pictures, photographed like all others, the truth of everything but one control is the same, so what
the judge reads of the rest is its own error. They also show one person in several pictures, which
the likeness of the same person is measured on.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.errors import StyleRigError
from models.face import FaceModel, load_face_model
from models.face.gaze import is_gaze
from models.io.atomic_write import write_atomic
from models.metrics.control import mean
from models.stylerig.estimator import SIZE, Estimator
from models.stylerig.evaluation.judging import READABLE, expressions
from models.stylerig.evaluation.likeness import other_people, similarity
from models.stylerig.evaluation.subjects import BATCH, Reading
from models.stylerig.rig import BACKDROP
from models.stylerig.training.scenes import kept_gaze, with_expression
from models.studio.scene import PITCH, YAW, latent_size, layout
from models.training.data import PictureSet
from models.training.pictures import open_folder

KINDS = ("own", "yaw", "pitch", "expression", "light")  # of each person, one after another
LIKENESS = {"pose": ("yaw", "pitch"), "expression": ("expression",), "light": ("light",)}
TURN = {"yaw": math.radians(25), "pitch": math.radians(11)}
REST = 0.5  # numbers of expressions at most: people without a strong one
SAME = 1e-3  # truth closer than this has not changed


def variation_latent(seed: int, number: int, face: FaceModel) -> Tensor:
    """The scene vector (1, S) of picture ``number``: person ``number // 5`` in the variation ``number % 5``."""
    person, kind = number // len(KINDS), KINDS[number % len(KINDS)]
    random = torch.Generator().manual_seed(seed * 10_000_019 + person)
    z, fresh = torch.randn(2, 1, latent_size(face), generator=random)
    places = layout(face)
    z[:, places["expression"]] = z[:, places["expression"]].clamp(max=REST)
    z[:, places["mood"].start : places["mood"].stop - 1] = 0.0
    z[:, places["pose"]] *= 0.4
    edited = z.clone()
    sign = 1.0 if person % 2 else -1.0
    if kind in TURN:
        column = places["pose"].start + ("yaw", "pitch").index(kind)
        edited[:, column] += sign * TURN[kind] / (YAW if kind == "yaw" else PITCH)
        edited[:, places["gaze"]] = kept_gaze(z, edited, places)
    elif kind == "light":
        edited[:, places["light"]] = fresh[:, places["light"]]
    elif kind == "expression":
        names = [name for name in face.expression_names if not is_gaze(name)]
        return with_expression(z, names[person % len(names)], 1.0, face)
    return edited


def photograph_variations(output: Path, people: int, size: int, seed: int, heads: Path | None) -> Path:
    """Render ``people`` in all variations with the studio; pictures that are there are kept."""
    from models.studio import __main__ as studio
    from models.studio.heads import studio_head
    from models.studio.person import person_message, prepare
    from models.studio.scene import scene_from_latent

    class Photographer(studio.Photographer):
        def prepare(self, number: int) -> dict:
            latent = variation_latent(self.options.seed, number, self.face)
            scene = scene_from_latent(latent, self.face)
            person = person_message(scene, 0, self.assets, seed=number // len(KINDS))
            return {"number": number, "latent": latent, "scene": scene, "person": person}

    options = argparse.Namespace(output=output, size=size, seed=seed, count=people * len(KINDS),
                                 blender_python=studio.default_python())  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    face, head = load_face_model(None), studio_head(heads)
    studio.write_index(options, face, head.name)
    index = json.loads((output / "index.json").read_text())
    write_atomic(output / "index.json", json.dumps(index | {"variations": list(KINDS)}, indent=1).encode())
    missing = [number for number in range(options.count) if not studio.picture_path(output, number).exists()]
    assets, done = prepare(head), lambda: None
    if missing:
        Photographer(options, face, assets, 0).shoot(missing, done, studio.Event())
    return output


@torch.no_grad()
def measure_floors(judge: Estimator, folder: Path, face: FaceModel) -> dict:
    """For ``judge.floors``: by kind of edit, the root mean square change of each axis whose truth stayed, in its own
    units, and the likeness of the same person. Raises StyleRigError for pictures that are no variations."""
    source = open_folder(folder)
    if (source.index or {}).get("variations") != list(KINDS):
        raise not_variations(folder)
    pictures = PictureSet(folder, SIZE if source.size % SIZE == 0 else 0, fields=("parameters",), progress=False)
    count = len(pictures.numbers) // len(KINDS)
    rows = np.arange(count * len(KINDS))
    if not np.array_equal(pictures.numbers[rows], rows):
        raise not_variations(folder)
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
    likeness = reading.likeness.reshape(count, len(KINDS), -1)
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


def read(judge: Estimator, pictures: PictureSet, rows: np.ndarray, face: FaceModel, names: list[str]) -> Reading:
    """What the judge sees of some pictures, over the neutral backdrop."""
    rgba = torch.from_numpy(pictures.pictures[rows]).to(judge.mean.device).permute(0, 3, 1, 2).float() / 255
    return Reading.of(judge, rgba[:, :3] + (1 - rgba[:, 3:]) * BACKDROP, face, names)


def not_variations(folder: Path) -> StyleRigError:
    return StyleRigError(
        f"The pictures in {folder} are not whole sets of variations.",
        "Make them with python -m backend train rig --stage variations --output DIR.",
        code="bad_pictures",
    )


def add_floors(path: Path, folder: Path, face: FaceModel, device: torch.device | str = "cpu") -> Estimator:
    """Measure the judge at ``path`` and keep the floors in its file."""
    judge = Estimator.load(path).to(device)
    floors = measure_floors(judge, folder, face)
    judge.save(path, {**judge.header, "floors": floors})
    return Estimator.load(path)

