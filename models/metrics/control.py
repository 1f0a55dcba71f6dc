"""Requested against achieved: how well a control follows, and what else it moves."""

from __future__ import annotations

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


def leakage(changes: dict[str, np.ndarray], spreads: dict[str, float], within: set[str]) -> tuple[float, str]:
    """Mean over all other axes of the root mean square change (N, K) in units of its spread, and the worst axis.

    ``within`` are the axes that the edit is allowed to move.
    """
    moved = {
        name: float(np.sqrt(np.mean(change**2))) / spreads[name]
        for name, change in changes.items()
        if name not in within and spreads[name] > 0
    }
    if not moved:
        return 0.0, ""
    return round(float(np.mean(list(moved.values()))), 4), max(moved, key=moved.get)
