"""Hair that is gathered: ponytails, buns, braids and cornrows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthetic.hair.look import HairLook
from models.synthetic.hair.roots import Roots, along, nearest, smoothstep, unit
from models.synthetic.hair.scalp import DOWN, beside_face
from models.synthetic.hair.solid import Solid

MIDDLE = np.array([0.0, 4.5, -0.5])  # cm: what paths over the scalp go round
OVER = 9  # points of a strand on the scalp
ROWS = 12  # cornrows from ear to ear
ROW_REACH = 105.0  # degrees from the top of the head to the lowest row


@dataclass(frozen=True)
class Tail:
    """What hangs from a knot: cm; ``wind`` is loose, braid or bun, ``turn`` the length of a braid's turn."""

    knots: tuple[tuple[float, float, float], ...]
    leave: tuple[float, float, float]  # direction at the knot; x is mirrored with the knot's
    length: float
    radius: float
    wind: str = "loose"
    turn: float = 4.0
    count: int = 12000
    points: int = 12


TAILS = {
    "ponytail": Tail(((0, 8.6, -8.9),), (0, 0.1, -1), 24.0, 2.3),
    "low_ponytail": Tail(((0, 0.5, -8.4),), (0, -0.6, -0.8), 24.0, 1.7),
    "bun": Tail(((0, 7.5, -9.4),), (0, 0.1, -1), 22.0, 2.6, wind="bun", points=16),
    "two_braids": Tail(((-6.6, -2.6, -3.4), (6.6, -2.6, -3.4)), (0.7, -1, 0.5), 20.0, 1.0, wind="braid", turn=4.2, count=7000, points=36),
    "box_braids": Tail((), (0, 0, 0), 26.0, 0.4, wind="braid", turn=1.9, count=4200, points=60),
    "cornrows": Tail((), (0, 0, 0), 8.0, 0.5, wind="braid", turn=1.6, count=6500, points=48),
}


def grow_tied(
    points: np.ndarray, normal: np.ndarray, roots: Roots, look: HairLook, solid: Solid, tie: str
) -> tuple[np.ndarray, np.ndarray]:
    """Strands (R, K, 3) from roots (R, 3) with their normals, and how thick each is (R,); ``tie`` is one of ``TAILS``."""
    tail, chance = TAILS[tie], roots.chance
    if tie == "cornrows":
        strands = rows(points, roots, look, tail, solid)
    elif tie == "box_braids":
        strands = braids_of_locks(points, normal, chance, look, tail, solid)
    else:
        strands = to_knots(points, chance, look, tail, solid)
    return strands, np.ones(len(strands))


def to_knots(points: np.ndarray, chance: np.ndarray, look: HairLook, tail: Tail, solid: Solid) -> np.ndarray:
    """Hair combed over the scalp to the nearest knot, and what hangs or winds there."""
    knots = solid.push_out(np.array(tail.knots, float), np.full(len(tail.knots), 0.35 * tail.radius))
    side = points[:, 0] > 0.4 * np.sin(points[:, 1] * 0.9 + 3 * look.hairline.phases[0])
    group = np.where(side, len(knots) - 1, 0)
    mirrored = np.stack([np.array(tail.leave) * [np.sign(knot[0]) or 1.0, 1, 1] for knot in knots])
    lines = hang(knots, unit(mirrored), np.full(len(knots), tail.length * look.length), tail.points, 0.6 * tail.radius, solid)
    ends = bundle(lines[group], chance, tail)
    layer = 0.06 + look.style.layer * look.volume * chance[:, 2]
    over = over_scalp(points, ends[:, 0], layer, solid)
    baby = chance[:, 3] < 0.04
    strands = np.concatenate((over, ends[:, 1:]), axis=1)
    strands = np.where(baby[:, None, None], loose_ends(strands, chance), strands)
    return solid.push_out(strands, np.zeros(strands.shape[:2]))


