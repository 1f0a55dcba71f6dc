"""What edits change outside the face, in the finished frames: hair, ears, neck, clothes, background."""

from __future__ import annotations

import numpy as np
import torch

from models.colour import over_backdrop
from models.evaluation.control.axes import turned_to
from models.evaluation.control.response import psnr
from models.evaluation.control.subjects import Subjects
from models.rigging.controls import Controls, Portrait
from models.rigging.frame_plan import FramePlan, plan_frame
from models.rigging.local_blend import face_area

EXPRESSIONS = ("jawOpen", "mouthSmile_L", "browInnerUp_L", "eyeBlink_L", "mouthFunnel", "cheekPuff_L")
AZIMUTHS = (-45.0, 45.0)
SEEN = 0.05  # alpha from which a pixel shows something
HEADS = 6
MARGIN = 4  # pixels of 128 around the face mask that belong to the face


def measure_outside(subjects: Subjects) -> dict:
    """Median PSNR in dB outside the face, with what share of frames reaches 28 dB.

    ``hair_and_clothes`` are the pixels outside the face that the matte covers before or after;
    ``everything`` also the background. Light may change colours there, so for it the matte is what
    counts.
    """
    portraits = [subjects.portrait(row) for row in range(min(HEADS, len(subjects.w)))]
    names = [name for name in EXPRESSIONS if name in subjects.face.expression_names] or subjects.face.expression_names[:2]
    edits = {
        "expression": [[Controls(expression={name: 1.0}) for name in names] for _ in portraits],
        "light_direction": [[lit(portrait, degrees) for degrees in AZIMUTHS] for portrait in portraits],
    }
    result = {}
    for name, asked in edits.items():
        rows = [compare(subjects, portrait, one) for portrait, many in zip(portraits, asked, strict=True) for one in many]
        result[name] = {key: round(float(np.median([row[key] for row in rows])), 2) for key in rows[0]}
        reached = np.mean([row["hair_and_clothes"] >= 28 for row in rows])
        result[name]["share_at_28_db"] = round(float(reached), 3)
    return result


def lit(portrait: Portrait, degrees: float) -> Controls:
    return Controls(light=turned_to(portrait.parameters.light, degrees)[0].numpy())


def compare(subjects: Subjects, portrait: Portrait, asked: Controls) -> dict[str, float]:
    """PSNR of one edit against the portrait itself, by region."""
    rig = subjects.rig
    plans = [plan_frame(portrait, controls, rig.face) for controls in (Controls(), asked)]
    size = rig.generator.resolution
    before, after = (subjects.renderer.layers(plan, size, "exact")[0, :4].cpu() for plan in plans)
    outside = 1 - np.maximum(*(area(subjects, plan, size) for plan in plans))
    first, second = (over_backdrop(picture[:3], picture[3:]).numpy() for picture in (before, after))
    shown = outside * (torch.maximum(before[3], after[3]) > SEEN).numpy()
    return {
        "hair_and_clothes": psnr(first, second, shown),
        "everything": psnr(first, second, outside),
        "matte": psnr(before[3:].numpy(), after[3:].numpy(), outside),
    }


def area(subjects: Subjects, plan: FramePlan, size: int) -> np.ndarray:
    """The face with a small margin (size, size), 0 or 1, in its place in the frame."""
    mask = plan.similarity.warp(face_area(subjects.face, plan.target, 128))
    wide = torch.nn.functional.max_pool2d(mask, 2 * MARGIN + 1, 1, MARGIN)
    return (torch.nn.functional.interpolate(wide, size=(size, size))[0, 0] > 0.01).float().cpu().numpy()
