"""Clothes and spectacles: small meshes of fixed topology that follow one person's measures."""

from __future__ import annotations

import numpy as np

NUMBERS = ("shirt_r", "shirt_g", "shirt_b", "collar", "shoulders", "glasses", "glasses_width", "glasses_height", "glasses_round",
           "frame_thick", "frame_dark", "frame_red")  # fmt: skip
SEGMENTS = 48  # round the shirt
RIM_SEGMENTS, TUBE = 40, 6  # round a lens, round the frame's section
TEMPLE_STEPS = 8
# The shirt's outline: height below the head's origin, half width and half depth, from the collar down.
OUTLINE = np.array([(-11.2, 6.5, 6.2), (-11.5, 7.0, 6.7), (-12.2, 8.2, 7.2), (-13.3, 11.0, 8.0), (-14.6, 14.5, 8.8),
                    (-16.2, 17.5, 9.6), (-19.0, 20.0, 10.6), (-24.0, 21.5, 11.2), (-36.0, 22.0, 11.5)])  # fmt: skip


def ring_strip(rings: int, count: int, first: int = 0) -> np.ndarray:
    """Quads (Q, 4) between ``rings`` closed rings of ``count`` vertices."""
    index = first + np.arange(rings * count).reshape(rings, count)
    right = np.roll(index, -1, axis=1)
    return np.stack((index[:-1], index[1:], right[1:], right[:-1]), axis=-1).reshape(-1, 4)


def shirt_quads() -> np.ndarray:
    """The shirt's topology; its first ring is the collar's inner edge."""
    return ring_strip(len(OUTLINE) + 1, SEGMENTS)


def shirt(look: dict) -> np.ndarray:
    """The shirt's vertices in the body's frame, cm: a crew neck, a wide neckline or a high collar."""
    collar = np.tanh(look["collar"])
    broad = 1 + 0.07 * np.tanh(look["shoulders"])
    angle = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    outline = OUTLINE.copy()
    outline[:, 1:] *= broad
    outline[:2, 1] += 1.0 * max(0.0, -collar)  # a wide neckline
    outline[:2, 2] += 0.5 * max(0.0, -collar)
    outline[:2, 0] += 2.0 * max(0.0, collar)  # a high collar
    inner = outline[:1] - [0.9, 0.35, 0.35]
    rings = np.concatenate((inner, outline))
    x = rings[:, 1:2] * np.sin(angle)
    z = rings[:, 2:3] * np.cos(angle) - 1.6
    dip = 1.6 * np.exp(-0.5 * (np.arange(len(rings)) / 2.0) ** 2)[:, None] * np.clip(np.cos(angle), 0, 1) ** 2  # lower in front
    y = rings[:, :1] - dip + 0.12 * np.sin(5 * angle + 2 * rings[:, :1])
    return np.stack((x, y, z), axis=-1).reshape(-1, 3)


def shirt_colour(look: dict) -> np.ndarray:
    """Linear colour (…, 3), mostly muted; of one person or of many."""
    raw = np.stack((look["shirt_r"], look["shirt_g"], look["shirt_b"]), axis=-1)
    mean = raw.mean(axis=-1, keepdims=True)
    muted = 0.75 * mean + 0.55 * (raw - mean) + 0.5 * mean
    return 0.62 / (1 + np.exp(-(muted * 1.1 - 0.9)))


def glasses_topology() -> tuple[np.ndarray, np.ndarray]:
    """Quads (Q, 4) and material (Q,): 0 frame, 1 lens. Order: two rims, two lenses, bridge, two temples."""
    quads, material, first = [], [], 0
    for _ in range(2):
        rim = np.arange(RIM_SEGMENTS * TUBE).reshape(RIM_SEGMENTS, TUBE) + first
        after, side = np.roll(rim, -1, axis=0), np.roll(rim, -1, axis=1)
        quads.append(np.stack((rim, after, np.roll(after, -1, axis=1), side), axis=-1).reshape(-1, 4))
        material.append(np.zeros(RIM_SEGMENTS * TUBE))
        first += RIM_SEGMENTS * TUBE
    for _ in range(2):
        quads.append(ring_strip(2, RIM_SEGMENTS, first))  # to a ring that is shrunk to the middle
        material.append(np.ones(RIM_SEGMENTS))
        first += 2 * RIM_SEGMENTS
    for _ in range(3):
        quads.append(ring_strip(TEMPLE_STEPS, TUBE, first))
        material.append(np.zeros((TEMPLE_STEPS - 1) * TUBE))
        first += TEMPLE_STEPS * TUBE
    return np.concatenate(quads), np.concatenate(material).astype(np.int32)


