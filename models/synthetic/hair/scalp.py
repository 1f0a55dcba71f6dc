"""Scalp hair that hangs, lies or stands free: strands grown step by step in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthetic.hair.hairline import above_usual, higher, polar
from models.synthetic.hair.look import HairLook
from models.synthetic.hair.roots import Roots, along, nearest, smoothstep, unit
from models.synthetic.hair.solid import Solid
from models.synthetic.hair.styles import Style

WHORL = np.array([0.9, 13.0, -5.0])
DOWN = np.array([0.0, -1.0, 0.0])
BABY = 6.0  # degrees above the hairline within which hairs are short and fine
FLYAWAY = 0.035  # share of strands that leave their lock
BROW_HEIGHT, FACE_TOP = 6.3, 9.5  # cm: to where a fringe falls, below which nothing else hangs before the face
FACE_HALF_WIDTH, FACE_DEPTH = 6.7, 2.0  # cm


@dataclass(frozen=True)
class Locks:
    """For each strand (R,) which one is the middle of its lock, and which that of its tress, a small part of a lock."""

    lock: np.ndarray
    tress: np.ndarray


def find_locks(points: np.ndarray, look: HairLook, locks: int, tresses: int) -> Locks:
    """Locks about the first roots (R, 3), which stand in no order; none reaches across the parting."""
    apart = points + np.stack((8 * np.sign(from_parting(points, look)), 0 * points[:, 0], 0 * points[:, 0]), axis=1)
    return Locks(nearest(apart, apart[:locks]), nearest(apart, apart[:tresses]))


def strand_count(style: Style) -> tuple[int, int]:
    """How many strands a full head of a style has, and points of each: enough for its bends, about as much to trace at any length."""
    if style.top < 1.2:
        return 30000, 3
    bends = 5 * style.top / style.curl[1] if style.curl[0] > 0.15 else 0
    points = int(np.clip(max(bends, style.top / 2.6), 12 if style.long else 7, 40))
    return int(np.clip(170000 / points, 5000, 20000)), points


def grow_scalp(
    points: np.ndarray, normal: np.ndarray, roots: Roots, locks: Locks, look: HairLook, solid: Solid
) -> tuple[np.ndarray, np.ndarray]:
    """Strands (R, K, 3) from roots (R, 3) with their normals, and how thick each is (R,)."""
    style, chance, lock = look.style, roots.chance, locks.lock
    fringe = is_fringe(roots.home, look, lock, chance)
    length, thick = lengths(roots, look, fringe, chance, lock)
    direction = comb(points, normal, roots.home, look, fringe, chance, lock)
    strands = stepped(points, direction, length, look, fringe, solid, roots, strand_count(style)[1])
    strands = cut_ends(strands, look, fringe, chance)
    free = (chance[:, 3] < FLYAWAY) & (roots.home[:, 2] < 1)
    strands = gathered(strands, locks, look, chance, free[:, None])
    strands = curled(strands, lock, chance, style.curl[0] * look.curl * np.where(free, 0.4, 1.0)[:, None], style.curl[1], solid)
    return strands, thick


def from_parting(points: np.ndarray, look: HairLook) -> np.ndarray:
    """How far (R,) to the left of the parting points of the head lie, cm; behind, it runs to the middle."""
    return points[:, 0] - look.part * (0.5 + 0.5 * smoothstep((points[:, 2] + 3) / 6)) * smoothstep((points[:, 1] - 6) / 4)


def front_of(home: np.ndarray) -> np.ndarray:
    """How much (R,) a root is of the front: over the forehead, not the temples."""
    return smoothstep((home[:, 2] - 1.0) / 4.0) * smoothstep((home[:, 1] - 7.5) / 3.0)


def is_fringe(home: np.ndarray, look: HairLook, lock: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Which roots (R,) grow hair that is cut above the eyes; whole locks are."""
    azimuth, _ = polar(home)
    own = 0.7 * chance[lock, 3] + 0.3 * chance[:, 3]
    return (home[:, 2] > 3.2 - 2.5 * own) & (np.abs(azimuth) < 58) & (own < look.style.fringe)


