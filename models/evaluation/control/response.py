"""Requested against achieved: how well a control follows, and what else it moves."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np


def response(requested: np.ndarray, achieved: np.ndarray, tolerance: float) -> dict:
    """Figures of one axis, over N portraits and K requested values.

    ``requested`` and ``achieved`` are (N, K). Slope and R² belong to the straight line through all
    points (R² is the share of variance that the line explains), the error is the median of
    |achieved − requested|, the range is what ``usable_range`` finds within ``tolerance``.
    """
    x, y = requested.ravel().astype(float), achieved.ravel().astype(float)
    variance = x.var()
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    slope = covariance / variance if variance > 0 else 0.0
    r2 = covariance**2 / (variance * y.var()) if variance > 0 and y.var() > 0 else 0.0
    return {
        "slope": round(float(slope), 4),
        "r2": round(float(r2), 4),
        "median_error": round(float(np.median(np.abs(y - x))), 4),
        "range": usable_range(requested, achieved, tolerance),
    }


def usable_range(requested: np.ndarray, achieved: np.ndarray, tolerance: float) -> list[float] | None:
    """The widest run of requested values around the smallest one in size whose median error is
    within ``tolerance``; None where not even that one is. All rows request the same values."""
    values = requested[0]
    order = np.argsort(values)
    good = np.median(np.abs(achieved - requested), axis=0)[order] <= tolerance
    start = int(np.argmin(np.abs(values[order])))
    if not good[start]:
        return None
    low = high = start
    while low > 0 and good[low - 1]:
        low -= 1
    while high < len(good) - 1 and good[high + 1]:
        high += 1
    return [round(float(values[order][low]), 4), round(float(values[order][high]), 4)]


def leaks(changes: dict[str, np.ndarray], stds: dict[str, float], within: Collection[str]) -> dict[str, float]:
    """Root mean square change (N, K) of each axis in units of its standard deviation.

    ``within`` are the axes that the edit is allowed to move; they are left out.
    """
    return {
        name: round(float(np.sqrt(np.mean(change**2))) / stds[name], 4)
        for name, change in changes.items()
        if name not in within and stds[name] > 0
    }


def leakage(found: dict[str, float], floor: dict[str, float] | None) -> dict:
    """Figures of what an edit leaks: the mean over the other axes, and the axis that it moves most.

    ``floor`` is the same of edits that truly change nothing else (pictures rendered twice), as the
    same judge reads them: what is then found is the judge's own error. Its mean over the axes that it
    knows is put beside, and the leakage in excess of it, as variances add: the mean of
    sqrt(max(0, found² − floor²)). None where there is no floor.
    """
    if not found:
        return {"leakage": 0.0, "leaks_most_into": "", "leakage_floor": None, "leakage_above_floor": None}
    figures = {"leakage": mean(found.values()), "leaks_most_into": max(found, key=found.__getitem__)}
    known = {name: floor[name] for name in found if floor and name in floor}
    above = [max(0.0, found[name] ** 2 - value**2) ** 0.5 for name, value in known.items()]
    return figures | {"leakage_floor": mean(known.values()), "leakage_above_floor": mean(above)}


def mean(values: Iterable[float]) -> float | None:
    """Rounded; None of nothing."""
    values = list(values)
    return round(float(np.mean(values)), 4) if values else None


def psnr(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> float:
    """Peak signal-to-noise ratio, dB, of pictures (C, H, W) 0–1 over the pixels ``where`` (H, W) weighs.

    At most 99 (pictures that are the same).
    """
    weight = np.broadcast_to(where, first.shape)
    error = float((weight * (first - second) ** 2).sum() / max(weight.sum(), 1e-9))
    return min(99.0, -10 * np.log10(max(error, 1e-12)))


def disentanglement(deviations: dict[str, dict[str, float]]) -> dict[str, float]:
    """DiscoFaceGAN's score: DS_i = product over j ≠ i of σ_i / σ_j, for each factor i that was varied alone.

    ``deviations[i][j]`` is the deviation of factor j, normalised by its deviation in the population,
    while i varies. Source: Deng et al., "Disentangled and Controllable Face Image Generation via 3D
    Imitative-Contrastive Learning" (CVPR 2020).
    """
    scores = {}
    for varied, found in deviations.items():
        others = [found[varied] / max(value, 1e-6) for name, value in found.items() if name != varied]
        scores[varied] = round(float(np.prod(others)), 3)
    return scores


def smoothness(frames: np.ndarray) -> dict[str, float]:
    """How evenly T frames (T, …) of a slow motion follow each other.

    step: median root mean square change from frame to frame; worst_jump: the largest in units of it;
    jitter: change of the change relative to the change, 0 for even motion, 1.73 for independent noise.
    """
    flat = frames.reshape(len(frames), -1).astype(float)
    first, second = np.diff(flat, axis=0), np.diff(flat, n=2, axis=0)
    steps = np.sqrt((first**2).mean(axis=1))
    step = float(np.median(steps))
    jitter = float(np.sqrt((second**2).mean()) / max(np.sqrt((first**2).mean()), 1e-12))
    return {"step": round(step, 5), "worst_jump": round(float(steps.max()) / max(step, 1e-12), 3), "jitter": round(jitter, 4)}
