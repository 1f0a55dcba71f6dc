"""Portraits of photographs, measured: held-out people of the studio, whom no training has seen, stand for people on photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.colour import BACKDROP
from models.data.image_set import ImageSet
from models.editing.inversion.finding import Eyes, Face, Pyramid, choose_face, flip
from models.editing.inversion.fit import fit_shape
from models.editing.inversion.invert import Watch, cut_frames, frame_of, invert, mesh_masks
from models.editing.inversion.photo import Photo
from models.editing.inversion.sheet import drawn, poses, square
from models.errors import StyleRigError
from models.evaluation.control.identity import other_people, similarity
from models.face.alignment import ffhq_crop
from models.io.images import image_grid
from models.perception.face_regressor import SIZE, Estimator
from models.rigging.controls import Controls, Portrait
from models.rigging.rig import Rig

GOALS = {"colour_error": 0.02, "identity": 0.9, "identity_turned": 0.75}
OTHERS = 64  # held-out pictures that say how alike people are


@dataclass(frozen=True)
class Figures:
    """Of one photo: mean error of colour on the face (0–1 sRGB), and identity as drawn and after ±25°, 0 another person, 1 the same."""

    photo: str
    colour_error: float
    identity: float
    identity_turned: float


@dataclass(frozen=True, eq=False)
class Likeness:
    """How alike embeddings (N, D) are: ``other`` people, and the ``same`` one on other pictures; ``middle`` (D,) is taken off first."""

    middle: np.ndarray
    other: float
    same: float

    def of(self, first: np.ndarray, second: np.ndarray) -> float:
        """0 for another person, 1 for the same one on another picture; above where two are nearer still."""
        return (similarity(first - self.middle, second - self.middle) - self.other) / max(self.same - self.other, 1e-6)


def photo_of(data: ImageSet, row: int) -> Photo:
    """A picture of the set before the neutral backdrop, as a photograph."""
    rgba = torch.from_numpy(np.array(data.pictures[row])).movedim(-1, 0).float() / 255
    return Photo(f"{data.numbers[row]:06d}", rgba[:3] + (1 - rgba[3:]) * BACKDROP, None, str(data.numbers[row]))


@torch.no_grad()
def embedding(judge: Estimator, pixels: Tensor, landmarks: Tensor) -> np.ndarray:
    """What the judge tells of the person (1, D) in the aligned crop of a picture (3, H, W); landmarks (68, 2) in pixels, y down."""
    crop = torch.cat(ffhq_crop(flip(landmarks[None])), dim=1)
    return judge.predict(Pyramid.of(pixels).cut(crop, SIZE)).embedding.numpy()


def likeness(judge: Estimator, data: ImageSet) -> Likeness:
    """From pictures of people that are known: several of each. Raises StyleRigError where there is only one person."""
    rows = np.linspace(0, len(data) - 1, min(OTHERS, len(data))).astype(int)
    size = data.size
    marks = torch.from_numpy(data.truth["landmarks"]) * torch.tensor([0.5, -0.5]) * size + size / 2
    told = np.concatenate([embedding(judge, photo_of(data, int(row)).pixels, marks[row]) for row in rows])
    people = data.source.people(data.numbers[rows])
    if len(set(people.tolist())) < 2:
        raise StyleRigError(f"{data.source.folder} has too few people held out.", "Render more.", code="no_training_data")
    middle = told.mean(axis=0)
    off = told - middle
    unit = off / (np.linalg.norm(off, axis=1, keepdims=True) + 1e-12)
    alike, pair = unit @ unit.T, people[:, None] == people[None]
    np.fill_diagonal(pair, False)
    same = float(alike[pair].mean()) if pair.any() else 1.0
    one_of_each = [int(np.flatnonzero(people == person)[0]) for person in sorted(set(people.tolist()))]
    return Likeness(middle, other_people(off[one_of_each]), same)


def landmarks_of(rig: Rig, portrait: Portrait, controls: Controls) -> Tensor:
    """Where the mesh's landmarks (68, 2) lie in a frame of the generator's size, in pixels, y down."""
    plan = rig.renderer.plan(portrait, controls)
    ndc = plan.similarity.to_output(frame_of(rig).landmarks(plan.target)[0])
    return (ndc * torch.tensor([0.5, -0.5]) + 0.5) * rig.generator.resolution


def figures_of(rig: Rig, portrait: Portrait, photo: Photo, face: Face, judge: Estimator, known: Likeness) -> Figures:
    """Measure one portrait against its photo."""
    own = embedding(judge, photo.pixels, face.landmarks)
    shown = poses(rig, portrait)
    told = lambda controls: known.of(own, embedding(judge, drawn(rig, portrait, controls), landmarks_of(rig, portrait, controls)))
    turned = [told(shown[name]) for name in ("yaw +25", "yaw -25")]
    frame, size = frame_of(rig), rig.generator.resolution
    fit = fit_shape(frame, flip(face.landmarks)[None])
    picture, inside, _ = cut_frames([photo], fit, size)
    mask = mesh_masks(frame, fit.parameters, size) * inside
    off = ((drawn(rig, portrait, Controls()) - picture) * mask).abs().sum() / (3 * mask.sum())
    return Figures(photo.name, round(float(off), 4), round(told(Controls()), 4), round(float(np.mean(turned)), 4))


def measure_inversion(
    rig: Rig, judge: Estimator, folder: Path, people: int, effort: str, say: Callable[[str], None]
) -> tuple[list[Figures], np.ndarray]:
    """Figures of ``people`` held-out people of a set, and a sheet of them, (H, W, 3) uint8."""
    data = ImageSet(folder, 0, ("landmarks",), part="held out", whole=True, progress=False)
    eyes, known = Eyes.load(), likeness(judge, data)
    numbers = data.source.people(data.numbers)
    rows = [int(np.flatnonzero(numbers == person)[0]) for person in sorted(set(numbers.tolist()))][:people]
    found, tiles = [], []
    for row in rows:
        photo = photo_of(data, row)
        face = choose_face(photo, eyes)
        portrait = invert(rig, [photo], effort, eyes=eyes, watch=Watch())
        found.append(figures_of(rig, portrait, photo, face, judge, known))
        tiles += [square(photo, rig.generator.resolution), *(drawn(rig, portrait, controls) for controls in poses(rig, portrait).values())]
        say(f"{found[-1]}")
    names = ["photo", *poses(rig, portrait)]
    return found, image_grid(tiles, len(names), gap=2, labels=names * len(rows))


def summary(found: Sequence[Figures]) -> dict:
    """Means beside the goals, and every photo's figures, as JSON."""
    means = {name: round(float(np.mean([getattr(one, name) for one in found])), 4) for name in GOALS}
    return {"mean": means, "goals": GOALS, "photos": [dataclasses.asdict(one) for one in found]}
