"""Modes that change the whole head: age, sex and weight.

Each takes the mean skin and gives its displacement (V, 3) at value 1, cm.
"""

from __future__ import annotations

import numpy as np

from models.face.own_head import proportions
from models.face.own_head.sculpting import Skin


def age(skin: Skin) -> np.ndarray:
    """What one decade beyond 25 adds: skin and fat sag, bone and fat recede, cartilage grows."""
    return sagging(skin) + eyes_of_age(skin) + mouth_of_age(skin) + folds(skin) + growth(skin)


def sagging(skin: Skin) -> np.ndarray:
    """Jowls, a blunt line from chin to neck, hollow temples and cheeks."""
    jowls = skin.move((3.9, -5.9, 8.0), (1.1, 1.0, 1.5), (0.045, -0.105, 0.035)) + skin.swell((4.0, -5.7, 8.0), (1.0, 0.9, 1.3), 0.04)
    before_them = skin.swell((2.3, -6.9, 9.5), (0.6, 0.6, 0.9), -0.042)
    throat = skin.move((0, -8.8, 6.4), (1.8, 1.3, 2.0), (0, -0.1, 0.035))
    hollows = skin.swell((6.6, 5.0, 6.0), (1.3, 1.6, 1.8), -0.058) + skin.swell((5.4, -1.5, 7.5), (1.3, 1.3, 1.6), -0.055)
    cheeks = skin.move((4.4, 0.6, 9.0), (1.5, 1.0, 1.4), (0, -0.06, -0.02))
    return jowls + before_them + throat + hollows + cheeks


def eyes_of_age(skin: Skin) -> np.ndarray:
    """Brows and lids droop, most outward; bags below, hollows at the nose."""
    brows = skin.move((4.4, 5.7, 9.3), (1.5, 0.9, 1.6), (0, -0.036, 0)) + skin.move((2.0, 5.9, 10.2), (1.3, 0.8, 1.4), (0, -0.026, 0))
    hood = skin.move((3.9, 4.7, 9.4), (1.0, 0.36, 1.0), (0.01, -0.055, 0.02)) + skin.swell((2.0, 4.5, 9.7), (0.7, 0.4, 0.8), -0.03)
    lid = skin.move((3.2, 3.95, 9.4), (1.0, 0.28, 0.9), (0, -0.014, 0))
    bags = skin.swell((3.0, 2.45, 9.5), (0.95, 0.32, 0.8), 0.038)
    trough = skin.crease([(1.7, 2.75, 9.45), (2.3, 2.0, 9.65), (3.2, 1.6, 9.5), (4.2, 1.9, 9.15)], 0.25, 0.038)
    return brows + hood + lid + bags + trough


def mouth_of_age(skin: Skin) -> np.ndarray:
    """Thinner lips, a longer upper lip, corners that sink."""
    thinner = proportions.upper_lip(skin, -0.055) + proportions.lower_lip(skin, -0.042)
    return (
        thinner
        + skin.move((0, -3.4, 11.2), (2.3, 1.0, 2.0), (0, -0.03, -0.03))
        + skin.move((2.5, -3.6, 10.2), (0.7, 0.6, 0.9), (0.005, -0.022, 0))
    )


