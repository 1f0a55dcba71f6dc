"""``evaluate rig``: requested against achieved, judged by a network that took no part in training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

PLOTTED = ("yaw", "pitch", "jawOpen", "mouthSmile_L", "light_direction")
METHODS = ("paper", "simultaneous", "gated")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--rig", type=Path, help="folder of a trained rig (default: the one that ships)")
    parser.add_argument("--judge", type=Path, help="network that judges (default: the one beside the rig)")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--plots", type=Path, help="folder for plots of requested against achieved")
    parser.add_argument("--portraits", type=int, default=12, help="how many people are judged")
    parser.add_argument("--truncation", type=float, default=0.7)
    parser.add_argument("--method", choices=METHODS, help="another way to edit than the one that ships")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write JSON and plots, print a table."""
    from models.files import write_atomic
    from models.stylerig import Rig
    from models.stylerig.evaluation import evaluate, load_judge

    rig = Rig.load(arguments.rig)
    judge = load_judge(arguments.rig, arguments.judge, rig)
    report = lambda line: print(line, flush=True)
    axes = evaluate(rig, judge, arguments.portraits, arguments.truncation, arguments.method, report)
    figures = {name: axis.figures for name, axis in axes.items()}
    write_atomic(arguments.json, (json.dumps(figures, indent=1) + "\n").encode())
    if arguments.plots:
        write_plots(arguments.plots, axes)
    report(table(figures))
    return 0


def write_plots(folder: Path, axes: dict) -> None:
    """A plot for each axis that people look at first."""
    import numpy as np

    from models.metrics.plots import Series, line_plot
    from models.stylerig.training.results import save_image

    for name in PLOTTED:
        if name not in axes:
            continue
        requested, achieved = axes[name].requested, axes[name].achieved
        dots = np.stack((requested.ravel(), achieved.ravel()), axis=1)
        middle = np.stack((requested[0], np.median(achieved, axis=0)), axis=1)
        series = [Series("portraits", dots, dots=True), Series("median", middle)]
        save_image(folder / f"{name}.png", line_plot(name, series, "requested", "achieved", diagonal=True))


def table(figures: dict) -> str:
    """The figures as a Markdown table."""
    lines = ["| axis | slope | R² | median error | range | leakage |", "|---|---|---|---|---|---|"]
    for name, item in figures.items():
        span = "–" if item["range"] is None else f"{item['range'][0]:g} … {item['range'][1]:g}"
        lines.append(
            f"| {name} | {item['slope']:.2f} | {item['r2']:.2f} | {item['median_error']:.2f} | {span} | {item['leakage']:.2f} |"
        )
    return "\n".join(lines)