def loose_ends(strands: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """The first few centimetres of strands (R, K, 3) that slipped out, lifted a little."""
    t = np.linspace(0, 1, strands.shape[1])[:, None]
    ahead = unit(strands[:, 2:3] - strands[:, :1]) + 0.8 * (chance[:, None, :3] - [0.5, 0.45, 0.4])
    return strands[:, :1] + (1.5 + 3.5 * chance[:, 1])[:, None, None] * t * ahead + 1.2 * t**2 * DOWN * chance[:, None, :1]


def over_scalp(points: np.ndarray, goal: np.ndarray, layer: np.ndarray, solid: Solid) -> np.ndarray:
    """Ways (R, OVER, 3) from roots to goals (R, 3) round the head, ``layer`` (R,) cm above it on the way."""
    start, end = points - MIDDLE, goal - MIDDLE
    far, near = np.linalg.norm(start, axis=1), np.linalg.norm(end, axis=1)
    a, b = unit(start), unit(end)
    angle = np.arccos(np.clip(np.sum(a * b, axis=1), -0.999, 0.9999))[:, None, None]
    t = np.linspace(0, 1, OVER)[None, :, None]
    way = (np.sin((1 - t) * angle) * a[:, None] + np.sin(t * angle) * b[:, None]) / np.sin(angle)
    path = MIDDLE + way * (far[:, None, None] * (1 - t) + near[:, None, None] * t)
    rise = layer[:, None] * np.sin(np.pi * np.linspace(0, 1, OVER)) ** 0.5
    pushed = solid.push_out(path, rise)
    pushed[:, 0], pushed[:, -1] = points, goal
    return pushed


def hang(
    starts: np.ndarray,
    direction: np.ndarray,
    length: np.ndarray,
    count: int,
    clearance: np.ndarray | float,
    solid: Solid,
    side: np.ndarray | None = None,
) -> np.ndarray:
    """Middle lines (C, count, 3) that leave with a direction, fall and lie ``clearance`` above what is below, each on its ``side``."""
    step = (length / (count - 1))[:, None]
    p, d, line = starts, direction, [starts]
    for _ in range(count - 1):
        d = unit(d + 0.5 * step * DOWN)
        p = solid.push_out(p + d * step, np.broadcast_to(clearance, len(p)))
        p = p if side is None else beside_face(p, side, 0.5)
        d = unit(0.4 * d + 0.6 * unit(p - line[-1]))
        line.append(p)
    return np.stack(line, axis=1)


def frames(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two directions (…, K, 3) across lines (…, K, 3), steady along them."""
    tangent = unit(np.gradient(lines, axis=-2))
    side = unit(np.cross(tangent, [0.08, 0.05, 1.0]))
    return side, np.cross(tangent, side)


def bundle(lines: np.ndarray, chance: np.ndarray, tail: Tail) -> np.ndarray:
    """Strands (R, K, 3) about their middle lines (R, K, 3): a loose tail, a braid of three, or a coil."""
    t = np.linspace(0, 1, lines.shape[1])
    side, up = frames(lines)
    angle, spread = 2 * np.pi * chance[:, :1], np.sqrt(chance[:, 1:2])
    if tail.wind == "loose":
        wide = tail.radius * (0.35 + 0.65 * np.sin(np.pi * np.clip(1.6 * t, 0, 1) / 2)) * (1 - 0.75 * t**2)
        x, y = wide * spread * np.cos(angle + 0.8 * t), 0.8 * wide * spread * np.sin(angle + 0.8 * t)
        stray = 2.2 * (chance[:, None, :3] - 0.5) * t[:, None] ** 2
        lines = lines + stray + 0.3 * np.sin(7 * t + 9 * chance[:, 3:])[..., None] * side * t[:, None]
        short = (0.65 + 0.35 * chance[:, 2:3]) * t * (lines.shape[1] - 1)
        return along(lines + side * x[..., None] + up * y[..., None], short)
    if tail.wind == "bun":
        return coil(lines[:, 0], chance, tail, t)
    x, y = braided(np.linalg.norm(np.diff(lines, axis=1), axis=2).cumsum(axis=1), chance, tail)
    return lines + side * x[..., None] + up * y[..., None]


def braided(walked: np.ndarray, chance: np.ndarray, tail: Tail) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (R, K) across a braid, wide and deep, after ``walked`` (R, K − 1) cm."""
    walked = np.concatenate((np.zeros((len(walked), 1)), walked), axis=1)
    part = np.floor(3 * chance[:, :1]) / 3
    phase = 2 * np.pi * (walked / tail.turn + part)
    inner, thick = 2 * np.pi * chance[:, 1:2], 0.5 * tail.radius * np.sqrt(chance[:, 2:3])
    narrow = np.where(walked > 0.85 * walked[:, -1:], 0.75, 1.0)
    x = narrow * (0.75 * tail.radius * np.sin(phase) + thick * np.cos(inner + 0.7 * phase))
    return x, narrow * (0.42 * tail.radius * np.sin(2 * phase) + 0.8 * thick * np.sin(inner + 0.7 * phase))


def coil(knot: np.ndarray, chance: np.ndarray, tail: Tail, t: np.ndarray) -> np.ndarray:
    """A bun: strands (R, K, 3) wound about the knot (R, 3) in a ring that is flat against the head."""
    out = unit(knot - MIDDLE)
    side = unit(np.cross(out, [0.0, 1.0, 0.0]))
    up = np.cross(out, side)
    tube = 0.45 * tail.radius
    turn = 2 * np.pi * (1.25 * t + chance[:, :1])
    about = 2 * np.pi * (chance[:, 1:2] + 1.1 * t)
    grow = smoothstep(5 * t)
    ring = (0.55 * tail.radius + tube * np.cos(about)) * grow
    high = (0.8 * tube + tube * np.sin(about) * (0.75 + 0.3 * chance[:, 2:3])) * grow
    at = lambda direction, amount: direction[:, None] * amount[..., None]
    return knot[:, None] + at(side, ring * np.cos(turn)) + at(up, ring * np.sin(turn)) + at(out, high)


def braids_of_locks(points: np.ndarray, normal: np.ndarray, chance: np.ndarray, look: HairLook, tail: Tail, solid: Solid) -> np.ndarray:
    """Many thin braids (R, K, 3), each from its own patch of the scalp."""
    middles = np.arange(min(170, len(points)))
    group = nearest(points, points[middles])
    side = np.where(points[middles, 0] > look.part, 1.0, -1.0)
    away = np.stack((1.2 * side, 0 * side, -0.6 + 0 * side), axis=1)
    leave = unit(0.35 * normal[middles] + away + 0.3 * DOWN)
    length = tail.length * look.length * (0.9 + 0.2 * chance[middles, 0])
    layer = 0.4 + 1.2 * smoothstep((points[middles, 1] - 2) / 10)
    lines = hang(points[middles] + 0.3 * normal[middles], leave, length, tail.points, layer, solid, side)
    strands = bundle(lines[group], chance, tail)
    strands[:, 0] = points
    return strands


def rows(points: np.ndarray, roots: Roots, look: HairLook, tail: Tail, solid: Solid) -> np.ndarray:
    """Cornrows (R, K, 3): braids that lie on the scalp from forehead to nape."""
    offset = roots.home - MIDDLE
    across = np.degrees(np.arctan2(offset[:, 0], offset[:, 1]))
    wave = 3.0 * np.sin(np.radians(2 * across) + look.hairline.phases[1])
    row = np.round((across + wave) / (2 * ROW_REACH / ROWS))
    bend = np.radians(row * (2 * ROW_REACH / ROWS))
    begin = np.degrees(np.arctan2(np.hypot(offset[:, 0], offset[:, 1]), offset[:, 2]))
    t = np.linspace(0, 1, tail.points)
    tilt = np.radians(begin[:, None] + (np.maximum(150 - 0.35 * np.abs(np.degrees(bend)), begin + 6)[:, None] - begin[:, None]) * t)
    way = np.stack((np.sin(tilt) * np.sin(bend)[:, None], np.sin(tilt) * np.cos(bend)[:, None], np.cos(tilt)), axis=-1)
    lines = solid.push_out(MIDDLE + 8.0 * way, np.full(way.shape[:2], 0.3))
    strands = bundle(lines, roots.chance, tail)
    strands[:, 0] = points
    return solid.push_out(strands, np.full(strands.shape[:2], 0.03))