def folds(skin: Skin) -> np.ndarray:
    """Folds from nose to mouth and from mouth to chin, each with the cheek that hangs over it; bands of the neck."""
    nasolabial = np.array(
        [
            (1.6, 1.0, 10.6),
            (1.8, 0.2, 10.7),
            (2.05, -0.4, 10.5),
            (2.5, -1.5, 10.35),
            (2.95, -2.5, 10.3),
            (3.25, -3.4, 9.95),
            (3.3, -4.3, 9.7),
        ]
    )
    marionette = np.array([(2.6, -3.7, 10.15), (2.85, -4.4, 10.0), (3.0, -5.3, 9.65), (2.9, -6.2, 9.4)])
    cheek = skin.crease(nasolabial, 0.33, 0.058) + skin.crease(nasolabial + [0.8, 0.2, -0.25], 0.7, -0.05)
    chin = skin.crease(marionette, 0.36, 0.038) + skin.crease(marionette + [0.85, -0.3, -0.5], 0.75, -0.028)
    bands = skin.crease([(0.9, -8.8, 6.2), (1.0, -10.5, 4.7), (1.1, -13.0, 3.6)], 0.3, -0.035)
    frown = skin.crease([(0.5, 6.7, 10.65), (0.55, 5.9, 10.7), (0.5, 5.1, 10.65)], 0.2, 0.012) + skin.crease(
        [(-1.2, -5.1, 10.75), (0, -5.15, 11.0), (1.2, -5.1, 10.75)], 0.25, 0.014
    )
    return cheek + chin + bands + frown


def growth(skin: Skin) -> np.ndarray:
    """Ears and nose go on growing."""
    nose = skin.move((0, 0.0, 12.7), (1.0, 1.0, 1.3), (0, -0.05, 0.015)) + skin.move((1.3, -0.6, 11.4), (0.7, 0.8, 0.9), (0.018, 0, 0))
    return nose + 0.35 * proportions.ear_size(skin) + 0.35 * proportions.ear_lobe(skin)


def masculine(skin: Skin) -> np.ndarray:
    """Half the difference between the means of men and women: −1 is a typical woman, 1 a typical man."""
    size = 0.016 * (skin.points - [0, 0, -1])
    skull = (
        0.8 * proportions.brow_ridge(skin)
        - 0.5 * proportions.forehead_slope(skin)
        - 0.35 * proportions.brow_height(skin)
        - 0.25 * proportions.eye_size(skin)
    )
    jaw = (
        0.6 * proportions.jaw_width(skin)
        + 0.4 * proportions.jaw_angle(skin)
        + 0.45 * proportions.chin_length(skin)
        + 0.6 * proportions.chin_width(skin)
    )
    middle = (
        0.35 * proportions.nose_length(skin)
        + 0.4 * proportions.nose_width(skin)
        + 0.3 * proportions.nose_protrusion(skin)
        + 0.4 * proportions.nose_bridge(skin)
    )
    mouth = 0.35 * proportions.philtrum_length(skin) - 0.45 * proportions.lip_fullness(skin) + 0.2 * proportions.mouth_width(skin)
    cheeks = -0.5 * proportions.cheek_fullness(skin) + 0.2 * proportions.cheekbones(skin) + 0.15 * proportions.face_length(skin)
    neck = 0.9 * proportions.neck_width(skin) + skin.move((0, -10.4, 5.0), (0.7, 0.9, 1.2), (0, 0, 0.22))
    return size + skull + jaw + middle + mouth + cheeks + neck


def weight(skin: Skin) -> np.ndarray:
    """Fat under the skin, one standard deviation of body mass: cheeks, jaw line, double chin, neck."""
    cheeks = skin.swell((4.9, -2.4, 8.0), (1.9, 2.0, 2.4), 0.3) + skin.swell((5.8, -0.6, 6.6), (1.6, 1.8, 2.2), 0.2)
    jaw = skin.swell((5.2, -5.0, 5.0), (1.8, 1.6, 3.0), 0.3) + skin.move((4.2, -6.2, 7.4), (1.8, 1.2, 2.0), (0.05, -0.14, 0))
    chin = skin.move((0, -8.5, 7.2), (2.6, 1.1, 2.2), (0, -0.32, 0.05)) + skin.swell((0, -6.8, 10.6), (1.6, 1.0, 1.2), 0.05)
    rest = skin.swell((6.7, 4.8, 5.6), (1.4, 1.8, 2.0), 0.1) + 0.7 * proportions.neck_width(skin) + 0.2 * proportions.nose_width(skin)
    return cheeks + jaw + chin + rest


CHARACTERS = (age, masculine, weight)
