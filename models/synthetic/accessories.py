"""Spectacles and earrings: small meshes of fixed topology that sit on one person's resting head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face.shoulders import ring_strip

NUMBERS = ("glasses", "glasses_width", "glasses_height", "glasses_round", "glasses_drop", "glasses_cat", "frame_thick", "frame_dark", "frame_red",
           "lens_dark", "earrings", "earring_size", "earring_gold")  # fmt: skip
RIM_SEGMENTS, TUBE = 40, 6  # round a lens, round the frame's section
TEMPLE_STEPS = 8
HOOP_SEGMENTS = 24
WEARS_GLASSES, WEARS_EARRINGS = 0.75, 0.6  # numbers above which people do


@dataclass(frozen=True)
class Spectacles:
    """Half width and half height of a lens in cm, its superellipse's power (2 round, 5 square), tear drop and cat's eye 0–1,
    half the frame's thickness in cm, linear colours (3,) of frame and tint of the lens."""

    width: float
    height: float
    power: float
    drop: float
    cat: float
    thick: float
    frame: np.ndarray
    tint: np.ndarray


def spectacles(look: dict[str, float], masculine: float) -> Spectacles | None:
    """What somebody wears before the eyes; None for most."""
    if look["glasses"] < WEARS_GLASSES:
        return None
    light = np.exp(-2.9 + 1.1 * look["frame_dark"])
    red = max(0.0, look["frame_red"])
    drop = max(0.0, np.tanh(look["glasses_drop"] - 0.6))
    dark = 0.12 if look["lens_dark"] > 1.9 else 1.0
    return Spectacles(
        width=2.35 + 0.22 * np.tanh(look["glasses_width"]) + 0.15 * drop,
        height=1.75 + 0.4 * np.tanh(look["glasses_height"]) + 0.35 * drop,
        power=2.0 + 2.4 * float(np.clip(0.5 + 0.5 * look["glasses_round"], 0, 1.3)) * (1 - drop),
        drop=drop,
        cat=max(0.0, np.tanh(look["glasses_cat"] - 0.7 - 0.5 * masculine)),
        thick=0.045 + 0.10 * float(np.clip(0.4 + 0.5 * look["frame_thick"], 0, 1.4)),
        frame=np.clip(light * np.array([1 + 0.5 * red, 0.8, 0.65]), 0.004, 0.6),
        tint=dark * np.array([1.0, 0.97, 0.93]),
    )


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


def glasses(eyes: np.ndarray, bridge: np.ndarray, half_head: float, worn: Spectacles) -> np.ndarray:
    """Vertices in the head's frame: eyes (2, 3) left, right; the nose's bridge (3,); half the head's width at the temples."""
    width, thick = worn.width, worn.thick
    angle = np.linspace(0, 2 * np.pi, RIM_SEGMENTS, endpoint=False)
    plane = max(bridge[2] + 0.75, eyes[:, 2].mean() + 2.35)
    rims, lenses, outer, inner = [], [], [], []
    for eye in eyes:
        side = np.sign(eye[0])
        centre = np.array([side * max(abs(eye[0]) + 0.15, width + 0.55), eyes[:, 1].mean() - 0.35, 0.0])
        x, y = lens_outline(angle, side, worn)
        bow = plane - 0.055 * np.abs(centre[0] + x) ** 1.5
        loop = np.stack((centre[0] + x, centre[1] + y, bow), axis=-1)
        away = np.stack((x, y, 0 * x), axis=-1)
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        section = np.linspace(0, 2 * np.pi, TUBE, endpoint=False)
        ring = loop[:, None] + thick * (
            away[:, None] * np.cos(section)[None, :, None] + np.array([0, 0, 1.0]) * np.sin(section)[None, :, None]
        )
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


def lens_outline(angle: np.ndarray, side: float, worn: Spectacles) -> tuple[np.ndarray, np.ndarray]:
    """x and y (n,) of a lens's rim about its middle; ``side`` is 1 for the face's left."""
    shape = lambda values: np.sign(values) * np.abs(values) ** (2 / worn.power)
    x, y = worn.width * shape(np.cos(angle)), worn.height * shape(np.sin(angle))
    outer, low = side * x / worn.width, np.clip(-y / worn.height, 0, 1)
    x = x * (1 - 0.18 * worn.drop * low) + 0.25 * worn.drop * low * side * worn.width * 0.3
    return x, y + 0.55 * worn.cat * np.clip(outer, 0, 1) ** 2 * np.clip(y / worn.height + 0.5, 0, 1)


@dataclass(frozen=True)
class Earrings:
    """Radius of the hoop in cm (0: a stud), thickness of its wire, linear colour (3,)."""

    radius: float
    thick: float
    colour: np.ndarray


def earrings(look: dict[str, float], masculine: float) -> Earrings | None:
    """What somebody wears in both ears; None for most."""
    if look["earrings"] - 0.45 * masculine < WEARS_EARRINGS:
        return None
    hoop = look["earring_size"] > 0.2
    colour = np.array([0.83, 0.62, 0.25]) if look["earring_gold"] > -0.2 else np.array([0.75, 0.75, 0.76])
    return Earrings(0.5 + 0.35 * look["earring_size"] if hoop else 0.0, 0.06 if hoop else 0.22, colour)


def earring_quads() -> np.ndarray:
    """Quads (Q, 4) of both earrings."""
    ring = np.arange(HOOP_SEGMENTS * TUBE).reshape(HOOP_SEGMENTS, TUBE)
    after, side = np.roll(ring, -1, axis=0), np.roll(ring, -1, axis=1)
    quads = np.stack((ring, after, np.roll(after, -1, axis=1), side), axis=-1).reshape(-1, 4)
    return np.concatenate((quads, quads + HOOP_SEGMENTS * TUBE))


def earring_points(lobes: np.ndarray, worn: Earrings) -> np.ndarray:
    """Vertices in the head's frame: both hang from the lobes (2, 3), left and right."""
    round_the_hoop = np.linspace(0, 2 * np.pi, HOOP_SEGMENTS, endpoint=False)[:, None]
    section = np.linspace(0, 2 * np.pi, TUBE, endpoint=False)[None, :]
    reach = worn.radius + worn.thick * np.cos(section)
    points = np.stack(
        (worn.thick * np.sin(section) + 0 * round_the_hoop, reach * np.cos(round_the_hoop) - worn.radius, reach * np.sin(round_the_hoop)),
        axis=-1,
    )
    return np.concatenate([lobe + [0.12 * np.sign(lobe[0]), 0.25, 0.0] + points.reshape(-1, 3) for lobe in lobes])
