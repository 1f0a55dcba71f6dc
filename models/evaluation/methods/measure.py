"""What a judge finds of one method: each axis, what it leaks, who it is, what lies around, how its factors come apart."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from models.colour import over_backdrop
from models.evaluation.control.identity import other_people, similarity
from models.evaluation.control.response import disentanglement, psnr, response
from models.evaluation.methods.judge import READ, Judge, Seen
from models.evaluation.methods.method import EXPRESSIONS, Method
from models.face.alignment import project_landmarks
from models.face.harmonics import handles_from_light, light_from_handles
from models.face.parameters import RigParameters
from models.rigging.controls import Controls
from models.rigging.local_blend import face_area
from models.synthetic.light import draw_light

FIRST_SEED = 100_000  # portraits that nothing was trained on
VALUES = {  # degrees, and weights of expressions
    "yaw": (-30.0, -15.0, 0.0, 15.0, 30.0),
    "pitch": (-12.0, -6.0, 0.0, 6.0, 12.0),
    **dict.fromkeys(EXPRESSIONS, (0.0, 0.5, 1.0)),
    "light": (-60.0, -30.0, 0.0, 30.0, 60.0),
}
TOLERANCE = {"yaw": 4.0, "pitch": 4.0, **dict.fromkeys(EXPRESSIONS, 0.15), "light": 12.0}
FACTORS = {"pose": ("yaw", "pitch"), "expression": tuple(EXPRESSIONS), "light": ("harmonics",), "identity": ("embedding",)}
DRAWS = 4  # values of a factor that each portrait is given for the score
POSE_STD = (12.0, 5.0)  # degrees of yaw and pitch that are drawn
RISE = 0.3  # of the key light's direction, upwards
MARGIN = 4  # pixels of 128 around the face that belong to it
LEAST_MOTION = 1e-3  # mean NDC that landmarks must be asked to move by to count


@dataclass(eq=False)
class Subject:
    """A method's portraits, their pictures, and what the judge sees of them."""

    method: Method
    judge: Judge
    portraits: list[Any]
    before: list[Tensor]
    seen: Seen
    scale: dict[str, np.ndarray]  # name -> deviation among people, in which changes count, and "middle", the mean embedding
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, method: Method, judge: Judge, count: int, scale: dict[str, np.ndarray]) -> Subject:
        portraits = [method.portrait(FIRST_SEED + number) for number in range(count)]
        before = [method.picture(portrait, Controls()) for portrait in portraits]  # also warms up, so is not timed
        return cls(method, judge, portraits, before, judge.see(before), scale)

    def draw(self, controls: list[Controls]) -> list[Tensor]:
        """A picture of each portrait, timed."""
        start = time.perf_counter()
        pictures = [self.method.picture(portrait, each) for portrait, each in zip(self.portraits, controls, strict=True)]
        self.seconds.append((time.perf_counter() - start) / len(pictures))
        return pictures

    def asks(self, axis: str, value: float) -> list[Controls]:
        """One axis at ``value``, of each portrait."""
        return [request(self.method, portrait, axis, value) for portrait in self.portraits]


def request(method: Method, portrait: Any, axis: str, value: float) -> Controls:
    """Controls that ask for one axis; all else stays as the method takes the portrait to be."""
    own = method.own(portrait)
    if axis in EXPRESSIONS:
        return Controls(expression=dict.fromkeys(EXPRESSIONS[axis], value))
    if axis == "light":
        return Controls(light=key_light(own, value))
    rotation = own.rotation[0].tolist()
    rotation[("yaw", "pitch").index(axis)] = math.radians(value)
    return Controls(rotation=(rotation[0], rotation[1], rotation[2]))


def key_light(own: RigParameters, degrees: float) -> np.ndarray:
    """A soft white key (9, 3) from ``degrees`` to the face's left, as strong as the portrait's own light: the same for all methods."""
    angle = math.radians(degrees)
    direction = own.light.new_tensor([[math.sin(angle), RISE, math.cos(angle)]])
    strength = handles_from_light(own.light).strength
    return light_from_handles(strength, own.light.new_ones(1, 3), direction)[0].cpu().numpy()