def lengths(roots: Roots, look: HairLook, fringe: np.ndarray, chance: np.ndarray, lock: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Length (R,) cm and thickness (R,) as a factor; at the hairline hairs are short and fine."""
    style, home = look.style, roots.home
    front = front_of(home)
    high = smoothstep((home[:, 1] - 6.0) / 4.5)
    behind = smoothstep((-home[:, 2] - 0.5) / 4.0)
    low = smoothstep((3.5 - home[:, 1]) / 5.0) * behind
    side = (style.side * (1 - behind) + style.back * behind) * (1 - low) + style.nape * low
    length = (1 - high) * side + high * (style.front * front + style.top * (1 - front))
    length = np.where(fringe, np.minimum(length, style.front), length) * look.length
    azimuth, _ = polar(home)
    margin = above_usual(home) - higher(azimuth, look)
    baby = smoothstep(margin / BABY + 0.15 + 0.5 * (chance[:, 2] - 0.5))
    uneven = 0.82 + 0.14 * chance[lock, 0] + 0.16 * chance[:, 1]
    down = np.minimum(0.5 * length, 1.0 + 1.5 * chance[:, 1])
    return uneven * (down + (length - down) * baby), 0.5 + 0.5 * baby


def comb(
    points: np.ndarray,
    normal: np.ndarray,
    home: np.ndarray,
    look: HairLook,
    fringe: np.ndarray,
    chance: np.ndarray,
    lock: np.ndarray,
) -> np.ndarray:
    """Unit directions (R, 3) in which strands leave the scalp."""
    style = look.style
    front, high = front_of(home), smoothstep((home[:, 1] - 6.0) / 4.0)
    whorl = unit(points - WHORL * [np.sign(look.part or 1.0), 1, 1])
    away = np.tanh(from_parting(points, look) / 0.35)
    sideways = np.zeros_like(points)
    sideways[:, 0] = away
    sideways[:, 2] = -0.25
    ahead = np.array([0.0, 0.0, 1.0]) * (high * (0.3 + 0.7 * front))[:, None]
    field = 0.7 * whorl + 1.6 * style.parted * high[:, None] * sideways + 1.5 * style.forward * ahead
    field = field + DOWN * ((1 - high) * (1.0 if style.forward > -0.8 else 0.35))[:, None]
    if style.forward < -0.8:
        field[:, 2] -= 1.2 * (1 - high)
    swept = np.stack((0.35 * np.sign(look.part or 1.0) + 0.16 * points[:, 0], np.full(len(points), -0.4), np.ones(len(points))), axis=1)
    field = np.where(fringe[:, None], swept, unit(field))
    jitter = 0.30 * (chance[lock, :3] - 0.5) + 0.25 * (chance[:, :3] - 0.5)
    field = unit(field) + jitter * (1.4 if style.stiff > 0.6 else 0.8)
    flat = unit(field - np.sum(field * normal, axis=1, keepdims=True) * normal)
    stand = np.clip(style.stand * (0.75 + 0.5 * chance[:, :1]) * np.where(fringe, 0.8, 0.55 + 0.45 * high)[:, None], 0, 1)
    return unit(flat * np.sqrt(1 - 0.9 * stand**2) + stand * normal)


def stepped(
    points: np.ndarray,
    direction: np.ndarray,
    length: np.ndarray,
    look: HairLook,
    fringe: np.ndarray,
    solid: Solid,
    roots: Roots,
    count: int,
) -> np.ndarray:
    """Strands (R, count, 3) that follow their direction, hang, and lie on what is below them."""
    style, chance = look.style, roots.chance
    step = (length / (count - 1))[:, None]
    weight = 0.45 * (1 - style.stiff) ** 1.6
    rank = 0.25 + 0.75 * (0.5 * chance[:, 2] + 0.5 * smoothstep((roots.home[:, 1] - 2) / 10))
    layer = style.layer * look.volume * rank
    side = np.where(from_parting(points, look) > 0, 1.0, -1.0)
    cling = 0.9 * np.clip(1 - 1.15 * style.stand, 0, 1)
    near = smoothstep((points[:, 1] + 2.0) / 5.0) * ~fringe
    ahead = np.where(roots.home[:, 2] + 3 * (chance[:, 1] - 0.5) > 0.5, 1.0, -1.0)
    strand, p, d = [points], points, direction
    for i in range(1, count):
        walked = i * step
        d = unit(d + weight * step * smoothstep(walked / 3.0) * DOWN)
        d[:, 2] += 0.22 * step[:, 0] * ahead * smoothstep((-4 - p[:, 1]) / 3)  # before the shoulders or behind them
        p = p + d * step
        least = np.minimum(layer * smoothstep(walked[:, 0] / 4.0), 0.7 * walked[:, 0]) + 0.02
        distance, out = solid.look_up(p)
        lies = cling * np.minimum(distance - least, 0.6 * step[:, 0]) * near
        p = p + np.where(distance < least, least - distance, -np.maximum(lies, 0))[:, None] * out
        p = np.where(fringe[:, None], p, beside_face(p, side, chance[:, 1]))
        d = unit(0.45 * d + 0.55 * unit(p - strand[-1]))
        strand.append(p)
    return np.stack(strand, axis=1)


def beside_face(p: np.ndarray, side: np.ndarray, chance: np.ndarray | float) -> np.ndarray:
    """Points (R, 3) that would hang before the face, moved some of the way to its ``side`` (R,)."""
    before = smoothstep((p[:, 2] - FACE_DEPTH) / 1.5) * smoothstep((FACE_TOP - p[:, 1]) / 3.0)
    missing = np.maximum(FACE_HALF_WIDTH + 0.9 * chance - p[:, 0] * side, 0) * before
    deep = np.maximum(p[:, 2] - 5.5 - chance, 0) * before
    return p + np.stack((0.6 * missing * side, 0 * side, -0.5 * deep - 0.15 * missing), axis=1)


def cut_ends(strands: np.ndarray, look: HairLook, fringe: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Strands cut where they first fall below the style's edge, a fringe above the eyes; each keeps its number of points."""
    height = np.full(len(strands), -99.0 if look.style.cut is None else look.style.cut * (2 - look.length))
    height = height + 0.9 * (chance[:, 1] - 0.5)
    falls = 0.10 * np.abs(strands[:, 0, 0]) + 1.1 * (chance[:, 0] - 0.4)
    height = np.where(fringe, BROW_HEIGHT + 0.6 * look.hairline.phases[1] - falls, height)
    y = np.minimum.accumulate(strands[..., 1], axis=1)
    under = y < height[:, None]
    if not under.any():
        return strands
    last = strands.shape[1] - 1
    first = np.where(under.any(axis=1), under.argmax(axis=1), last)
    before = np.maximum(first - 1, 0)
    rows = np.arange(len(strands))
    drop = y[rows, before] - y[rows, first]
    share = np.clip((y[rows, before] - height) / np.maximum(drop, 1e-6), 0, 1)
    end = np.where(under.any(axis=1), np.maximum(before + share, 1.0), last)
    return along(strands, end[:, None] * np.linspace(0, 1, last + 1))


def gathered(strands: np.ndarray, locks: Locks, look: HairLook, chance: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Strands drawn to the middle of their tress and that to the middle of its lock, most at the tips; ``free`` ones (R, 1) fly away."""
    t = np.linspace(0, 1, strands.shape[1])[None, :, None]
    kept = strands
    for middle, amount in ((locks.tress, 0.9), (locks.lock, 1.0)):
        pull = amount * look.style.clump * smoothstep(1.5 * t) * (0.6 + 0.6 * chance[middle, 1])[:, None, None]
        goal = kept[middle] + 0.25 * (kept[:, :1] - kept[middle, :1])
        kept = kept + np.where(free[..., None], 0, np.clip(pull, 0, 0.95)) * (goal - kept)
    reach = np.linalg.norm(strands[:, -1] - strands[:, 0], axis=1)
    away = (chance[:, :3] - [0.5, 0.35, 0.5]) * np.minimum(0.2 * reach, 1.2)[:, None] * free
    loose = (chance[:, [1, 2, 0]] - 0.5) * np.minimum(0.05 * reach, 0.5)[:, None]
    return kept + (away + loose)[:, None] * t**1.5


def curled(strands: np.ndarray, lock: np.ndarray, chance: np.ndarray, radius: np.ndarray, turn: float, solid: Solid) -> np.ndarray:
    """Strands wound about their way with a radius (R, 1) and a length of turn (cm); those of a lock wind alike."""
    tangent = unit(np.gradient(strands, axis=1))
    across = unit(np.cross(tangent, DOWN + [0.15, 0.0, 0.1]))
    out = np.cross(across, tangent)
    pieces = np.linalg.norm(np.diff(strands, axis=1), axis=2)
    walked = np.concatenate((np.zeros((len(strands), 1)), np.cumsum(pieces, axis=1)), axis=1)
    own = chance[lock]
    turn = turn * (0.75 + 0.5 * own[:, 0])[:, None]
    phase = 2 * np.pi * (walked / turn + own[:, 1:2] + 0.1 * (chance[:, :1] - 0.5))
    reach = radius * np.minimum(walked / turn, 1.0) * (0.6 + 0.6 * own[:, 2:3] + 0.3 * chance[:, 1:2])
    wound = strands + across * (reach * np.sin(phase))[..., None] + out * (0.75 * reach * np.cos(phase))[..., None]
    wound[:, 0] = strands[:, 0]
    return solid.push_out(wound, np.minimum(0.05, 0.3 * walked))
