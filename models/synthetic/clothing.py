"""Shoulders and what covers them: a bust, a garment with its neckline, sometimes a jacket and a collar.

All are meshes of fixed topology in the body's frame (centimetres, y up, the neck's base about y = −12), rings
round the body from the neck down. A garment is the bust moved outward, from its neckline on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face.shoulders import RINGS, SEGMENTS, bust_surface, ring_grid, ring_strip

NUMBERS = ("shirt_r", "shirt_g", "shirt_b", "shirt_pattern", "pattern_scale", "neckline", "neckline_depth", "collar", "jacket", "jacket_dark",
           "shoulders")  # fmt: skip
CLOTH = 256  # side of the cloth's picture
NECK_HALF_WIDTH = 5.9  # of the mean head, at the neck's base
NECKLINES = ("crew", "v", "scoop", "boat", "turtle", "shirt")  # what a garment's upper edge is like
PATTERNS = ("plain", "knit", "stripes", "checks", "dots")


@dataclass(frozen=True)
class Outfit:
    """What somebody wears: colours are linear (3,), lengths in cm."""

    colour: np.ndarray
    second_colour: np.ndarray
    pattern: str
    pattern_size: float
    neckline: str
    depth: float  # of the neckline in front
    collar: bool
    jacket: bool
    jacket_colour: np.ndarray
    broad: float  # shoulders, relative to the mean


def outfit(look: dict[str, float], masculine: float) -> Outfit:
    """From the numbers of ``NUMBERS``."""
    neckline = NECKLINES[int(np.searchsorted((-0.45, 0.1, 0.55, 0.85, 1.25), look["neckline"]))]
    pattern = PATTERNS[int(np.searchsorted((-0.1, 0.65, 1.1, 1.6), look["shirt_pattern"]))]
    colour = shirt_colour(np.array([look["shirt_r"], look["shirt_g"], look["shirt_b"]]))
    return Outfit(
        colour=colour,
        second_colour=shirt_colour(np.array([look["shirt_b"], look["shirt_r"], look["jacket_dark"]])),
        pattern=pattern,
        pattern_size=float(np.exp(0.5 * look["pattern_scale"])),
        neckline=neckline,
        depth={"crew": 1.2, "v": 6.0, "scoop": 4.5, "boat": 0.8, "turtle": -4.0, "shirt": 4.0}[neckline]
        * float(np.exp(0.3 * look["neckline_depth"])),
        collar=neckline == "shirt",
        jacket=look["jacket"] > 0.75 and neckline != "turtle",
        jacket_colour=np.clip(
            np.exp(-3.0 + 1.0 * look["jacket_dark"])
            * np.array([1.0, 0.95 + 0.1 * np.tanh(look["shirt_g"]), 0.9 + 0.3 * np.tanh(look["shirt_b"])]),
            0.004,
            0.5,
        ),
        broad=1 + 0.05 * np.tanh(look["shoulders"]) + 0.05 * masculine,
    )


def shirt_colour(numbers: np.ndarray) -> np.ndarray:
    """Linear colour (3,) from three numbers: mostly dark, pale or muted, now and then strong."""
    mean = numbers.mean()
    return 0.66 / (1 + np.exp(-(1.9 * mean + 0.75 * (numbers - mean) - 1.0)))


def bust_quads() -> np.ndarray:
    """The bust's quads (Q, 4)."""
    return ring_strip(RINGS, SEGMENTS)


def bust(outfit: Outfit, neck: float) -> np.ndarray:
    """The bust's vertices (RINGS · SEGMENTS, 3)."""
    t, angle = ring_grid(np.zeros(SEGMENTS))
    return bust_surface(t, angle, outfit.broad, neck).reshape(-1, 3)


def neckline_start(neckline: str, depth: float) -> np.ndarray:
    """Where on the bust (``t`` for each segment) a garment begins."""
    angle = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    front = np.clip(np.cos(angle), 0, 1)
    base = {"turtle": 0.06, "boat": 0.36}.get(neckline, 0.235)
    per_cm = 0.045  # of t, down the chest
    shape = {
        "v": np.clip(1 - np.abs((angle + np.pi) % (2 * np.pi) - np.pi) / 0.75, 0, 1),
        "shirt": np.clip(1 - np.abs((angle + np.pi) % (2 * np.pi) - np.pi) / 0.5, 0, 1),
    }
    return base + per_cm * max(depth, 0.0) * shape.get(neckline, front**2)


