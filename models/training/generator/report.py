"""What a training shows of itself: log, sample sheets, results page."""

from __future__ import annotations

import html
import io
import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.errors import StyleRigError
from models.generators import Generator, latents_from_seed
from models.io.atomic_write import write_atomic

COLUMNS = 8  # of a sample sheet
SHEET_TEXT = "Held-out pictures, the same by the generator (where latents determine them), samples at psi 0.7, 0.7 and 1.0."
PLOT = (640, 200)  # pixels
MARGIN = 56  # for the numbers beside a plot


class Log:
    """A file of JSON lines, ended by each call; a half-written last line is dropped on reading."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, **values: Any) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        except OSError as error:
            raise StyleRigError(
                f"Cannot write {self.path}: {error.strerror or error}.",
                "Make room on the disk and run the same command again: the last checkpoint is kept.",
                code="cannot_write",
            ) from error

    def forget_after(self, images: int) -> None:
        """Drop what was written after the checkpoint that a training continues from."""
        kept = [json.dumps(entry) + "\n" for entry in self.read() if entry.get("images", 0) <= images]
        if self.path.is_file():
            write_atomic(self.path, "".join(kept).encode())

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


def encode(picture: Tensor, kind: str = "PNG") -> bytes:
    """(3, H, W) 0..1 -> the bytes of a PNG or JPEG."""
    array = (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return stream.getvalue()


@torch.no_grad()
def sample_sheet(generator: Generator, truth: Tensor, z: Tensor | None, resolution: int) -> Tensor:
    """A row of held-out truth over the same by the generator (where ``z`` determines them), then
    samples at psi 0.7 (two rows) and 1.0: (3, H, W) 0..1."""
    device = generator.w_avg.device
    draw = lambda codes: over_grey(generator.synthesis.raw(codes, "const", resolution)).cpu()
    rows = [over_grey(truth).cpu()]
    if z is not None:
        rows.append(draw(generator.mapping(z)))
    for psi, seed in ((0.7, 1), (0.7, 2), (1.0, 3)):
        codes = latents_from_seed(seed, COLUMNS, generator.z_dim).to(device)
        rows.append(draw(generator.mapping(codes, truncation_psi=psi)))
    return tile(torch.cat(rows), COLUMNS)


def curve(points: list[tuple[float, float]]) -> str:
    """A line drawing of (pictures seen, value) as SVG, with the ends of both axes written on."""
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if len(points) < 2:
        return ""
    width, height = PLOT
    (left, right), (low, high) = ((min(v), max(v)) for v in zip(*points, strict=True))
    x_scale, y_scale = (width - MARGIN) / ((right - left) or 1.0), (height - 30) / ((high - low) or 1.0)
    line = " ".join(f"{MARGIN + (x - left) * x_scale:.1f},{10 + (high - y) * y_scale:.1f}" for x, y in points)
    label = '<text x="{}" y="{}" font-size="11" fill="#555">{}</text>'
    labels = [label.format(2, 16, f"{high:.4g}"), label.format(2, height - 20, f"{low:.4g}"),
              label.format(MARGIN, height - 4, f"{left:.0f}"),
              label.format(width - 130, height - 4, f"{right:.0f} pictures seen")]  # fmt: skip
    return (
        f'<svg width="{width}" height="{height}"><rect x="{MARGIN}" y="10" width="{width - MARGIN}" '
        f'height="{height - 30}" fill="none" stroke="#ccc"/><polyline points="{line}" fill="none" '
        f'stroke="#27c" stroke-width="1.5"/>{"".join(labels)}</svg>'
    )


def results_page(folder: Path, title: str, facts: dict[str, Any], log: Log) -> Path:
    """Write ``results.html``: the facts, the last sheet, the losses, and the sheets on the way."""
    entries = log.read()
    rows = "".join(f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(str(v))}</td></tr>" for k, v in facts.items())
    names = sorted({name for entry in entries for name in entry.get("losses", {})})
    plots = ""
    for name in names:
        points = [(entry["images"], entry["losses"][name]) for entry in entries if name in entry.get("losses", {})]
        plots += f"<h3>{html.escape(name)}</h3>{curve(points)}"
    sheets = "".join(
        f'<figure><img src="sheets/{path.name}" loading="lazy"><figcaption>{int(path.stem)} pictures seen</figcaption></figure>'
        for path in sorted((folder / "sheets").glob("*.jpg"))
    )
    page = (
        f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>body{{font:15px sans-serif;margin:2em}}td{{padding:2px 1em}}img{{max-width:100%}}</style>"
        f'<h1>{html.escape(title)}</h1><table>{rows}</table><p>{SHEET_TEXT}</p><img src="sheet.png">'
        f"<h2>Losses</h2>{plots}<h2>On the way</h2>{sheets}"
    )
    return write_atomic(folder / "results.html", page.encode())
