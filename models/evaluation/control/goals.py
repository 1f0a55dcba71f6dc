"""The goals that a rig is measured against, and whether they are reached."""

from __future__ import annotations

import numpy as np

from models.evaluation.control.axes import Axis

FOLLOWS = 0.85  # R² of an expression that follows
REACHES = 0.7  # slope from which it does so far enough to be of use
EXPRESSIONS = 20


def goals(axes: dict[str, Axis], sections: dict[str, dict]) -> list[dict]:
    """A list of {"goal", "found", "reached"}; ``found`` is a number, ``reached`` None where nothing was measured."""
    figures = {name: axis.figures for name, axis in axes.items()}
    lines = []
    for name, span in (("yaw", 30), ("pitch", 12)):
        item = figures[name]
        lines += [
            goal(f"{name} within ±{span}°: slope 0.9–1.1", item["slope"], 0.9 <= item["slope"] <= 1.1),
            goal(f"{name}: R² at least 0.97", item["r2"], item["r2"] >= 0.97),
            goal(f"{name}: median error at most 2°", item["median_error"], item["median_error"] <= 2),
        ]
    if "roll" in figures:
        lines += [goal("roll: error at most 1°", figures["roll"]["largest_error"], figures["roll"]["largest_error"] <= 1)]
        worst = max(figures[name]["largest_error"] for name in ("translation_x", "translation_y", "scale"))
        lines += [goal("translation and scale: error at most 1 %", worst, worst <= 0.01)]
    follow = [axis.figures for axis in axes.values() if axis.group == "expression" and axis.figures["r2"] >= FOLLOWS]
    lines.append(goal(f"expressions with R² at least {FOLLOWS}: {EXPRESSIONS}", len(follow), len(follow) >= EXPRESSIONS))
    far = sum(item["slope"] >= REACHES for item in follow)  # R² alone does not tell how far one follows
    lines.append(goal(f"of these with a slope of at least {REACHES}: {EXPRESSIONS}", far, far >= EXPRESSIONS))
    bands = [figures[f"light_band_{band}"]["r2"] for band in range(3)]
    coefficients = [value for band in range(3) for value in figures[f"light_band_{band}"]["coefficients_r2"]]
    lines.append(goal("light: mean R² of the nine at least 0.9", average(coefficients), np.mean(coefficients) >= 0.9))
    lines.append(goal("light: no band below 0.75", min(bands), min(bands) >= 0.75))
    return lines + leakage_goals(axes) + section_goals(sections)


def leakage_goals(axes: dict[str, Axis]) -> list[dict]:
    """Leakage as read, and in excess of the judge's own error where that is known."""
    measured = [axis.figures for axis in axes.values() if axis.leaks]
    lines = []
    for key, text in (("leakage", "leakage at most 10 %"), ("leakage_above_floor", "leakage above the judge's error at most 10 %")):
        values = [item[key] for item in measured if item.get(key) is not None]
        if values:
            lines.append(goal(text, average(values), np.mean(values) <= 0.1))
    return lines


def section_goals(sections: dict[str, dict]) -> list[dict]:
    lines = []
    if edits := sections.get("identity", {}).get("edits"):
        worst = min(item["normalized_identity"] for item in edits.values())
        lines.append(goal("identity: at least 90 % of the way to the same person", worst, worst >= 0.9))
    if found := sections.get("outside_face"):
        value = found["expression"]["hair_and_clothes"]
        lines.append(goal("outside the face under expression: PSNR at least 28 dB", value, value >= 28))
    if found := sections.get("stability"):
        lines.append(goal("a rig at rest: the same frame", found["still"], found["still"] == 0))
    return lines


def average(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def goal(text: str, found: float, reached: bool) -> dict:
    return {"goal": text, "found": found, "reached": bool(reached)}
