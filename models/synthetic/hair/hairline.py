"""Where scalp hair begins and how densely it grows."""

from __future__ import annotations

import numpy as np

from models.synthetic.hair.look import HairLook
from models.synthetic.hair.roots import smoothstep

ORIGIN = np.array([0.0, 5.0, 0.0])  # azimuth and elevation are seen from here, cm
# Elevation (degrees) of the usual hairline by azimuth from the front: forehead, temple, sideburn, over the ear, nape.
AZIMUTH = np.array([0, 20, 33, 42, 48, 54, 59, 64, 71, 84, 100, 112, 122, 140, 180.0])
ELEVATION = np.array([41, 40.5, 38.5, 34, 27, 17, 4, -11, -14, -14, -14, -20, -34, -47, -51.0])
EAR_MIDDLE, EAR_HALF = np.array([2.3, -0.4]), np.array([3.9, 2.7])  # (y, z) of the ellipse without scalp hair, cm
BESIDE = 6.3  # cm from the middle plane where ears may be
SOFTNESS = 7.0  # degrees over which hair gets dense
CROWN = np.array([0.0, 0.86, -0.51])  # direction of the whorl from ``ORIGIN``


def polar(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth from the front (positive to the face's left) and elevation (…) in degrees of points (…, 3) of the mean head."""
    offset = points - ORIGIN
    return np.degrees(np.arctan2(offset[..., 0], offset[..., 2])), np.degrees(
        np.arctan2(offset[..., 1], np.hypot(offset[..., 0], offset[..., 2]))
    )


def above_usual(points: np.ndarray) -> np.ndarray:
    """Degrees (…) above the usual hairline; ears lie below it."""
    azimuth, elevation = polar(points)
    margin = elevation - np.interp(np.abs(azimuth), AZIMUTH, ELEVATION)
    from_ear = np.linalg.norm((points[..., 1:] - EAR_MIDDLE) / EAR_HALF, axis=-1)
    return np.where(np.abs(points[..., 0]) > BESIDE, np.minimum(margin, 22 * (from_ear - 1)), margin)


def bump(x: np.ndarray, middle: float, width: float) -> np.ndarray:
    """A Gaussian of height one."""
    return np.exp(-0.5 * ((x - middle) / width) ** 2)


def higher(azimuth: np.ndarray, look: HairLook) -> np.ndarray:
    """How many degrees (…) a person's hairline lies above the usual one."""
    line, side = look.hairline, np.abs(azimuth)
    front = smoothstep((72 - side) / 20)
    waves = sum(bent(azimuth, period, phase) for period, phase in zip((61.0, 27.0, 13.0), line.phases, strict=True))
    recede = look.balding * (34 * bump(side, 34, 15) + 20 * bump(side, 0, 26) * look.balding)
    return front * (line.height + line.temples * bump(side, 36, 11) - line.peak * bump(side, 0, 7) + recede) + waves


def bent(azimuth: np.ndarray, period: float, phase: float) -> np.ndarray:
    """One wave of a hairline's unevenness, in degrees; ``phase`` is a standard-normal number."""
    return 0.022 * period * np.sin(np.radians(360 / period * azimuth) + 2 * phase) + 0.4 * phase * np.sin(np.radians(azimuth))


def density(points: np.ndarray, look: HairLook) -> np.ndarray:
    """Share 0–1 (…) of hairs that stand at points (…, 3) of the mean head: soft at the hairline, thin where hair is lost."""
    azimuth, elevation = polar(points)
    margin = above_usual(points) - higher(azimuth, look)
    soft = SOFTNESS * (1 + 0.8 * smoothstep((np.abs(azimuth) - 105) / 30))
    full = smoothstep(margin / soft + 0.2)
    offset = points - ORIGIN
    from_crown = np.degrees(np.arccos(np.clip(offset @ CROWN / np.linalg.norm(offset, axis=-1), -1, 1)))
    crown = bump(from_crown, 0, 22 + 22 * look.balding) * smoothstep((look.balding - 0.25) / 0.5)
    top = smoothstep((elevation - 34 + 10 * smoothstep((70 - np.abs(azimuth)) / 30)) / 16) * smoothstep((look.balding - 0.55) / 0.4)
    return full * (1 - look.thin) * (1 - 0.95 * crown) * (1 - 0.997 * top)
