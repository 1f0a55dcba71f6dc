"""What must meet: lips that touch at rest and under mouthClose, lids that close under eyeBlink.

Measured lips and lids meet within a millimetre or so, which shows as a slit. Each mode is corrected by
as much as its contact lines lack, fading out over the neighbouring edge loops: the model stays linear.
"""

from __future__ import annotations

import numpy as np

from models.face.own_head.measurements import expression_names, eyeball_spheres
from models.face.own_head.topology import Resolution, Sheet

LIP_GAP = -0.005  # cm between the lips at rest: they touch
LID_GAP = -0.02  # cm between the lids under eyeBlink
LID_THICKNESS = 0.14  # cm from the eyeball to the closed upper lid's outer edge
CURTAIN, CURTAIN_DISTANCE = 0.28, 0.11  # cm that the closed upper lid's inside hangs behind the lower lid, and how far before the sclera:
# the cornea stands out 0.08, and people's eyes are opened up to 0.3 wider than the mean's


def interpolation(knots: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Linear interpolation at ``x`` (n,) over ``knots`` (m,), in any order, as a matrix (n, m)."""
    order = np.argsort(knots, kind="stable")
    matrix = np.zeros((len(x), len(knots)))
    matrix[:, order] = np.stack([np.interp(x, knots[order], row) for row in np.eye(len(knots))], axis=1)
    return matrix


def halves(chart: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower half of a closed ring of vertices, both from one corner to the other, corners included."""
    u = chart[ring, 0]
    first, last = int(u.argmin()), int(u.argmax())
    forth = np.roll(ring, -first)[: (last - first) % len(ring) + 1]
    back = np.roll(ring, -last)[: (first - last) % len(ring) + 1][::-1]
    return (forth, back) if chart[forth, 1].mean() > chart[back, 1].mean() else (back, forth)


def even_rings(values: np.ndarray, rings: np.ndarray, chart: np.ndarray, kept: np.ndarray) -> None:
    """Take the jitter out of edge loops (R, n): means of neighbours along each; (M, V, 3) in place.

    Corners and the vertices ``kept`` stay. How often grows with the square of the loop's vertices, so that a
    coarse loop is not drawn together.
    """
    for ring in rings:
        u = chart[ring, 0]
        free = ~np.isin(ring, kept)[:, None]
        free[[u.argmin(), u.argmax()]] = False
        for _ in range(len(ring) ** 2 // 260):
            points = values[:, ring]
            middle = (np.roll(points, 1, axis=1) + np.roll(points, -1, axis=1)) / 2
            values[:, ring] += 0.5 * free * (middle - points)


def close_lips(skin: np.ndarray, sheet: Sheet, figures: dict, resolution: Resolution) -> None:
    """Let the lips touch at rest for every identity and under mouthClose over jawOpen; no expression drives one
    through the other. ``skin`` (M, V, 3) in place.

    The gap is linear in the weights, so that what holds for each expression holds for all their combinations.
    """
    rings, names = sheet.rings["mouth"], expression_names(figures)
    outer, contact = resolution.lip_rings[0] - 1, sum(resolution.lip_rings[:2]) - 1
    line, first = rings[contact], 1 + len(figures["identity"])
    upper, lower = halves(sheet.points, line)
    at = [interpolation(skin[0, half, 0], skin[0, line, 0]).T for half in (upper, lower)]
    gap = skin[:, upper, 1] @ at[0] - skin[:, lower, 1] @ at[1]
    wanted = np.maximum(gap, 0)
    wanted[0], wanted[1:first] = LIP_GAP, 0
    wanted[first + names.index("mouthClose")] = -gap[first + names.index("jawOpen")]
    lack = (wanted - gap) * np.where(np.isin(line, upper), 0.5, -0.5)
    steps = np.clip((np.arange(len(rings)) - outer) / (contact - outer), 0, 1)
    for ring, share in zip(rings, steps * steps * (3 - 2 * steps), strict=True):
        skin[:, ring, 1] += share * lack


def close_lids(skin: np.ndarray, sheet: Sheet, figures: dict, landmarks: np.ndarray, resolution: Resolution) -> None:
    """Let the upper lid come down to the lower one under eyeBlink, outside the eyeball; ``skin`` (M, V, 3) in place."""
    names, n_identity = expression_names(figures), len(figures["identity"])
    lash = resolution.lid_rings[0] - 1
    for side in ("L", "R"):
        rings, row = sheet.rings[f"eye_{side}"], 1 + n_identity + names.index(f"eyeBlink_{side}")
        even_rings(skin, rings[lash:], sheet.points, landmarks)
        ball = eyeball_spheres(figures, side)[0]
        upper, lower = halves(sheet.points, rings[lash])
        closed = skin[0] + skin[row]
        u = sheet.points[rings[lash], 0]
        met = interpolation(sheet.points[lower, 0], u) @ closed[lower]
        above = np.isin(rings[lash], upper[1:-1])
        lack = np.where(above[:, None], met + [0, LID_GAP, 0] - closed[rings[lash]], 0)
        fade = np.clip((np.arange(len(rings)) + 1) / (lash + 1), 0, 1) ** 1.5
        for ring, share in zip(rings[: lash + 1], fade, strict=False):
            closed[ring] += share * lack
        hang_curtain(closed, rings[lash:], met, above, ball)
        keep_outside(closed, rings[: lash + 1][:, above], ball)
        skin[row] = closed - skin[0]


def seated_spheres(skin: np.ndarray, sheet: Sheet, figures: dict, side: str) -> np.ndarray:
    """Eyeball (1 + K, 4) whose depth under each identity mode is such that the lids lie on it as they do on the mean.

    The measured spheres' own depth is known less well than the lids' edges, and eyes would bulge through lids.
    """
    ball = eyeball_spheres(figures, side)
    edge = skin[: len(ball), sheet.rings[f"eye_{side}"][-2:].ravel()]
    outward = edge[0] - ball[0, :3]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    lifted = np.einsum("mpc,pc->m", edge[1:] - ball[1:, None, :3], outward) / len(outward) - ball[1:, 3]
    ball[1:, 2] += lifted / outward[:, 2].mean()
    return ball


def hang_curtain(closed: np.ndarray, rings: np.ndarray, met: np.ndarray, above: np.ndarray, ball: np.ndarray) -> None:
    """Let the upper lid's inside hang behind the lower lid, close to the eyeball, and the lower lid's make room; in place.

    ``rings`` run from the lash line to the lid's inner edge; ``met`` (n, 3) is the closed lids' line.
    """
    along = np.abs(met[:, 0] - met[:, 0].mean()) / np.ptp(met[:, 0]) * 2
    narrow = np.sqrt(np.clip(1 - along**2, 0, 1))  # nothing hangs at the corners
    for number, ring in enumerate(rings[1:], start=1):
        share = number / (len(rings) - 1)
        points = closed[ring]
        drop = np.where(above, CURTAIN, 2 * CURTAIN) * share * narrow
        target = np.stack((points[:, 0], met[:, 1] - drop, points[:, 2]), axis=-1)
        offset = target - ball[:3]
        beside = np.linalg.norm(offset[:, :2], axis=1)
        distance = ball[3] + np.where(above, CURTAIN_DISTANCE, -0.08)
        offset[:, 2] = np.sqrt(np.maximum(distance**2 - beside**2, 0.01))
        closed[ring] = points + (narrow * (beside < 0.95 * distance))[:, None] * (ball[:3] + offset - points)


def keep_outside(closed: np.ndarray, rings: np.ndarray, ball: np.ndarray) -> None:
    """Push the closed lid's vertices out of the eyeball, to ``LID_THICKNESS`` from it at the lash line; in place."""
    for ring in rings:
        offset = closed[ring] - ball[:3]
        distance = np.linalg.norm(offset, axis=1, keepdims=True)
        closed[ring] = ball[:3] + offset * np.maximum(1, (ball[3] + LID_THICKNESS) / distance)