@torch.no_grad()
def people_scale(method: Method, judge: Judge, count: int) -> dict[str, np.ndarray]:
    """Deviation of all that a judge reads among ``count`` people of one method, and the mean of their embeddings."""
    seen = judge.see([method.picture(method.portrait(FIRST_SEED + 1000 + number), Controls()) for number in range(count)])
    scale = {name: seen[name].std(axis=0).clip(min=1e-6) for name in (*READ, "harmonics", "embedding") if name in seen}
    return scale | ({"middle": seen["embedding"].mean(axis=0)} if "embedding" in seen else {})


@torch.no_grad()
def measure(method: Method, judge: Judge, portraits: int, scale: dict[str, np.ndarray]) -> dict[str, Any]:
    """All figures of a method, for JSON."""
    subject = Subject.of(method, judge, portraits, scale)
    axes = {axis: measure_axis(subject, axis) for axis in VALUES}
    return {
        "title": method.title,
        "training": method.training,
        "axes": axes,
        "disentanglement": measure_factors(subject),
        "images_per_second": round(1 / float(np.median(subject.seconds)), 2),
    }


def measure_axis(subject: Subject, axis: str) -> dict[str, Any]:
    """One axis over its values: response, motion of landmarks, leakage, identity, background."""
    asked = [subject.asks(axis, value) for value in VALUES[axis]]
    pictures = [subject.draw(controls) for controls in asked]
    seen = [subject.judge.see(each) for each in pictures]
    figures: dict[str, Any] = {}
    if axis in subject.seen:
        requested = np.array(VALUES[axis])
        achieved = requested + turned(axis, np.stack([each[axis] for each in seen], axis=1) - requested)
        figures |= response(np.broadcast_to(requested, achieved.shape), achieved, TOLERANCE[axis])
        figures["achieved"] = [round(float(value), 3) for value in np.median(achieved, axis=0)]
    figures |= motion(subject, asked, seen) | leakage(subject, axis, seen) | likeness(subject, seen)
    if axis not in ("yaw", "pitch"):
        figures["background"] = background(subject, axis, asked, pictures)
    return figures


def motion(subject: Subject, asked: list[list[Controls]], seen: list[Seen]) -> dict[str, float | None]:
    """How far landmarks go of what the mesh's do (1: as far), and in its direction (cosine); none where they are to stay.

    ``drift`` is then how far they go all the same, in per cent of the picture's width.
    """
    if "landmarks" not in subject.seen:
        return {}
    method = subject.method
    wanted, found = [], []
    for controls, each in zip(asked, seen, strict=True):
        for row, portrait in enumerate(subject.portraits):
            moved = [
                project_landmarks(method.face, parameters)[0, :, :2]
                for parameters in (method.own(portrait), method.wanted(portrait, controls[row]))
            ]
            wanted.append((moved[1] - moved[0]).cpu().numpy().ravel())
            found.append((each["landmarks"][row] - subject.seen["landmarks"][row]).ravel())
    mesh, judged = np.stack(wanted), np.stack(found)
    if np.abs(mesh).mean() < LEAST_MOTION:
        return {"landmark_gain": None, "landmark_direction": None, "drift": round(50 * float(np.sqrt((judged**2).mean())), 3)}
    product = float((mesh * judged).sum())
    lengths = float(np.sqrt((mesh**2).sum() * (judged**2).sum()))
    return {"landmark_gain": round(product / float((mesh**2).sum()), 4), "landmark_direction": round(product / max(lengths, 1e-12), 4)}


def leakage(subject: Subject, axis: str, seen: list[Seen]) -> dict[str, Any]:
    """Root mean square change of each other axis, in deviations among people, and their mean."""
    others = [name for name in READ if name != axis and name in subject.seen and name in subject.scale]
    leaks = {}
    for name in others:
        change = np.stack([turned(name, each[name] - subject.seen[name]) for each in seen])
        leaks[name] = round(float(np.sqrt((change**2).mean()) / subject.scale[name]), 4)
    return {"leakage": round(float(np.mean(list(leaks.values()))), 4), "leaks": leaks} if leaks else {}


def turned(name: str, change: np.ndarray) -> np.ndarray:
    """A change of an axis; of light's direction the shorter way round."""
    return (change + 180) % 360 - 180 if name == "light" else change


