"""Maps over the face's chart that all people share: regions, random patterns, lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face.model import FaceModel
from models.face.own_head.reflectance import regions
from models.synthetic import eyes
from models.synthetic.skin.chart import COARSE, FINE, blur, grid, landmark_chart, noise, places, resized
from models.synthetic.skin.lines import course_fields, line_maps

NOSTRILS, NOSTRIL_RADII, NOSTRIL_RISE = (32, 34), (0.013, 0.008), 0.010  # landmarks they lie above, chart units


@dataclass
class SkinMaps:
    """Maps over the chart, row 0 at v = 0: regions (COARSE²), what is finer (FINE²), and the eyes' pictures."""

    region: dict[str, np.ndarray]
    fine: dict[str, np.ndarray]
    spots: np.ndarray  # (3, FINE, FINE) and
    specks: np.ndarray  # (3, FINE, FINE): random fields that a person mixes
    lines: dict[str, np.ndarray]  # heights by kind, −1 in the ground
    course: np.ndarray  # fields that lines stray by
    on_face: np.ndarray  # (FINE, FINE) 0 at the chart's edge
    eye: eyes.EyeMaps


def prepare_maps(face: FaceModel) -> SkinMaps:
    """The maps that all people share."""
    landmarks, (small, sure) = landmark_chart(), places(face)
    coarse, fine = resized(small, COARSE), resized(small, FINE)
    masks = regions(grid(COARSE).reshape(-1, 2), landmarks)
    region = {name: blur(mask.reshape(COARSE, COARSE), 1.0) for name, mask in masks.items()}
    region["nostrils"] = np.maximum(region["nostrils"], nostrils(landmarks))
    field = lambda wave, seed: resized(noise(coarse, wave, seed), FINE)
    maps = {
        "lips": resized(region["lips"], FINE),
        "beard": resized(region["beard"], FINE),
        "rosy": resized(np.clip(region["cheeks"] + region["nose"], 0, 1), FINE),
        "lash_line": lash_line(),
        "pores": noise(fine, 0.13, 11) + 0.5 * noise(fine, 0.08, 12),
        "grain": noise(fine, 0.3, 13),
        "mottle": field(1.6, 14),
        "blood": 0.7 * field(0.9, 15) + 0.5 * noise(fine, 0.35, 16),
        "patches": field(1.1, 20),
        "vessels": vessels(fine),
        "lip_lines": lip_lines(),
    }
    return SkinMaps(region, maps, np.stack([noise(fine, 0.55, 21 + i) for i in range(3)]), np.stack([noise(fine, 0.24, 25 + i) for i in range(3)]),
                    line_maps(fine), course_fields(fine), resized(np.clip(blur(sure, 3.0) * 2 - 1, 0, 1), FINE), eyes.prepare_maps())  # fmt: skip


def nostrils(landmarks: np.ndarray) -> np.ndarray:
    """Two dark openings under the nose (COARSE²), 0–1."""
    spots, (u, v) = 0.0, np.moveaxis(grid(COARSE), -1, 0)
    for i in NOSTRILS:
        x, y = (u - landmarks[i, 0]) / NOSTRIL_RADII[0], (v - landmarks[i, 1] - NOSTRIL_RISE) / NOSTRIL_RADII[1]
        spots = spots + np.exp(-((x * x + y * y) ** 1.5))
    return np.clip(spots, 0, 1)


def lash_line() -> np.ndarray:
    """Dark along the lid edges (FINE²), strong above the eye."""
    u, v = np.moveaxis(grid(FINE), -1, 0)
    mirrored = np.where(u > 0.5, 1 - u, u)
    along = np.clip((mirrored - 0.312) / 0.012, 0, 1) * np.clip((0.388 - mirrored) / 0.012, 0, 1)
    return (along * np.maximum(np.exp(-0.5 * ((v - 0.7205) / 0.003) ** 2), 0.4 * np.exp(-0.5 * ((v - 0.7135) / 0.002) ** 2))).astype(
        np.float32
    )


def vessels(points: np.ndarray) -> np.ndarray:
    """Fine red threads under the skin (…) at points (…, 3), 0–1."""
    return np.clip(1 - 5 * np.abs(noise(points, 0.7, 17)), 0, 1) * np.clip(noise(points, 1.5, 18), 0, 1)


def lip_lines() -> np.ndarray:
    """Grooves across the lips (FINE²), zero mean: they fan out from the middle."""
    u, v = np.moveaxis(grid(FINE), -1, 0)
    fan = (u - 0.5) * (1 + 1.2 * np.abs(v - 0.435))
    rng = np.random.default_rng(19)
    waves = ((rng.uniform(140, 420), rng.uniform(0, 6.3), rng.uniform(10, 40)) for _ in range(7))
    return sum(np.sin(2 * np.pi * rate * fan / 3 + phase + np.sin(bend * v)) for rate, phase, bend in waves).astype(np.float32) / 2.6
