"""The page that a training leaves: Markdown, with plots of its losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.evaluation.plots import Series, line_plot
from models.io.atomic_write import write_atomic
from models.io.images import image_grid, save_image
from models.training.core.log import TrainingLog

WHITE = (255, 255, 255)
COLUMNS = 3  # of plots


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """The lines of a Markdown table."""
    line = lambda cells: f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"
    return [line(header), "|---" * len(header) + "|", *map(line, rows)]


def loss_plots(log: TrainingLog) -> np.ndarray | None:
    """A plot of each loss and figure over the steps; None where there are not two points of any."""
    plots = [
        line_plot(name, [Series(name, np.array(points))], "step", "")
        for name, points in sorted(log.losses().items())
        if np.isfinite([value for _, value in points]).sum() > 1
    ]
    return image_grid(plots, min(COLUMNS, len(plots)), background=WHITE) if plots else None


def write_report(page: Path, title: str, text: Sequence[str], logs: dict[str, TrainingLog]) -> Path:
    """Write ``page``: the text, then what the losses of each training were; their plots lie beside it."""
    lines = [f"# {title}", "", *text, "", "## Losses", ""]
    for name, log in logs.items():
        if (plots := loss_plots(log)) is not None:
            save_image(page.with_name(f"loss-{name}.png"), plots)
            lines += [f"![{name}](loss-{name}.png)", ""]
    return write_atomic(page, "\n".join(lines).encode())
