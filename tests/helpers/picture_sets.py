"""Small picture sets in the studio's format, drawn from their latents. Imported by tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from models.face import load_face_model
from models.synthetic.classes import CLASSES
from models.synthetic.makeovers import MAKEOVERS, PICTURES, makeovers
from models.synthetic.person import latent_of, latent_size

LATENTS, PARAMETERS = 12, 9
LAYOUT = {"pose": [0, 2], "identity": [2, 4], "looks": [4, 12]}
PARTS = {"identity": [0, 3], "expression": [3, 6], "rotation": [6, 9]}


def ellipse(latent: np.ndarray, size: int) -> np.ndarray:
    """A coloured ellipse and a dark mark on it, set by the latent: premultiplied uint8 (R, R, 4)."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    shift, radii = 0.15 * latent[0:2], 0.55 * np.exp(0.15 * latent[2:4])
    reach = np.hypot((x - shift[0]) / radii[0], (y - shift[1]) / radii[1])
    alpha = np.clip((1 - reach) * 5, 0, 1)[..., None]
    colour = 1 / (1 + np.exp(-latent[4:7]))
    mark = np.clip(1 - np.hypot(x - shift[0], y - 0.3) * 4, 0, 1)[..., None]
    picture = np.concatenate((colour * (1 - mark) * alpha, alpha), axis=2)
    return (picture * 255).astype(np.uint8)


def landmarks(latent: np.ndarray) -> np.ndarray:
    """68 points on the ellipse, NDC y up."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    shift, radii = 0.15 * latent[0:2], 0.55 * np.exp(0.15 * latent[2:4])
    return np.stack((shift[0] + radii[0] * np.cos(angle), -shift[1] + radii[1] * np.sin(angle)), 1).astype(np.float32)


def paths(folder: Path, number: int) -> tuple[Path, Path]:
    stem = folder / f"{number // 1000:05d}" / f"{number:06d}"
    return stem.with_suffix(".png"), stem.with_suffix(".npz")


def write_set(folder: Path, numbers: range, size: int = 16, count: int = 0) -> Path:
    """Write the pictures of ``numbers`` and an index that promises ``count`` (default: so many as there are)."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {"format": 2, "size": size, "seed": 0, "count": count or numbers.stop, "latents": LATENTS, "layout": LAYOUT,
             "parameters": PARTS, "expression_names": ["a", "b", "c"]}  # fmt: skip
    (folder / "index.json").write_text(json.dumps(index))
    for number in numbers:
        latent = np.random.default_rng(number).standard_normal(LATENTS).astype(np.float32)
        picture, truth = paths(folder, number)
        picture.parent.mkdir(exist_ok=True)
        parameters = latent[:PARAMETERS] * 0.5
        np.savez(truth, latent=latent, parameters=parameters, landmarks=landmarks(latent),
                 mask=np.zeros((size, size), np.uint8))  # fmt: skip
        Image.fromarray(ellipse(latent, size), "RGBA").save(picture)
    return folder


def write_people(folder: Path, people: int, size: int) -> Path:
    """Pictures whose latents are those of people of the studio's, one each; their upper quarter is said to be hair."""
    face = load_face_model("head-2")
    index = {"format": 2, "size": size, "seed": 0, "count": people, "latents": latent_size(face), "layout": {}, "parameters": {}}
    (folder / "index.json").write_text(json.dumps(index))
    classes = np.zeros((size, size), np.uint8)
    classes[: size // 4] = CLASSES.index("hair")
    for number in range(people):
        latent = latent_of(1, number, face).numpy()
        picture, truth = paths(folder, number)
        picture.parent.mkdir(exist_ok=True)
        np.savez(truth, latent=latent, classes=classes)
        Image.fromarray(ellipse(latent[:12], size), "RGBA").save(picture)
    return folder


def write_makeovers(folder: Path, people: int, size: int) -> Path:
    """Makeovers without their renderings: ellipses of each person's latents, each a little brighter than the one before."""
    face = load_face_model("head-2")
    index = {"format": 2, "size": size, "seed": 0, "count": PICTURES * people, "shots": PICTURES, "latents": latent_size(face),
             "layout": {}, "parameters": {}, MAKEOVERS.name: list(MAKEOVERS.kinds)}  # fmt: skip
    (folder / "index.json").write_text(json.dumps(index))
    for person in range(people):
        who = makeovers(latent_of(1, person, face), np.random.default_rng(person), face)
        for shot, (latent, _) in enumerate(who):
            picture, truth = paths(folder, PICTURES * person + shot)
            picture.parent.mkdir(exist_ok=True)
            np.savez(truth, latent=latent.numpy())
            pixels = ellipse(latent.numpy()[:12], size)
            pixels[: size // 2, :, :3] = np.minimum(pixels[: size // 2, :, :3] // (4 - shot), pixels[: size // 2, :, 3:])
            Image.fromarray(pixels, "RGBA").save(picture)
    return folder
