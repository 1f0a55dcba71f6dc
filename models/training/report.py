"""What a training shows of itself: log, sample sheets, results page."""

from __future__ import annotations

import html
import io
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.files import write_atomic
from models.generators import Generator, latents_from_seed


class Log:
    """A file of JSON lines, ended by each call; a half-written last line is dropped on reading."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, **values: Any) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def read(self) -> list[dict[str, Any]]:
        entries = []
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []:
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue
        return entries


def over_grey(pictures: Tensor) -> Tensor:
    """Premultiplied (N, 4, R, R) in [-1, 1] -> (N, 3, R, R) 0..1 over grey 0.5."""
    unit = (pictures * 0.5 + 0.5).clamp(0, 1)
    return (unit[:, :3] + (1 - unit[:, 3:]) * 0.5).clamp(0, 1)


def tile(pictures: Tensor, columns: int) -> Tensor:
    """(N, 3, R, R) -> one picture (3, rows * R, columns * R); missing places are black."""
    rows = -(-len(pictures) // columns)
    pictures = F.pad(pictures, (0, 0) * 3 + (0, rows * columns - len(pictures)))
    grid = pictures.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    return grid.reshape(3, rows * pictures.shape[2], -1)


def png(picture: Tensor) -> bytes:
    """(3, H, W) 0..1 -> the bytes of a PNG."""
    array = (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def sample_sheet(generator: Generator, truth: Tensor, z: Tensor, resolution: int) -> bytes:
    """Two rows of held-out truth over the same by the generator, then samples at psi 0.7 and 1.0."""
    columns = 8
    rows = [over_grey(truth)]
    with torch.no_grad():
        draw = lambda codes: over_grey(generator.synthesis.raw(codes, "const", resolution))
        rows.append(draw(generator.mapping(z)))
        for psi, seed in ((0.7, 1), (0.7, 2), (1.0, 3)):
            codes = latents_from_seed(seed, columns, generator.z_dim)
            rows.append(draw(generator.mapping(codes, truncation_psi=psi)))
    return png(tile(torch.cat(rows), columns))


def curve(values: list[float], width: int = 640, height: int = 160) -> str:
    """A line drawing of ``values`` as SVG."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = width / (len(values) - 1)
    points = " ".join(f"{i * step:.1f},{height - (v - low) / span * height:.1f}" for i, v in enumerate(values))
    return (f'<svg width="{width}" height="{height}"><polyline points="{points}" fill="none" '
            f'stroke="#27c" stroke-width="1.5"/></svg><p>{low:.4f} to {high:.4f}</p>')


def results_page(folder: Path, title: str, facts: dict[str, Any], log: Log, sheet: str) -> Path:
    """Write ``results.html`` with the facts, the losses and the last sheet."""
    entries = log.read()
    rows = "".join(f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(str(v))}</td></tr>" for k, v in facts.items())
    names = sorted({name for entry in entries for name in entry.get("losses", {})})
    plots = ""
    for name in names:
        values = [entry["losses"][name] for entry in entries if name in entry.get("losses", {})]
        plots += f"<h2>{html.escape(name)}</h2>{curve(values)}"
    page = (f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f"<style>body{{font:15px sans-serif;margin:2em}}td{{padding:2px 1em}}</style>"
            f'<h1>{html.escape(title)}</h1><table>{rows}</table><img src="{html.escape(sheet)}">{plots}')
    return write_atomic(folder / "results.html", page.encode())