def garment(outfit: Outfit, neck: float, neckline: str, depth: float, outward: float) -> np.ndarray:
    """Vertices (RINGS · SEGMENTS, 3): a hem that turns in to the skin, then cloth ``outward`` cm off it with soft folds."""
    t, angle = ring_grid(neckline_start(neckline, depth))
    off = np.full(t.shape, outward)
    off[0] = 0.02
    off[1:] += 0.12 * np.sin(7 * angle[1:] + 9 * t[1:]) * t[1:]
    return bust_surface(t, angle, outfit.broad, neck, off).reshape(-1, 3)


def shirt(outfit: Outfit, neck: float) -> np.ndarray:
    """The garment next to the skin."""
    return garment(outfit, neck, outfit.neckline, outfit.depth, 0.3 if outfit.neckline != "turtle" else 1.1)


def jacket(outfit: Outfit, neck: float) -> np.ndarray:
    """An open jacket over it."""
    return garment(outfit, neck, "v", 11.0, 0.95)


def collar(outfit: Outfit, neck: float) -> np.ndarray:
    """A shirt's collar (3 · SEGMENTS, 3): up along the neck, then folded outward, open in front."""
    angle = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    away = np.abs((angle + np.pi) % (2 * np.pi) - np.pi)  # from the front
    shut = np.clip((away - 0.28) / 0.25, 0, 1)
    start = neckline_start("crew", 0.0)
    foot = bust_surface(start, angle, outfit.broad, neck, 0.25)
    top = bust_surface(start - 0.1 * shut, angle, outfit.broad, neck, 0.35)
    tip = bust_surface(start + 0.035 + 0.1 * np.exp(-(((away - 0.45) / 0.35) ** 2)) * (shut > 0), angle, outfit.broad, neck, 0.75)
    return np.concatenate((foot, top, tip))


def cloth_picture(outfit: Outfit) -> np.ndarray:
    """The cloth's linear colour (CLOTH, CLOTH, 3); across goes round the body, up goes along it."""
    u, v = np.meshgrid((np.arange(CLOTH) + 0.5) / CLOTH, (np.arange(CLOTH) + 0.5) / CLOTH)
    scale = 22 / outfit.pattern_size
    wave = lambda place, count: 0.5 + 0.5 * np.sin(2 * np.pi * round(count) * place)
    mixed = {
        "plain": 0 * u,
        "knit": 0.22 * wave(u, 96) + 0.10 * wave(v, 60),
        "stripes": (wave(v, scale) > 0.6).astype(float),
        "checks": 0.5 * (wave(u, 2 * scale) > 0.55) + 0.5 * (wave(v, scale) > 0.55),
        "dots": (wave(u, 2 * scale) * wave(v, scale) > 0.8).astype(float),
    }[outfit.pattern][..., None]
    weave = 1 + 0.08 * np.random.default_rng(4).normal(size=(CLOTH, CLOTH, 1))
    other = outfit.colour * 0.6 if outfit.pattern == "knit" else outfit.second_colour
    return np.clip((outfit.colour * (1 - mixed) + other * mixed) * weave, 0.002, 0.9)


def garment_uv() -> np.ndarray:
    """Picture coordinates (Q, 4, 2) of a garment's quads."""
    ring, segment = np.divmod(np.arange(RINGS * SEGMENTS).reshape(RINGS, SEGMENTS), SEGMENTS)
    corner = lambda rows, columns: np.stack((columns / SEGMENTS, 1 - (rows / (RINGS - 1)) ** 1.5), axis=-1)
    top, below = corner(ring[:-1], segment[:-1]), corner(ring[1:], segment[1:])
    step = np.array([1 / SEGMENTS, 0.0])
    return np.stack((top, below, below + step, top + step), axis=2).reshape(-1, 4, 2)
