"""Portraits of photographs, measured: held-out people of the studio, whom no training has seen, stand for people on photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.colour import BACKDROP
from models.data.image_set import ImageSet
from models.editing.inversion.finding import REGRESSOR, Eyes, Face, Pyramid, choose_face, flip
from models.editing.inversion.fit import fit_shape
from models.editing.inversion.invert import Watch, cut_frames, frame_of, invert, mesh_masks
from models.editing.inversion.photo import Photo
from models.editing.inversion.sheet import drawn, poses, square
from models.errors import StyleRigError
from models.evaluation.control.identity import other_people, similarity
from models.evaluation.methods.judge import Judge, bad_judge
from models.face.alignment import ffhq_crop
from models.io.images import image_grid
from models.perception.face_regressor import SIZE
from models.rigging.controls import Controls, Portrait
from models.rigging.rig import Rig, hash_files

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


def took_part(judge: Judge) -> bool:
    """Whether the judge is the network that read the landmarks off the photos, to which the portraits were fitted."""
    return bool(judge.file_hash) and judge.file_hash == hash_files([REGRESSOR])


@torch.no_grad()
def embedding(judge: Judge, pixels: Tensor, landmarks: Tensor) -> np.ndarray:
    """What the judge tells of the person (1, D) in the aligned crop of a picture (3, H, W); landmarks (68, 2) in pixels, y down.

    Raises StyleRigError for a judge that tells nobody apart.
    """
    crop = torch.cat(ffhq_crop(flip(landmarks[None])), dim=1)
    seen = judge.read(Pyramid.of(pixels).cut(crop, SIZE))
    if "embedding" not in seen:
        raise bad_judge(judge.name, "it returns no embedding, which people are told apart by")
    return seen["embedding"]


def likeness(judge: Judge, data: ImageSet) -> Likeness:
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


def figures_of(rig: Rig, portrait: Portrait, photo: Photo, face: Face, judge: Judge, known: Likeness) -> Figures:
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


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of each photo, why others were ``refused`` by name, and a ``sheet`` (H, W, 3) uint8."""

    figures: list[Figures]
    refused: dict[str, str]
    sheet: np.ndarray


def measure_inversion(rig: Rig, judge: Judge, folder: Path, people: int, effort: str, say: Callable[[str], None]) -> Measured:
    """Measure ``people`` held-out people of a set, or as many as there are whose photos are taken.

    Raises StyleRigError where there is none.
    """
    data = ImageSet(folder, 0, ("landmarks",), part="held out", whole=True, progress=False)
    eyes, known = Eyes.load(), likeness(judge, data)
    found: list[Figures] = []
    refused: dict[str, str] = {}
    tiles, names = [], []
    for photo in one_of_each(data):
        if len(found) == people:
            break
        try:
            face = choose_face(photo, eyes)
            portrait = invert(rig, [photo], effort, eyes=eyes, watch=Watch())
        except StyleRigError as error:
            refused[photo.name] = str(error)
            say(str(error))
            continue
        found.append(figures_of(rig, portrait, photo, face, judge, known))
        shown = poses(rig, portrait)
        names = ["photo", *shown]
        tiles += [square(photo, rig.generator.resolution), *(drawn(rig, portrait, controls) for controls in shown.values())]
        say(f"{found[-1]}")
    if not found:
        raise StyleRigError(f"No photo in {folder} could become a portrait.", "Render more people.", code="no_training_data")
    return Measured(found, refused, image_grid(tiles, len(names), gap=2, labels=names * len(found)))


def one_of_each(data: ImageSet) -> Iterator[Photo]:
    """A photo of each person of a set."""
    people = data.source.people(data.numbers)
    for person in sorted(set(people.tolist())):
        yield photo_of(data, int(np.flatnonzero(people == person)[0]))


def summary(measured: Measured, judge: Judge) -> dict:
    """Means beside the goals, who judged, what was refused, and every photo's figures, as JSON."""
    means = {name: round(float(np.mean([getattr(one, name) for one in measured.figures])), 4) for name in GOALS}
    judged = {"judge": judge.name, "judge_took_part": took_part(judge)}
    photos = [dataclasses.asdict(one) for one in measured.figures]
    return {**judged, "mean": means, "goals": GOALS, "photos": photos, "refused": measured.refused}
