"""Draws the sheets of docs/images/synthetic: ages, lights, lenses, hair over three backgrounds, every expression alone.

    .venv/bin/python -m docs.pictures.synthetic [ages lights lenses yaws hair expressions] [--seed N] [--size 256]

Each takes people of the set ``--seed`` by number, unselected, and changes one thing. ``people`` needs a set that was
photographed (``--set DATA``) and shows its first 24 people, as does ``makeovers`` (``--makeovers DATA``).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from models.face import load_face_model
from models.io.images import image_grid, save_image
from models.synthetic import dataset
from models.synthetic.blender.process import default_python
from models.synthetic.dataset import HEAD, over
from models.synthetic.expressions import gaze_weights, other_side
from models.synthetic.light import SHARES, draw_light
from models.synthetic.message import Assets, prepare
from models.synthetic.person import NUMBERS, latent_of, layout, number_of_age, person_from_latent
from models.synthetic.photographer import Job, Photographer, person_jobs
from models.synthetic.shot import Shot
from models.synthetic.tonemap import develop

OUTPUT = Path(__file__).resolve().parents[1] / "images" / "synthetic"
AGES = (18, 30, 42, 55, 68, 80)
DISTANCES = (40.0, 70.0, 120.0, 250.0, 600.0)
YAWS = (-75, -50, -25, 0, 25, 50, 75)
GREY = (92, 92, 92)
BACKGROUNDS = ((255, 255, 255), (0, 0, 0), (20, 60, 190))


def plain_shot(assets: Assets, tone: float, number: int = 0) -> Shot:
    """A neutral face that looks into the camera from 1.2 m, in a soft studio light."""
    weights = np.zeros(len(assets.face.expression_names))
    return Shot(weights, np.zeros(3), np.zeros(3), 120.0, draw_light(np.random.default_rng(3 + number), tone, "studio"))


def turned(shot: Shot, assets: Assets, yaw: float, pitch: float = 0.0) -> Shot:
    """The same with the head turned, degrees, and the eyes on the camera."""
    rotation = np.radians([yaw, pitch, 0.0])
    return replace(with_expression(shot, assets, gaze_weights(-rotation[0], rotation[1])), rotation=rotation, body=0.4 * rotation)


def with_expression(shot: Shot, assets: Assets, weights: dict[str, float]) -> Shot:
    """The same with these expressions."""
    values = shot.expression.copy()
    for name, weight in weights.items():
        values[assets.face.expression_names.index(name)] = weight
    return replace(shot, expression=values)


def with_number(latent: torch.Tensor, assets: Assets, name: str, value: float) -> torch.Tensor:
    """The latent (P,) of the same person with another of the ``NUMBERS``."""
    changed = latent.clone()
    changed[layout(assets.face)["looks"].start + NUMBERS.index(name)] = value
    return changed


def jobs_of(assets: Assets, size: int, latent: torch.Tensor, shots: Callable) -> Iterator[Job]:
    """The pictures of one person; ``shots(person)`` gives them."""
    person = person_from_latent(latent, assets.face)
    return person_jobs(assets, latent, person, list(enumerate(shots(person))), size)


def ages(assets: Assets, seed: int, size: int) -> Iterator[Job]:
    """Six persons at 18 to 80."""
    for number in range(6):
        for years in AGES:
            latent = with_number(latent_of(seed, number, assets.face), assets, "age", number_of_age(years))
            yield from jobs_of(assets, size, latent, lambda person: [plain_shot(assets, float(person.reflectance[0]))])


def lights(assets: Assets, seed: int, size: int) -> Iterator[Job]:
    """Four persons under eight lights."""
    kinds = [*SHARES, "studio"]
    for number in range(4):
        lit = lambda person: [
            replace(
                turned(plain_shot(assets, 0.0), assets, 15),
                light=draw_light(np.random.default_rng(place), float(person.reflectance[0]), kind),
            )
            for place, kind in enumerate(kinds)
        ]
        yield from jobs_of(assets, size, latent_of(seed, number, assets.face), lit)


def lenses(assets: Assets, seed: int, size: int) -> Iterator[Job]:
    """Three persons from five distances."""
    for number in range(3):
        seen = lambda person: [replace(turned(plain_shot(assets, float(person.reflectance[0])), assets, 20), distance=d) for d in DISTANCES]
        yield from jobs_of(assets, size, latent_of(seed, number, assets.face), seen)


def yaws(assets: Assets, seed: int, size: int) -> Iterator[Job]:
    """Six persons from one profile to the other."""
    for number in range(6):
        views = lambda person: [turned(plain_shot(assets, float(person.reflectance[0])), assets, yaw) for yaw in YAWS]
        yield from jobs_of(assets, size, latent_of(seed, number, assets.face), views)


def hair(assets: Assets, seed: int, size: int) -> Iterator[Job]:
    """Nine persons, each for three backgrounds."""
    for number in range(9):
        yield from jobs_of(
            assets,
            size,
            latent_of(seed, number, assets.face),
            lambda person: [turned(plain_shot(assets, float(person.reflectance[0])), assets, 20)],
        )


def expressions(assets: Assets, seed: int, size: int) -> Iterator[Job]:
    """One person with every expression alone, both sides at once."""
    names = [name for name in assets.face.expression_names if not name.endswith("_R") and not name.startswith("eyeLook")]
    shown = lambda person: [
        with_expression(
            plain_shot(assets, float(person.reflectance[0])),
            assets,
            {name: 1.0, other_side(name): 1.0} | ({"jawOpen": 1.0} if name == "mouthClose" else {}),
        )
        for name in names
    ]
    yield from jobs_of(assets, size, latent_of(seed, 5, assets.face), shown)


SHEETS = {"ages": (ages, len(AGES)), "lights": (lights, 8), "lenses": (lenses, len(DISTANCES)), "yaws": (yaws, len(YAWS)), "hair": (hair, 3),
          "expressions": (expressions, 8)}  # fmt: skip


def sheet(name: str, assets: Assets, seed: int, size: int) -> np.ndarray:
    """One sheet (H, W, 3) uint8."""
    draw, columns = SHEETS[name]
    backgrounds = BACKGROUNDS if name == "hair" else (GREY,)
    with tempfile.TemporaryDirectory() as folder, Photographer(assets, default_python(), Path(folder) / "log") as photographer:
        pictures = [develop(frame["colour"], frame["matte"]) for _, frame in photographer.take(draw(assets, seed, size))]
    tiles = [over(picture, size, np.array(colour, np.float32)) for picture in pictures for colour in backgrounds]
    return image_grid(tiles, columns, background=GREY)


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    """Write a picture, wide ones shrunk to what a page shows."""
    scale = min(1.0, 2000 / max(picture.shape[:2]))
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    print(save_image(path, picture))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sheets", nargs="*", choices=[*SHEETS, []], metavar="SHEET", help=f"of {', '.join(SHEETS)} (default: all)")
    parser.add_argument("--set", type=Path, help="a photographed set, for people.jpg")
    parser.add_argument("--makeovers", type=Path, help="a set of data makeovers, for makeovers.jpg")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    sets = {"people": options.set, "makeovers": options.makeovers}
    for name, folder in sets.items():
        if folder:
            write_jpeg(options.output / f"{name}.jpg", dataset.sheet_of(folder, 24, columns=3, side=160))
    if options.sheets or not any(sets.values()):
        assets = prepare(load_face_model(HEAD))
        for name in options.sheets or SHEETS:
            write_jpeg(options.output / f"{name}.jpg", sheet(name, assets, options.seed, options.size))


if __name__ == "__main__":
    main()
