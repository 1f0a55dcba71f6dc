"""The page that a training run leaves: figures, loss curves, and pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.colour import linear_to_srgb
from models.evaluation.plots import Series, line_plot
from models.face.alignment import align, project_landmarks
from models.face.rasterizer import render
from models.io.atomic_write import write_atomic
from models.rigging.frame_renderer import BACKDROP
from models.rigging.rignet import RigNets
from models.training.rig.losses import rows_of
from models.training.rig.reconstruction import held_out
from models.training.rig.rignet import Studio

PEOPLE = 6


@torch.no_grad()
def write_results(folder: Path, studio: Studio, nets: RigNets, measured: dict, minutes: float) -> Path:
    """Write results.md with its pictures into ``folder``; returns its path."""
    rows = held_out(studio.pool)[:PEOPLE]
    save_image(folder / "overlay.png", overlay_sheet(studio, rows))
    save_image(folder / "edits.png", edit_sheet(studio, nets, rows))
    lines = ["# Rig training", "", f"{minutes:.1f} minutes in this run, {len(studio.pool)} samples of the generator.", ""]
    lines += ["## Reconstruction", "", "Sample, rerendering over it, landmarks: of the picture green, of the reconstruction red."]
    lines += ["", "![overlay](overlay.png)", "", f"`{json.dumps(measured['reconstruction'])}`", ""]
    lines += ["## RigNet", "", f"Error in pictures of samples held out, by method; `{nets.method}` is used.", ""]
    lines += ["| method | error |", "|---|---|"]
    lines += [f"| {name} | {error:.3f} |" for name, error in measured["rignet"].items()]
    lines += ["", "Own, yaw -25° and +25°, jawOpen or the first expression at 1, light from the left and right:", ""]
    lines += ["![edits](edits.png)", "", "## Losses", ""]
    for log in sorted(folder.glob("*.jsonl")):
        picture = f"loss-{log.stem}.png"
        save_image(folder / picture, loss_plot(log))
        lines.append(f"![{log.stem}]({picture})")
    return write_atomic(folder / "results.md", ("\n".join(lines) + "\n").encode())


def write_cards(folder: Path, name: str, generator_hash: str, measured: dict, samples: int) -> None:
    """A model card beside each network."""
    networks = {
        "reconstruction": "w -> rig parameters p: three-layer MLP with ELU, trained on samples of the generator through "
        "the rasteriser (photometric, landmarks, prior) and by what the landmark network reads.",
        "rignet": "(w, wanted p) -> edited w: the published networks (paper, simultaneous), trained by rerendering "
        "losses, and ours (joint), trained on parameters and finished through the generator's pictures.",
        "judge": "Picture -> landmarks and rig parameters, to evaluate the rig: trained on rendered portraits that "
        "no other network of the rig has seen.",
    }
    spent = {log.stem: round(last_seconds(log) / 60, 1) for log in sorted(folder.glob("*.jsonl"))}
    for part, text in networks.items():
        if not (folder / f"{name}-{part}.safetensors").is_file():
            continue
        lines = [f"# {name}-{part}", "", text, "", f"- For the generator {generator_hash[:16]}, {samples} samples of it"]
        lines += ["- Data: portraits of people that do not exist, made by this project (`python -m models.synthetic`)"]
        lines += [f"- Made by: `python -m backend train rig`, minutes by stage: {json.dumps(spent)}"]
        lines += [f"- Measured on held-out samples: {json.dumps(measured.get(part, {}))}"]
        lines += ["- Not meant for reading or editing pictures of real people", "- License: GPL-3.0-or-later", ""]
        write_atomic(folder / f"{name}-{part}.md", "\n".join(lines).encode())


def last_seconds(log: Path) -> float:
    """How long a stage had taken at its last line."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return json.loads(lines[-1])["seconds"] if lines else 0.0


def portraits(studio: Studio, w: Tensor) -> Tensor:
    """Pictures (N, 3, R, R) over the backdrop."""
    colour, alpha = studio.generator.foreground(w)
    return colour + (1 - alpha) * BACKDROP


def overlay_sheet(studio: Studio, rows: Tensor) -> Tensor:
    """Three rows of pictures: samples, rerendering, landmarks. (3, H, W)"""
    images = portraits(studio, studio.pool.w[rows])
    size = images.shape[-1]
    parameters = rows_of(studio.parameters, rows)
    drawn = render(studio.face.proxy or studio.face, parameters, size, outputs=("colour", "face_mask"))
    mask = drawn["face_mask"].permute(0, 3, 1, 2)
    over = images * (1 - mask) + linear_to_srgb(drawn["colour"]).permute(0, 3, 1, 2) * mask
    marked = images.clone()
    found = project_landmarks(studio.face, parameters)[..., :2]
    for points, colour in ((studio.pool.landmarks[rows], (0, 1, 0)), (found, (1, 0, 0))):
        mark(marked, points, colour)
    return sheet([images, over, marked])


def mark(images: Tensor, points: Tensor, colour: tuple[float, float, float]) -> None:
    """Put a dot at NDC points (N, M, 2) of pictures (N, 3, H, W), in place."""
    size = images.shape[-1]
    columns = ((points[..., 0] + 1) / 2 * size).long().clamp(0, size - 1)
    rows = ((1 - points[..., 1]) / 2 * size).long().clamp(0, size - 1)
    for number in range(len(images)):
        images[number, :, rows[number], columns[number]] = images.new_tensor(colour)[:, None]


def edit_sheet(studio: Studio, nets: RigNets, rows: Tensor) -> Tensor:
    """A column for each person, a row for each edit. (3, H, W)"""
    own, w = rows_of(studio.parameters, rows), studio.pool.w[rows]
    lines = [portraits(studio, w)]
    for wanted in example_edits(studio, own):
        edited = nets(w, own, wanted, studio.reconstruction, studio.face)
        lines.append(portraits(studio, edited))
    return sheet(lines)


def example_edits(studio: Studio, own) -> list:
    """Yaw, an expression and light, aligned."""
    wishes = []
    for degrees in (-25, 25):
        rotation = own.rotation.clone()
        rotation[:, 0] = np.radians(degrees)
        wishes.append(own.replace(rotation=rotation))
    expression, names = own.expression.clone(), studio.face.expression_names
    expression[:, names.index("jawOpen") if "jawOpen" in names else 0] = 1.0
    wishes.append(own.replace(expression=expression))
    for side in (-1.0, 1.0):
        light = own.light.clone()
        light[:, 3] = side * light[:, 0] * 0.6
        wishes.append(own.replace(light=light))
    return [align(studio.face, wish) for wish in wishes]


def loss_plot(log: Path) -> Tensor:
    """The terms of a stage over its steps."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    names = sorted({name for entry in entries for name in entry} - {"stage", "step", "seconds"})
    series = []
    for name in names:
        points = [(entry["step"], entry[name]) for entry in entries if name in entry]
        series.append(Series(name, np.array(points, dtype=float)))
    return line_plot(log.stem, series, "step", "term")


def sheet(lines: list[Tensor]) -> Tensor:
    """Rows of pictures (N, 3, H, W) as one (3, H', W')."""
    return torch.cat([torch.cat(list(line), dim=2) for line in lines], dim=1)


def save_image(path: Path, image: Tensor) -> None:
    """(3, H, W) 0–1 -> PNG."""
    array = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())
