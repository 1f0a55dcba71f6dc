"""Named modes of identity: single measures of the face, value 1 = one standard deviation of the population.

Sizes are standard deviations within one sex, rounded, of published anthropometry (docs/face.md); where none is
published they were set by eye. Each function takes the mean skin and gives the displacement (V, 3) at value 1.
"""

from __future__ import annotations

import numpy as np

from models.face.own_head.reflectance import smooth_step
from models.face.own_head.sculpting import Skin

EYE = (3.1, 3.45, 8.9)
EAR_ROOT = np.array([7.2, 1.0, 1.0])


def nose_length(skin: Skin) -> np.ndarray:
    return skin.move((0, -0.3, 12.0), (1.9, 1.45, 2.4), (0, -0.38, 0.03))


def nose_width(skin: Skin) -> np.ndarray:
    return skin.move((1.3, -0.6, 11.4), (0.75, 0.9, 1.0), (0.22, 0, 0))


def nose_bridge(skin: Skin) -> np.ndarray:
    return skin.move((0, 2.4, 11.7), (0.75, 1.3, 1.6), (0, 0, 0.17)) + skin.move((0, 3.9, 10.7), (0.8, 0.9, 1.2), (0, 0, 0.1))


def nose_bridge_width(skin: Skin) -> np.ndarray:
    return skin.move((0.65, 2.6, 10.9), (0.6, 1.5, 1.0), (0.1, 0, 0))


def nose_protrusion(skin: Skin) -> np.ndarray:
    return skin.move((0, 0.1, 12.8), (1.25, 1.4, 1.6), (0, 0, 0.26))


def nose_tip_up(skin: Skin) -> np.ndarray:
    return skin.move((0, 0.2, 12.8), (0.95, 0.9, 1.1), (0, 0.2, 0.02))


def nose_tip_width(skin: Skin) -> np.ndarray:
    return skin.move((0.45, 0.3, 12.6), (0.5, 0.7, 0.8), (0.11, 0, 0.02))


def jaw_width(skin: Skin) -> np.ndarray:
    return skin.move((5.8, -4.2, 3.6), (2.4, 2.4, 3.2), (0.42, 0, 0))


def jaw_angle(skin: Skin) -> np.ndarray:
    return skin.move((5.7, -4.6, 3.6), (1.8, 1.8, 2.6), (0, -0.38, 0))


def chin_length(skin: Skin) -> np.ndarray:
    return skin.move((0, -7.4, 9.6), (3.0, 1.7, 3.0), (0, -0.42, 0.03))


def chin_forward(skin: Skin) -> np.ndarray:
    return skin.move((0, -6.8, 10.8), (2.5, 1.6, 2.6), (0, 0, 0.4))


def chin_width(skin: Skin) -> np.ndarray:
    return skin.move((1.7, -6.7, 10.0), (1.3, 1.2, 1.6), (0.27, 0, 0.06))


def chin_cleft(skin: Skin) -> np.ndarray:
    return skin.crease([(0, -5.9, 11.0), (0, -6.5, 10.9), (0, -7.5, 10.4)], 0.22, 0.07)


def cheekbones(skin: Skin) -> np.ndarray:
    return skin.move((5.7, 0.9, 7.4), (2.0, 1.4, 2.6), (0.27, 0.02, 0.12))


def cheek_fullness(skin: Skin) -> np.ndarray:
    return skin.swell((4.6, -2.0, 8.5), (1.6, 1.8, 1.8), 0.25)


def eye_spacing(skin: Skin) -> np.ndarray:
    return skin.move(EYE, (1.8, 1.7, 2.6), (0.17, 0, 0))


def eye_size(skin: Skin) -> np.ndarray:
    return wider_eyes(skin, 1)


def wider_eyes(skin: Skin, mirror: int) -> np.ndarray:
    """The lids' opening, 1.2 mm higher, most of it by the upper lid, and 1.4 mm wider; ``mirror`` as in ``Skin``."""
    upper, lower, side = (EYE[0], EYE[1] + 0.55, EYE[2]), (EYE[0], EYE[1] - 0.4, EYE[2]), (1.2, 0.5, 2.6)
    lids = skin.move(upper, side, (0, 0.09, 0), mirror) - skin.move(lower, side, (0, 0.04, 0), mirror)
    return lids + skin.stretch(EYE, (1.5, 0.9, 2.6), (0.05, 0, 0), mirror)


