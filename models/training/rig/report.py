"""The page that a rig's training leaves: figures, loss curves, and images; and a card beside each network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.colour import linear_to_srgb
from models.face.alignment import align, project_landmarks
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.io.atomic_write import write_atomic
from models.io.images import image_grid, save_image
from models.rigging.rignet import RigNets
from models.training.core.log import TrainingLog
from models.training.core.report import table, write_report
from models.training.rig.reconstruction import held_out
from models.training.rig.rignet_data import RigNetData

PEOPLE = 6
CARDS = {
    "reconstruction": "w -> rig parameters p: three-layer MLP with ELU, trained on samples of the generator through "
    "the rasteriser (photometric, landmarks, prior) and by what the landmark network regresses.",
    "rignet": "(w, wanted p) -> edited w: the published networks (paper, simultaneous), trained by rerendering "
    "losses, and ours (joint), trained on parameters and finished through the generator's images.",
    "judge": "Image -> landmarks and rig parameters, to evaluate the rig: trained on rendered portraits that "
    "no other network of the rig has seen.",
}
LIMITS = {  # card -> what its network is not for, where that is not what the others say
    "judge": "- Made for reading renderings. On photographs of real people only its landmarks are used, of persons who agreed to a "
    "portrait; it never saw one in training. Not meant for telling who somebody is, how old they are, or anything else about them",
}


@torch.no_grad()
def write_results(page: Path, data: RigNetData, nets: RigNets, measured: dict[str, Any], minutes: float) -> Path:
    """Write ``page`` with its images beside it."""
    rows = held_out(data.pool)[:PEOPLE]
    save_image(page.with_name("overlay.png"), overlay_sheet(data, rows))
    save_image(page.with_name("edits.png"), edit_sheet(data, nets, rows))
    text = [
        f"{minutes:.1f} minutes in this run, {len(data.pool)} samples of the generator.", "",
        "## Reconstruction", "", "Sample, rerendering over it, landmarks: detected in the image green, of the reconstruction red.", "",
        "![overlay](overlay.png)", "", f"`{json.dumps(measured['reconstruction'])}`", "",
        "## RigNet", "", f"Error in images of samples held out, by method; `{nets.method}` is used.", "",
        *table(("method", "error"), [(name, f"{error:.3f}") for name, error in measured["rignet"].items()]), "",
        "Own, yaw -25° and +25°, jawOpen or the first expression at 1, light from the left and right:", "", "![edits](edits.png)",
    ]  # fmt: skip
    return write_report(page, "Rig training", text, stage_logs(page.parent))


def stage_logs(folder: Path) -> dict[str, TrainingLog]:
    """Stage -> its log."""
    return {path.parent.name: TrainingLog(path) for path in sorted(folder.glob("*/log.jsonl"))}


def write_cards(folder: Path, name: str, generator_hash: str, measured: dict[str, Any], samples: int) -> None:
    """A model card beside each network."""
    minutes = {stage: round(last_seconds(log) / 60, 1) for stage, log in stage_logs(folder).items()}
    for part, text in CARDS.items():
        if not (folder / f"{name}-{part}.safetensors").is_file():
            continue
        lines = [f"# {name}-{part}", "", text, "", f"- For the generator {generator_hash[:16]}, {samples} samples of it"]
        lines += ["- Data: portraits of people that do not exist, made by this project (`python -m models.synthetic`)"]
        lines += [f"- Made by: `python -m backend train rig`, minutes by stage: {json.dumps(minutes)}"]
        lines += [f"- Measured on held-out samples: {json.dumps(measured.get(part, {}))}"]
        lines += [LIMITS.get(part, "- Not meant for reading or editing pictures of real people"), "- License: GPL-3.0-or-later", ""]
        write_atomic(folder / f"{name}-{part}.md", "\n".join(lines).encode())


def last_seconds(log: TrainingLog) -> float:
    """How long a stage had taken at its last line."""
    return max((entry.get("seconds", 0.0) for entry in log.read()), default=0.0)


def overlay_sheet(data: RigNetData, rows: Tensor) -> np.ndarray:
    """Three rows of images: samples, rerendering, landmarks. (H, W, 3) uint8"""
    images = data.portraits(data.pool.w[rows])[0]
    size = images.shape[-1]
    parameters = data.parameters[rows]
    drawn = render(data.face.proxy or data.face, parameters, size, outputs=("colour", "face_mask"))
    mask = drawn["face_mask"].permute(0, 3, 1, 2)
    over = images * (1 - mask) + linear_to_srgb(drawn["colour"]).permute(0, 3, 1, 2) * mask
    marked = images.clone()
    found = project_landmarks(data.face, parameters)[..., :2]
    for points, colour in ((data.pool.landmarks[rows], (0, 1, 0)), (found, (1, 0, 0))):
        mark(marked, points, colour)
    return image_grid(torch.cat((images, over, marked)), len(rows))


def mark(images: Tensor, points: Tensor, colour: tuple[float, float, float]) -> None:
    """Put a dot at NDC points (N, M, 2) of images (N, 3, H, W), in place."""
    size = images.shape[-1]
    columns = ((points[..., 0] + 1) / 2 * size).long().clamp(0, size - 1)
    rows = ((1 - points[..., 1]) / 2 * size).long().clamp(0, size - 1)
    for number in range(len(images)):
        images[number, :, rows[number], columns[number]] = images.new_tensor(colour)[:, None]


def edit_sheet(data: RigNetData, nets: RigNets, rows: Tensor) -> np.ndarray:
    """A column for each person, a row for each edit. (H, W, 3) uint8"""
    own, w = data.parameters[rows], data.pool.w[rows]
    lines = [data.portraits(w)[0]]
    for target in example_edits(data, own):
        edited = nets(w, own, target, data.reconstruction, data.face)
        lines.append(data.portraits(edited)[0])
    return image_grid(torch.cat(lines), len(rows))


def example_edits(data: RigNetData, own: RigParameters) -> list[RigParameters]:
    """Yaw, an expression and light, aligned."""
    edits = []
    for degrees in (-25, 25):
        rotation = own.rotation.clone()
        rotation[:, 0] = np.radians(degrees)
        edits.append(own.replace(rotation=rotation))
    expression, names = own.expression.clone(), data.face.expression_names
    expression[:, names.index("jawOpen") if "jawOpen" in names else 0] = 1.0
    edits.append(own.replace(expression=expression))
    for side in (-1.0, 1.0):
        light = own.light.clone()
        light[:, 3] = side * light[:, 0] * 0.6
        edits.append(own.replace(light=light))
    return [align(data.face, edit) for edit in edits]