def tube(line: np.ndarray, thick: float, tall: float) -> np.ndarray:
    """A tube (K · TUBE, 3) round a line (K, 3): half as thick across as ``thick``, ``tall`` up and down."""
    angle = np.linspace(0, 2 * np.pi, TUBE, endpoint=False)
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.cross(tangent, [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    up = np.cross(across, tangent)
    section = across[:, None] * (thick * np.cos(angle))[None, :, None] + up[:, None] * (tall * np.sin(angle))[None, :, None]
    return (line[:, None] + section).reshape(-1, 3)


def glasses(eyes: np.ndarray, bridge: np.ndarray, half_head: float, look: dict) -> np.ndarray:
    """Vertices in the head's frame: eyes (2, 3) left, right; the nose's bridge (3,); half the head's width at the temples."""
    width = 2.35 + 0.22 * np.tanh(look["glasses_width"])
    height = 1.9 + 0.4 * np.tanh(look["glasses_height"])
    power = 2.0 + 2.0 * np.clip(0.5 + 0.5 * look["glasses_round"], 0, 1.5)  # superellipse: round to square
    thick = 0.07 + 0.1 * np.clip(0.5 + 0.5 * look["frame_thick"], 0, 1.4)
    angle = np.linspace(0, 2 * np.pi, RIM_SEGMENTS, endpoint=False)
    shape = lambda values: np.sign(values) * np.abs(values) ** (2 / power)
    plane = max(bridge[2] + 0.75, eyes[:, 2].mean() + 2.35)
    rims, lenses, outer, inner = [], [], [], []
    for eye in eyes:
        side = np.sign(eye[0])
        centre = np.array([side * max(abs(eye[0]) + 0.15, width + 0.55), eyes[:, 1].mean() - 0.35, 0.0])
        x, y = width * shape(np.cos(angle)), height * shape(np.sin(angle))
        bow = plane - 0.055 * np.abs(centre[0] + x) ** 1.5
        loop = np.stack((centre[0] + x, centre[1] + y, bow), axis=-1)
        away = np.stack((x, y, 0 * x), axis=-1)
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        section = np.linspace(0, 2 * np.pi, TUBE, endpoint=False)
        ring = loop[:, None] + thick * (away[:, None] * np.cos(section)[None, :, None] + np.array([0, 0, 1.0]) * np.sin(section)[None, :, None])
        rims.append(ring.reshape(-1, 3))
        middle = np.array([centre[0], centre[1], loop[:, 2].mean()])
        lenses.append(np.concatenate((loop, middle + (loop - middle) * 0.02)))
        outer.append(loop[np.argmax(side * loop[:, 0] + 0.4 * loop[:, 1])])
        inner.append(loop[np.argmin(side * loop[:, 0] - 0.3 * loop[:, 1])])
    t = np.linspace(0, 1, TEMPLE_STEPS)[:, None]
    arch = inner[0] * (1 - t) + inner[1] * t + np.array([0.0, 0.25, 0.15]) * np.sin(np.pi * t)
    lines = [tube(arch, thick, thick)]
    for start in outer:
        ear = np.array([np.sign(start[0]) * (half_head + 0.15), start[1] - 0.2, -1.0])
        elbow = np.array([np.sign(start[0]) * (half_head + 0.1), start[1], start[2] - 2.0])
        line = (1 - t) ** 2 * start + 2 * t * (1 - t) * elbow + t**2 * ear
        lines.append(tube(line, thick * 0.7, thick * 1.1))
    return np.concatenate((*rims, *lenses, *lines))


def wears_glasses(look: dict) -> np.ndarray:
    """About one person in eight; of one person or of many."""
    return look["glasses"] > 1.15


def frame_colour(look: dict) -> np.ndarray:
    """Linear colour (…, 3): black to brown to pale; of one person or of many."""
    light = np.exp(-2.6 + 1.1 * look["frame_dark"])
    red = np.maximum(0, look["frame_red"])
    return np.clip(light[..., None] * np.stack((1 + 0.5 * red, 0.8 + 0 * red, 0.65 + 0 * red), axis=-1), 0.005, 0.6)
