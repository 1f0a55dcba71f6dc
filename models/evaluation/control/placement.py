"""Roll, translation and scale: what is asked for against where the pixels went."""

from __future__ import annotations

import math

import numpy as np
import torch

from models.evaluation.control.axes import Axis
from models.evaluation.control.registration import Motion, find_motion
from models.evaluation.control.response import response
from models.evaluation.control.subjects import Subjects
from models.rigging.controls import Controls, Portrait
from models.rigging.frame_plan import plan_frame
from models.rigging.similarity_transform import Similarity

ROLL = (-30.0, -15.0, 0.0, 15.0, 30.0)  # degrees
SHIFT = (-0.1, -0.05, 0.0, 0.05, 0.1)  # widths of the frame
SCALE = (0.8, 0.9, 1.0, 1.1, 1.25)
TOLERANCE = {"roll": 1.0, "translation_x": 0.01, "translation_y": 0.01, "scale": 0.01}
ASTRAY = Motion(1.5, 1.02, (0.01, -0.01))  # the search starts this far from what was asked for
HEADS = 4  # portraits: pixels move alike for all


def measure_placement(subjects: Subjects) -> dict[str, Axis]:
    """The four axes of the similarity. Errors in degrees, in widths of the frame and as a part of the scale."""
    portraits = [subjects.portrait(row) for row in range(min(HEADS, len(subjects.w)))]
    values = {"roll": ROLL, "translation_x": SHIFT, "translation_y": SHIFT, "scale": SCALE}
    axes = {}
    for name, wanted in values.items():
        achieved = np.array([[moved(subjects, portrait, name, value) for value in wanted] for portrait in portraits])
        requested = np.broadcast_to(np.array(wanted), achieved.shape)
        figures = response(requested, achieved, TOLERANCE[name])
        figures["largest_error"] = round(float(np.abs(achieved - requested).max()), 5)
        axes[name] = Axis("placement", requested, achieved, figures | leak_of(subjects, portraits[0], name, wanted[0]))
    return axes


def controls_for(portrait: Portrait, name: str, value: float) -> Controls:
    """The portrait moved along one axis; roll is counted from its own."""
    if name == "roll":
        yaw, pitch, roll = portrait.parameters.rotation[0].tolist()
        return Controls(rotation=(yaw, pitch, roll + math.radians(value)))
    if name == "scale":
        return Controls(scale=value)
    return Controls(translation=(value, 0.0) if name == "translation_x" else (0.0, value))


def moved(subjects: Subjects, portrait: Portrait, name: str, value: float) -> float:
    """How far the pixels moved along an axis, found by registration of the two frames."""
    rig = subjects.rig
    before, after = (grey(rig.frame(portrait, asked, passes=("Portrait",))["Portrait"])
                     for asked in (Controls(), controls_for(portrait, name, value)))  # fmt: skip
    plan = plan_frame(portrait, controls_for(portrait, name, value), rig.face)
    found = find_motion(before, after, guess(plan.similarity))
    if name == "roll":
        return found.angle
    if name == "scale":
        return found.scale
    # About the centre of the picture a turn or a scale would also shift; these two axes have neither.
    return found.shift[0 if name == "translation_x" else 1]


def guess(similarity: Similarity) -> Motion:
    """Where to seek: what was asked for, about the picture's centre, and then astray."""
    centre = similarity.to_output(torch.zeros(2, dtype=torch.float64)).tolist()
    shift = (centre[0] / 2 + ASTRAY.shift[0], centre[1] / 2 + ASTRAY.shift[1])
    return Motion(math.degrees(similarity.angle) + ASTRAY.angle, similarity.scale * ASTRAY.scale, shift)


def grey(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W)."""
    return picture.mean(axis=2)


def leak_of(subjects: Subjects, portrait: Portrait, name: str, value: float) -> dict:
    """What the axis leaks: nothing where the code, and so the crop, stays the same to the bit."""
    plan = plan_frame(portrait, controls_for(portrait, name, value), subjects.face)
    code = subjects.renderer.edited_latent(plan)[0].cpu().numpy()
    change = float(np.abs(code - portrait.w).max() / max(np.abs(portrait.w).max(), 1e-9))
    return {"leakage": round(change, 6), "leaks_most_into": ""}
