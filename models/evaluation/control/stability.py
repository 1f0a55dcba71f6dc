"""From frame to frame: a rig at rest gives the same frame, one that moves slowly an even motion."""

from __future__ import annotations

import math

import numpy as np

from models.evaluation.control.axes import turned_to
from models.evaluation.control.response import smoothness
from models.evaluation.control.subjects import Subjects
from models.rigging.controls import Controls, Portrait

FRAMES = 16
HEADS = 2
TURN, JAW, SWING = 1.0, 1 / 24, 2.5  # per frame: degrees of yaw, weight, degrees of the light's azimuth


def measure_stability(subjects: Subjects) -> dict:
    """``still``: largest difference between repeated frames, with another one between them; ``moving``: the
    motion of yaw, jaw and light at an even pace, mean over portraits (see ``smoothness``)."""
    rig = subjects.rig
    portraits = [subjects.portrait(row) for row in range(min(HEADS, len(subjects.w)))]
    draw = lambda portrait, number: rig.frame(portrait, on_the_way(subjects, portrait, number), passes=())["Combined"]
    differences, motions = [], []
    for portrait in portraits:
        frames = np.stack([draw(portrait, number) for number in range(FRAMES)])
        motions.append(smoothness(frames))
        differences.append(float(np.abs(draw(portrait, 1) - frames[1]).max()))
    moving = {name: round(float(np.mean([motion[name] for motion in motions])), 5) for name in motions[0]}
    return {"still": max(differences), "moving": moving}


def on_the_way(subjects: Subjects, portrait: Portrait, number: int) -> Controls:
    """Frame ``number`` of a slow motion through the portrait's own pose and light."""
    yaw, pitch, roll = portrait.parameters.rotation[0].tolist()
    middle = number - FRAMES / 2
    name = "jawOpen" if "jawOpen" in subjects.face.expression_names else subjects.face.expression_names[0]
    return Controls(
        rotation=(yaw + math.radians(TURN * middle), pitch, roll),
        expression={name: JAW * number},
        light=turned_to(portrait.parameters.light, SWING * middle)[0].numpy(),
    )
