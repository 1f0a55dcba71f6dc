"""Small plots drawn with Pillow, enough for a README and a results page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

SIZE = (420, 320)
BOX = (56, 30, 408, 276)  # left, top, right, bottom of the axes
COLOURS = ("#1f6fb4", "#d8552b", "#2c9144", "#8553a9", "#8a5a44", "#d1659f", "#767676", "#a9a62a")


@dataclass(frozen=True, eq=False)
class Series:
    """Points (N, 2) with a name; drawn as a line, or as dots."""

    name: str
    points: np.ndarray
    dots: bool = False


@dataclass(frozen=True)
class Axes:
    """Maps values to pixels."""

    low: np.ndarray  # (2,)
    high: np.ndarray  # (2,)

    def pixels(self, points: np.ndarray) -> list[tuple[float, float]]:
        unit = (points - self.low) / (self.high - self.low)
        left, top, right, bottom = BOX
        return [(left + x * (right - left), bottom - y * (bottom - top)) for x, y in unit]


def line_plot(title: str, series: list[Series], x_label: str, y_label: str, diagonal: bool = False) -> Tensor:
    """A picture (3, H, W) 0–1 of the series; ``diagonal`` draws y = x."""
    everything = np.concatenate([item.points for item in series if len(item.points)] or [np.zeros((1, 2))])
    everything = everything[np.isfinite(everything).all(axis=1)]
    low, high = everything.min(axis=0), everything.max(axis=0)
    high = np.where(high - low < 1e-9, low + 1, high)
    axes = Axes(low, high)
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    draw_frame(draw, axes, title, x_label, y_label)
    if diagonal:
        ends = np.array([max(low), min(high)])
        draw.line(axes.pixels(np.stack((ends, ends), axis=1)), fill="#bbbbbb", width=1)
    for number, item in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        places = axes.pixels(item.points)
        if item.dots:
            for x, y in places:
                draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=colour)
        elif len(places) > 1:
            draw.line(places, fill=colour, width=2)
        if len(series) > 1:
            draw.text((BOX[0] + 6, BOX[1] + 4 + 12 * number), item.name, fill=colour)
    return as_tensor(image)


def draw_frame(draw: ImageDraw.ImageDraw, axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Box, ticks at five values of each axis, labels."""
    left, top, right, bottom = BOX
    draw.rectangle(BOX, outline="#444444")
    draw.text((left, 8), title, fill="black")
    draw.text(((left + right) / 2 - 3 * len(x_label), bottom + 24), x_label, fill="black")
    draw.text((4, top - 14), y_label, fill="black")
    for part in np.linspace(0, 1, 5):
        x_value, y_value = axes.low + part * (axes.high - axes.low)
        x, y = left + part * (right - left), bottom - part * (bottom - top)
        draw.line((x, bottom, x, bottom + 4), fill="#444444")
        draw.line((left - 4, y, left, y), fill="#444444")
        draw.text((x - 10, bottom + 6), f"{x_value:.3g}", fill="#444444")
        draw.text((4, y - 6), f"{y_value:.3g}", fill="#444444")


def heat_map(title: str, rows: list[str], columns: list[str], values: np.ndarray, most: float) -> Tensor:
    """A picture (3, H, W) 0–1 of values (A, B), white at 0 and dark red at ``most`` and above; nan is grey."""
    cell, left, top = 12, 112, 120
    image = Image.new("RGB", (left + cell * len(columns) + 12, top + cell * len(rows) + 12), "white")
    draw = ImageDraw.Draw(image)
    draw.text((8, 8), title, fill="black")
    for number, name in enumerate(columns):
        image.paste(upright(name), (left + cell * number, 28))
    for row, name in enumerate(rows):
        draw.text((8, top + cell * row), name[:17], fill="black")
        for column in range(len(columns)):
            x, y = left + cell * column, top + cell * row
            draw.rectangle((x, y, x + cell - 2, y + cell - 2), fill=shade(values[row, column], most))
    return as_tensor(image)


def shade(value: float, most: float) -> tuple[int, int, int]:
    """White to dark red."""
    if not np.isfinite(value):
        return (225, 225, 225)
    part = min(1.0, max(0.0, value / most))
    return (round(255 - 105 * part), round(255 - 235 * part), round(255 - 235 * part))


def upright(text: str) -> Image.Image:
    """A name written from bottom to top."""
    label = Image.new("RGB", (88, 12), "white")
    ImageDraw.Draw(label).text((0, 0), text[:15], fill="black")
    return label.rotate(90, expand=True)


def histogram(title: str, columns: dict[str, np.ndarray], label: str, bins: int = 40) -> Tensor:
    """A picture (3, H, W) 0–1: the share of the values (M,) of each name by where they lie."""
    everything = np.concatenate(list(columns.values()))
    edges = np.linspace(everything.min(), max(everything.max(), everything.min() + 1e-6), bins + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    series = [Series(name, np.stack((middles, np.histogram(values, edges)[0] / len(values)), axis=1))
              for name, values in columns.items()]  # fmt: skip
    return line_plot(title, series, label, "share")


def as_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255).permute(2, 0, 1)


def grid(pictures: list[Tensor], columns: int) -> Tensor:
    """Pictures (3, H, W) of one size, ``columns`` beside each other, the rest white."""
    blank = torch.ones_like(pictures[0])
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    return torch.cat([torch.cat([*row, *[blank] * (columns - len(row))], dim=2) for row in rows], dim=1)
