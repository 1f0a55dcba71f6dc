"""``evaluate rig``: requested against achieved, judged by a network that took no part in training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.evaluation.control.run import Results

METHODS = ("paper", "simultaneous", "joint")
PLOT_COLUMNS = 6
WHITE = (255, 255, 255)
MOST_LEAKAGE = 0.5  # where the matrix is darkest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--rig", type=Path, help="folder of a trained rig (default: the one that ships)")
    parser.add_argument("--judge", type=Path, help="network that judges (default: the one beside the rig)")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--plots", type=Path, help="folder for plots: each axis, the leakage matrix, what is covered")
    parser.add_argument("--portraits", type=int, default=12, help="how many people are judged")
    parser.add_argument("--truncation", type=float, default=0.7)
    parser.add_argument("--method", choices=METHODS, help="another way to edit than the one that ships")
    parser.add_argument("--axes-only", action="store_true", help="leave out identity, stability and all that is no axis")
    parser.add_argument(
        "--upper-bound",
        "--ceiling",
        dest="upper_bound",
        action="store_true",
        help="measure the generator itself: the numbers of the scene in z are changed, no rig (for generators that the studio taught)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, help="processor threads")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write JSON and plots, print a table."""
    import torch

    from models.devices import choose_device
    from models.evaluation.control import SECTIONS, evaluate, load_judge
    from models.evaluation.control.upper_bound import measure_upper_bound
    from models.io.atomic_write import write_atomic
    from models.rigging import Rig
    from models.rigging.rig import JUDGED

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rig = Rig.load(arguments.rig, choose_device(arguments.device), name=None if arguments.rig else JUDGED)
    judge = load_judge(arguments.rig, arguments.judge, rig)
    report = lambda line: print(line, flush=True)
    if arguments.upper_bound:
        results = measure_upper_bound(rig, judge, arguments.portraits, report)
    else:
        sections = () if arguments.axes_only else SECTIONS
        results = evaluate(rig, judge, arguments.portraits, arguments.truncation, arguments.method, report, sections)
    write_atomic(arguments.json, (json.dumps(results.figures(), indent=1) + "\n").encode())
    if arguments.plots:
        write_plots(arguments.plots, results)
    report(table(results))
    return 0


def write_plots(folder: Path, results: Results) -> None:
    """Requested against achieved for each axis and on one sheet, the leakage matrix, the distribution of parameters."""
    import numpy as np

    from models.evaluation.plots import Series, heat_map, histogram, line_plot
    from models.io.images import image_grid, save_image

    plots = []
    for name, axis in results.axes.items():
        dots = np.stack((axis.requested.ravel(), axis.achieved.ravel()), axis=1)
        series = [Series("portraits", dots, dots=True)]
        if axis.group != "light" or name == "light_direction":
            series.append(Series("median", np.stack((axis.requested[0], np.median(axis.achieved, axis=0)), axis=1)))
        plots.append(line_plot(name, series, "requested", "achieved", diagonal=True))
        save_image(folder / f"{name}.png", plots[-1])
    save_image(folder / "all-axes.png", image_grid(plots, PLOT_COLUMNS, background=WHITE))
    rows, columns, matrix = results.leakage_matrix()
    if rows:
        save_image(folder / "leakage.png", heat_map("leakage: row requested, column read", rows, columns, matrix, MOST_LEAKAGE))
    if results.covered:
        names = [
            name for name in next(iter(results.covered.values())) if name in ("yaw", "pitch", "light_level", "light_azimuth", *results.axes)
        ]
        each = [histogram(name, {f"psi {psi}": values[name] for psi, values in results.covered.items()}, name) for name in names]
        save_image(folder / "covered.png", image_grid(each, PLOT_COLUMNS, background=WHITE))


def table(results: Results) -> str:
    """The figures as Markdown tables."""
    lines = ["| axis | slope | R² | median error | range | leakage | judge's own |", "|---|---|---|---|---|---|---|"]
    for name, axis in results.axes.items():
        item = axis.figures
        span = "–" if item["range"] is None else f"{item['range'][0]:g} … {item['range'][1]:g}"
        floor = item.get("leakage_floor")
        lines.append(f"| {name} | {item['slope']:.2f} | {item['r2']:.2f} | {item['median_error']:.3g} | {span} | "
                     f"{item['leakage']:.2f} | {'–' if floor is None else f'{floor:.2f}'} |")  # fmt: skip
    if goals := results.sections.get("goals"):
        lines += ["", "| goal | found | reached |", "|---|---|---|"]
        lines += [f"| {item['goal']} | {item['found']:g} | {'yes' if item['reached'] else 'no'} |" for item in goals]
    return "\n".join(lines)