def eye_tilt(skin: Skin) -> np.ndarray:
    return skin.turn(EYE, (1.7, 1.3, 2.6), 0.055)


def eye_depth(skin: Skin) -> np.ndarray:
    return skin.move(EYE, (1.7, 1.2, 2.6), (0, 0, -0.2))


def eye_hood(skin: Skin) -> np.ndarray:
    return skin.move((3.4, 4.75, 9.6), (1.5, 0.45, 1.0), (0.02, -0.16, 0.13))


def brow_height(skin: Skin) -> np.ndarray:
    return skin.move((3.6, 5.9, 9.8), (2.1, 0.85, 2.0), (0, 0.26, 0))


def brow_slope(skin: Skin) -> np.ndarray:
    return skin.turn((3.6, 5.9, 9.6), (1.9, 0.85, 2.0), 0.09)


def brow_ridge(skin: Skin) -> np.ndarray:
    return skin.move((2.4, 5.5, 10.3), (1.6, 0.75, 1.4), (0, -0.03, 0.14)) + skin.move((0, 5.6, 10.9), (1.0, 0.8, 1.2), (0, 0, 0.06))


def lip_fullness(skin: Skin) -> np.ndarray:
    return upper_lip(skin, 0.11) + lower_lip(skin, 0.13)


def lip_balance(skin: Skin) -> np.ndarray:
    """A fuller upper and a thinner lower lip."""
    return upper_lip(skin, 0.07) - lower_lip(skin, 0.07)


def upper_lip(skin: Skin, amount: float) -> np.ndarray:
    return amount * (skin.move((0, -2.5, 11.8), (1.3, 0.42, 0.9), (0, 1, 0.35)) + skin.move((0, -2.95, 11.7), (1.3, 0.4, 0.7), (0, 0, 0.7)))


def lower_lip(skin: Skin, amount: float) -> np.ndarray:
    return amount * (
        skin.move((0, -4.3, 11.5), (1.3, 0.42, 0.9), (0, -1, 0.35)) + skin.move((0, -3.85, 11.6), (1.3, 0.4, 0.7), (0, 0, 0.7))
    )


def mouth_width(skin: Skin) -> np.ndarray:
    return skin.move((2.45, -3.5, 10.2), (1.1, 1.0, 1.3), (0.22, 0, -0.05))


def mouth_corners_up(skin: Skin) -> np.ndarray:
    return skin.move((2.4, -3.5, 10.2), (0.8, 0.75, 1.0), (0, 0.12, 0))


def mouth_forward(skin: Skin) -> np.ndarray:
    return skin.move((0, -3.4, 11.4), (2.3, 1.4, 2.2), (0, 0, 0.24))


def philtrum_length(skin: Skin) -> np.ndarray:
    return skin.move((0, -3.9, 10.8), (2.8, 1.5, 2.8), (0, -0.22, 0)) + skin.move((0, -7.2, 9.4), (3.4, 1.6, 3.2), (0, -0.12, 0))


def from_ear_root(skin: Skin) -> np.ndarray:
    """Offsets (V, 3) from the root of the nearer ear."""
    side = np.where(skin.points[:, :1] < 0, -1, 1)
    return skin.points - EAR_ROOT * np.concatenate((side, np.ones((len(side), 2))), axis=1)


def ear_size(skin: Skin) -> np.ndarray:
    return 0.065 * skin.ears[:, None] * from_ear_root(skin)


def ear_out(skin: Skin) -> np.ndarray:
    """Ears that turn about the line where they begin."""
    behind = np.maximum(1.4 - skin.points[:, 2], 0)
    out = np.sign(skin.points[:, 0]) * behind
    return 0.13 * skin.ears[:, None] * np.stack((out, 0 * out, 0.4 * behind), axis=1)


def ear_lobe(skin: Skin) -> np.ndarray:
    return skin.move((7.5, -1.6, 0.6), (0.7, 0.7, 1.2), (0, -0.2, 0))


