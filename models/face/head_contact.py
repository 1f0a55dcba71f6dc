"""What must meet: lips that touch at rest and under mouthClose, lids that close under eyeBlink.

Measured lips and lids meet within a millimetre or so, which shows as a slit. Each mode is corrected by
as much as its contact lines lack, fading out over the neighbouring edge loops: the model stays linear.
"""

from __future__ import annotations

import numpy as np

from models.face.topology import Resolution

EYE_SCALE, EYE_SHIFT = 0.968, -0.05  # the measured spheres were fitted with the cornea: the sclera is smaller, further back
LIP_GAP = -0.005  # cm between the lips at rest: they touch
LID_GAP = -0.02  # cm between the lids under eyeBlink
LID_THICKNESS = 0.07  # cm from the eyeball to the closed upper lid's outer edge
CURTAIN = 0.14  # cm that the closed upper lid's inner edge hangs behind the lower lid, for eyes opened wider than the mean


def eyeball_spheres(figures: dict, side: str) -> np.ndarray:
    """Centre and radius (1 + K, 4) of one eyeball without its cornea: the mean, then the change per identity mode."""
    table = figures["eyeball_left" if side == "L" else "eyeball_right"].astype(float) * [1, 1, 1, EYE_SCALE]
    table[0, 2] += EYE_SHIFT
    return table


def contact_gap(values: np.ndarray, upper: np.ndarray, lower: np.ndarray, x: np.ndarray) -> np.ndarray:
    """How far the upper line lies above the lower one at each of ``x`` (n,), for every mode: (M, n), cm.

    ``values`` (M, V, 3) hold the mean first; both lines are vertices ordered by the mean's x.
    """
    weights = [interpolation(values[0, line, 0], x) for line in (upper, lower)]
    high, low = (values[:, line, 1] @ weight.T for line, weight in zip((upper, lower), weights, strict=True))
    return high - low


def interpolation(knots: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Linear interpolation at ``x`` (n,) over increasing ``knots`` (m,) as a matrix (n, m)."""
    return np.stack([np.interp(x, knots, row) for row in np.eye(len(knots))], axis=1)


def lines(values: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower half of a closed ring of vertices, both from its left to its right end, ordered by the mean's x."""
    x = values[0, ring, 0]
    first, last = int(x.argmin()), int(x.argmax())
    forth = np.roll(ring, -first)[: (last - first) % len(ring) + 1]
    back = np.roll(ring, -last)[: (first - last) % len(ring) + 1][::-1]
    forth, back = (half[np.argsort(values[0, half, 0], kind="stable")] for half in (forth, back))
    return (forth, back) if values[0, forth, 1].mean() > values[0, back, 1].mean() else (back, forth)


def close_lips(skin: np.ndarray, sheet, figures: dict, resolution: Resolution) -> None:
    """Let the lips touch at rest for every identity, and under mouthClose over jawOpen; ``skin`` (M, V, 3) in place."""
    rings, names = sheet.rings["mouth"], [str(name) for name in figures["expression_names"]]
    outer, contact = resolution.lip_rings[0] - 1, sum(resolution.lip_rings[:2]) - 1
    upper, lower = lines(skin, rings[contact])
    n_identity = len(figures["identity"])
    closing, opening = (1 + n_identity + names.index(name) for name in ("mouthClose", "jawOpen"))
    rows = np.array([*range(1 + n_identity), closing])
    gap = contact_gap(skin, upper, lower, skin[0, rings[contact], 0])
    wanted = np.zeros((len(rows), gap.shape[1]))
    wanted[0], wanted[-1] = LIP_GAP, -gap[opening]
    lack = wanted - gap[rows]
    sign = np.where(np.isin(rings[contact], upper), 0.5, -0.5)
    steps = np.clip((np.arange(len(rings)) - outer) / (contact - outer), 0, 1)
    fade = steps * steps * (3 - 2 * steps)
    for ring, share in zip(rings, fade, strict=True):
        skin[rows[:, None], ring[None, :], 1] += share * sign * lack


def close_lids(skin: np.ndarray, sheet, figures: dict, resolution: Resolution) -> None:
    """Let the upper lid come down to the lower one under eyeBlink, outside the eyeball; ``skin`` (M, V, 3) in place."""
    names, n_identity = [str(name) for name in figures["expression_names"]], len(figures["identity"])
    lash = resolution.lid_rings[0] - 1
    for side in ("L", "R"):
        rings, row = sheet.rings[f"eye_{side}"], 1 + n_identity + names.index(f"eyeBlink_{side}")
        ball = eyeball_spheres(figures, side)[0]
        upper, lower = lines(skin, rings[lash])
        closed = np.stack((skin[0] + skin[row],))
        x = closed[0, rings[lash], 0]
        lack = LID_GAP - contact_gap(closed, upper, lower, x)[0]
        above = np.isin(rings[lash], upper[1:-1])
        fade = np.clip((np.arange(len(rings)) + 1) / (lash + 1), 0, 1) ** 1.5
        for ring, share in zip(rings, fade, strict=True):
            closed[0, ring, 1] += share * lack * above
        line = np.interp(x, closed[0, lower, 0], closed[0, lower, 1])
        hang_curtain(closed[0], rings[lash:], line, above, ball)
        keep_outside(closed[0], rings[: lash + 1][:, above], ball)
        skin[row] = closed[0] - skin[0]


def hang_curtain(closed: np.ndarray, rings: np.ndarray, line: np.ndarray, above: np.ndarray, ball: np.ndarray) -> None:
    """Let the upper lid's inside hang behind the lower lid, close to the eyeball, and the lower lid's make room; in place.

    ``rings`` run from the lash line to the lid's inner edge; ``line`` (n,) is the height of the closed lids' line.
    """
    depth = np.linspace(0, 1, len(rings))[1:]
    narrow = np.minimum(1, np.sin(np.pi * np.linspace(0, 1, 3))[1])
    for ring, share in zip(rings[1:], depth, strict=True):
        points = closed[ring]
        height = line - np.where(above, CURTAIN, 2 * CURTAIN) * share * narrow
        target = np.stack((points[:, 0], height, points[:, 2]), axis=-1)
        offset = target - ball[:3]
        beside = np.linalg.norm(offset[:, :2], axis=1)
        distance = ball[3] + np.where(above, 0.02, -0.08)
        offset[:, 2] = np.sqrt(np.maximum(distance**2 - beside**2, 0.01))
        inside = (beside < distance)[:, None]
        closed[ring] = np.where(inside, ball[:3] + offset, points)


def keep_outside(closed: np.ndarray, rings: np.ndarray, ball: np.ndarray) -> None:
    """Push the closed lid's vertices out of the eyeball, to ``LID_THICKNESS`` from it at the lash line; in place."""
    for ring in rings:
        offset = closed[ring] - ball[:3]
        distance = np.linalg.norm(offset, axis=1, keepdims=True)
        closed[ring] = ball[:3] + offset * np.maximum(1, (ball[3] + LID_THICKNESS) / distance)