def likeness(subject: Subject, seen: list[Seen]) -> dict[str, float]:
    """Cosine of embeddings with the portrait itself; ``identity`` is 1 for the same and 0 for another of these people."""
    if "embedding" not in subject.seen:
        return {}
    middle = subject.scale["middle"]
    own = subject.seen["embedding"] - middle
    cosine = float(np.mean([similarity(own, each["embedding"] - middle) for each in seen]))
    other = other_people(own)
    return {"similarity": round(cosine, 4), "identity": round((cosine - other) / max(1 - other, 1e-6), 4)}


def background(subject: Subject, axis: str, asked: list[list[Controls]], pictures: list[list[Tensor]]) -> float:
    """Median PSNR, dB, outside the face before and after: of colours over grey; under light, which may change them, of the matte."""
    values = []
    for controls, drawn in zip(asked, pictures, strict=True):
        for row, picture in enumerate(drawn):
            outside = 1 - np.maximum(*face_masks(subject, row, controls[row], picture.shape[-1]))
            first, second = (each[3:] if axis == "light" else over_backdrop(each[:3], each[3:]) for each in (subject.before[row], picture))
            values.append(psnr(first.cpu().numpy(), second.cpu().numpy(), outside))
    return round(float(np.median(values)), 2)


def face_masks(subject: Subject, row: int, controls: Controls, size: int) -> list[np.ndarray]:
    """The face (size, size), 0 or 1, with a small margin, as it was and as it is asked for."""
    method, portrait = subject.method, subject.portraits[row]
    margin = max(1, MARGIN * size // 128)
    areas = [face_area(method.face, parameters, size) for parameters in (method.own(portrait), method.wanted(portrait, controls))]
    return [(max_pool2d(area, 2 * margin + 1, 1, margin)[0, 0] > 0.01).float().cpu().numpy() for area in areas]


def measure_factors(subject: Subject) -> dict[str, Any]:
    """DiscoFaceGAN's score of pose, expression and light, each varied alone, in both forms, with the deviations they come from.

    DS_i is the product over the other factors j of s_i / s_j. s is the root mean square deviation of a factor's readings while i
    varies, over each portrait's draws, every reading in its deviation among people. ``standard_deviation`` is this product,
    ``variance`` the one of squares, its square: the publication's text can be read either way.
    """
    deviations = {}
    for factor, draws in DRAWN.items():
        random = np.random.default_rng(7)
        seen = [subject.judge.see(subject.draw([draws(subject, portrait, random) for portrait in subject.portraits])) for _ in range(DRAWS)]
        deviations[factor] = {name: found for name, of in FACTORS.items() if (found := deviation(subject, seen, of)) is not None}
    known = {factor: found for factor, found in deviations.items() if factor in found}
    scores = disentanglement(known)
    return {
        "standard_deviation": scores,
        "variance": {name: round(score**2, 3) for name, score in scores.items()},
        "deviations": deviations,
    }


def deviation(subject: Subject, seen: list[Seen], names: tuple[str, ...]) -> float | None:
    """Root mean square over readings ``names`` of their deviation within each portrait's draws; None where the judge reads none."""
    parts = [np.stack([each[name] for each in seen]) / subject.scale[name] for name in names if name in subject.seen]
    if not parts:
        return None
    spread = np.concatenate([part.std(axis=0).reshape(len(subject.portraits), -1) for part in parts], axis=1)
    return round(float(np.sqrt((spread**2).mean())), 4)


def draw_pose(subject: Subject, portrait: Any, random: np.random.Generator) -> Controls:
    yaw, pitch = np.radians(POSE_STD) * random.standard_normal(2)
    return Controls(rotation=(float(yaw), float(pitch), float(subject.method.own(portrait).rotation[0, 2])))


def draw_expression(subject: Subject, portrait: Any, random: np.random.Generator) -> Controls:
    weights = {axis: float(random.uniform()) for axis in EXPRESSIONS}
    return Controls(expression={name: weights[axis] for axis, names in EXPRESSIONS.items() for name in names})


def draw_lighting(subject: Subject, portrait: Any, random: np.random.Generator) -> Controls:
    return Controls(light=draw_light(random, float(subject.method.own(portrait).reflectance[0, 0])).harmonics().numpy())


DRAWN: dict[str, Callable[[Subject, Any, np.random.Generator], Controls]] = {
    "pose": draw_pose,
    "expression": draw_expression,
    "light": draw_lighting,
}