def forehead_height(skin: Skin) -> np.ndarray:
    return skin.above(5.5, 7.0) * [0, 0.5, 0]


def forehead_slope(skin: Skin) -> np.ndarray:
    """A forehead that stands upright."""
    return skin.move((0, 9.6, 9.0), (4.5, 2.2, 3.0), (0, 0.05, 0.3))


def head_width(skin: Skin) -> np.ndarray:
    return skin.above(-3.0, 6.0) * skin.points * [0.042, 0, 0]


def head_depth(skin: Skin) -> np.ndarray:
    behind = smooth_step((4.0 - skin.points[:, 2]) / 9.0)[:, None]
    return skin.above(-8.0, 7.0) * behind * [0, 0, -0.8]


def face_length(skin: Skin) -> np.ndarray:
    """All between the nose's root and the chin, in proportion."""
    below = np.maximum(4.0 - skin.points[:, 1], 0)
    eased = below**2 / (below + 1.5)
    on_face = smooth_step((skin.points[:, 2] - 0.5) / 5.0)
    reach = np.where(skin.points[:, 1] < -7.5, np.exp(-0.5 * ((skin.points[:, 1] + 7.5) / 2.0) ** 2), 1)
    return np.stack((0 * below, -0.047 * eased * on_face * reach, 0 * below), axis=1)


def neck_weight(skin: Skin) -> np.ndarray:
    """How much a vertex belongs to the neck (V, 1): all below a plane from the nape to under the chin."""
    border = -1.5 - (skin.points[:, 2] + 7.0) * 0.55
    return smooth_step((border - skin.points[:, 1]) / 3.5)[:, None]


def neck_width(skin: Skin) -> np.ndarray:
    return neck_weight(skin) * (skin.points - [0, 0, -1.0]) * [0.075, 0, 0.06]


def nose_bent(skin: Skin) -> np.ndarray:
    return skin.move((0, 0.2, 12.6), (1.0, 1.2, 1.6), (0.15, 0, 0)) - skin.move((0, 2.6, 11.5), (0.8, 0.9, 1.2), (0.04, 0, 0))


def jaw_skew(skin: Skin) -> np.ndarray:
    return skin.move((0, -6.9, 9.5), (3.4, 2.2, 4.0), (0.24, 0, 0))


def mouth_skew(skin: Skin) -> np.ndarray:
    return skin.move((2.2, -3.6, 10.4), (1.2, 1.0, 1.4), (0, 0.09, 0), mirror=-1) + skin.move((0, -3.6, 11), (1.8, 1.2, 1.8), (0.07, 0, 0))


def brow_uneven(skin: Skin) -> np.ndarray:
    return skin.move((3.6, 5.9, 9.8), (2.0, 0.85, 2.0), (0, 0.12, 0), mirror=-1)


def eyes_uneven(skin: Skin) -> np.ndarray:
    return skin.move(EYE, (1.8, 1.4, 2.6), (0, 0.07, 0), mirror=-1)


def eye_size_uneven(skin: Skin) -> np.ndarray:
    return 0.45 * wider_eyes(skin, -1)


def ears_uneven(skin: Skin) -> np.ndarray:
    return ear_out(skin) * 0.5 * np.sign(skin.points[:, :1])


SYMMETRIC = (
    nose_length, nose_width, nose_bridge, nose_bridge_width, nose_protrusion, nose_tip_up, nose_tip_width, jaw_width, jaw_angle,
    chin_length, chin_forward, chin_width, chin_cleft, cheekbones, cheek_fullness, eye_spacing, eye_size, eye_tilt, eye_depth,
    eye_hood, brow_height, brow_slope, brow_ridge, lip_fullness, lip_balance, mouth_width, mouth_corners_up, mouth_forward,
    philtrum_length, ear_size, ear_out, ear_lobe, forehead_height, forehead_slope, head_width, head_depth, face_length, neck_width,
)  # fmt: skip
ASYMMETRIC = (nose_bent, jaw_skew, mouth_skew, brow_uneven, eyes_uneven, eye_size_uneven, ears_uneven)
