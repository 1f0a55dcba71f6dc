"""Plots for results pages, drawn by matplotlib: arrays (H, W, 3) uint8."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # it reads files when it is imported
    from matplotlib.axes import Axes

SIZE = (420, 320)  # pixels
DPI = 100
CELL, LABELS = 14, 150  # pixels of a heat map: side of a value, room for the names
FONT_SIZE = 8


@dataclass(frozen=True, eq=False)
class Series:
    """Points (N, 2) with a name; drawn as a line, or as dots."""

    name: str
    points: np.ndarray
    dots: bool = False


class Plot:
    """Axes to draw on, then ``image``."""

    def __init__(self, title: str, size: tuple[int, int]):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure((size[0] / DPI, size[1] / DPI), DPI, layout="constrained")
        self.canvas = FigureCanvasAgg(figure)
        self.axes: Axes = figure.add_subplot()
        self.axes.set_title(title)

    def image(self) -> np.ndarray:
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


@contextmanager
def new_plot(title: str, size: tuple[int, int] = SIZE) -> Iterator[Plot]:
    """A plot in this project's style."""
    from matplotlib import rc_context

    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1, "axes.grid": False}):
        yield Plot(title, size)


def line_plot(title: str, series: list[Series], x_label: str, y_label: str, diagonal: bool = False) -> np.ndarray:
    """The series over one another; ``diagonal`` draws y = x."""
    with new_plot(title) as plot:
        axes = plot.axes
        if diagonal:
            axes.axline((0, 0), slope=1, color="0.75", linewidth=1)
        for item in series:
            axes.plot(*item.points.T, "." if item.dots else "-", markersize=3, linewidth=1.5, label=item.name)
        axes.set(xlabel=x_label, ylabel=y_label)
        if len(series) > 1:
            axes.legend(frameon=False)
        return plot.image()


def heat_map(title: str, rows: list[str], columns: list[str], values: np.ndarray, maximum: float) -> np.ndarray:
    """Values (A, B), white at 0 and dark red at ``maximum`` and above; nan is grey."""
    size = (LABELS + CELL * len(columns), LABELS + CELL * len(rows))
    with new_plot(title, size) as plot:
        axes = plot.axes
        axes.set_facecolor("0.88")
        shown = axes.imshow(np.ma.masked_invalid(values), cmap="Reds", vmin=0, vmax=maximum, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        axes.set_yticks(range(len(rows)), rows)
        axes.figure.colorbar(shown, extend="max")
        return plot.image()


def histogram(title: str, columns: dict[str, np.ndarray], label: str, bins: int = 40) -> np.ndarray:
    """The share of the values (M,) of each name by where they lie."""
    edges = np.histogram_bin_edges(np.concatenate(list(columns.values())), bins)
    with new_plot(title) as plot:
        for name, values in columns.items():
            plot.axes.stairs(np.histogram(values, edges)[0] / len(values), edges, label=name)
        plot.axes.set(xlabel=label, ylabel="share")
        plot.axes.legend(frameon=False)
        return plot.image()
