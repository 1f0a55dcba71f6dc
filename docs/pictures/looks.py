"""Draws docs/images/looks: looks on portraits of unselected seeds, and on somebody who turns and speaks; those that ship if none is named.

.venv/bin/python docs/pictures/looks.py [colourise drawing attributes styles pairs film] [--model NAME] [--output FOLDER]
.venv/bin/python docs/pictures/looks.py --rig-file speaking.json      # the film's frames, for render and evaluate look --sequence
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np
import torch
from PIL import Image

from models.evaluation.control.sheets import film_cells, people, picture
from models.io.atomic_write import write_atomic
from models.io.images import image_grid, save_image
from models.rigging import Rig
from models.training.translation.made import black_and_white
from models.translation.library import library
from models.translation.look import CoGANLook, Look
from models.translation.request import as_tensor, label_of, put_on, style_of_seed, styled

OUTPUT = ROOT / "docs" / "images" / "looks"
SEEDS = range(101, 113)
DRAWN, SHOWN = 256, 128  # pixels of a portrait, and of it on a sheet
LABELS = ("black hair", "brown hair", "blond hair", "grey hair", "brown hair,beard")
WORN, STYLED = "brown hair,beard", "blond hair"  # in the film
SPEAKER, RATE, FRAMES, EVERY, QUALITY = 104, 25, 96, 2, 60
Pictures = list[np.ndarray]  # (DRAWN, DRAWN, 3) uint8 each


def looked(pictures: Pictures, look: Look, label: str | None = None, style: torch.Tensor | None = None) -> Pictures:
    """The look on each picture, in full strength."""
    found = (put_on(look, image / np.float32(255), 1.0, label_of(look, label), style) for image in pictures)
    return [(image.clip(0, 1) * 255).round().astype(np.uint8) for image in found]


def grey(pictures: Pictures) -> Pictures:
    """In black and white."""
    found = (black_and_white(as_tensor(image / np.float32(255)))[0] * 0.5 + 0.5 for image in pictures)
    return [(image.movedim(0, -1) * 255).round().byte().numpy() for image in found]


def colourise(portraits: Pictures) -> list[Pictures]:
    """The portraits, in black and white, and coloured again."""
    plain = grey(portraits)
    return [portraits, plain, looked(plain, library().get("colourise"))]


def drawing(portraits: Pictures) -> list[Pictures]:
    """The portraits, and as drawings."""
    return [portraits, looked(portraits, library().get("drawing"))]


def attributes(portraits: Pictures) -> list[Pictures]:
    """The portraits, and each of LABELS on them."""
    look = library().get("attributes")
    return [portraits, *(looked(portraits, look, label) for label in LABELS)]


def styles(portraits: Pictures) -> list[Pictures]:
    """The portraits; for each domain a latent's style; and the styles of one of the portraits in the first and the last domain."""
    look = library().get("styles")
    rows = [looked(portraits, look, domain, style_of_seed(look, 1, domain)) for domain in look.domains]
    reference = as_tensor(portraits[0] / np.float32(255))
    by_reference = [
        looked(portraits, look, domain, styled(look).style_of(reference, domain)) for domain in look.domains[:: len(look.domains) - 1]
    ]
    return [portraits, *rows, *by_reference]


def pairs(portraits: Pictures) -> list[Pictures]:
    """What a latent draws in both domains, as many as there are portraits."""
    look = library().get("cogan-glasses")
    assert isinstance(look, CoGANLook)
    latents = torch.rand(len(portraits), look.config.latent_dim, generator=torch.Generator().manual_seed(0)) * 2 - 1
    drawn = (look.draw(latents).clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(1, 0, 3, 4, 2).numpy()
    return [list(domain) for domain in drawn]


DEFAULT = ("colourise", "drawing", "attributes", "styles", "film")  # of looks that ship
SHEETS: dict[str, Callable[[Pictures], list[Pictures]]] = {
    "colourise": colourise,
    "drawing": drawing,
    "attributes": attributes,
    "styles": styles,
    "pairs": pairs,
}


def sheet(rows: list[Pictures]) -> np.ndarray:
    """The rows below each other, in the size that is shown."""
    tiles = [cv2.resize(image, (SHOWN, SHOWN), interpolation=cv2.INTER_AREA) for row in rows for image in row]
    return image_grid(tiles, len(rows[0]))


def film_frames(rig: Rig) -> Iterator[np.ndarray]:
    """A speaker, as a drawing, in black and white, coloured again, with other hair and a beard, and in a style."""
    get = library().get
    for cell in film_cells(rig, SPEAKER, range(0, EVERY * FRAMES, EVERY)):
        plain = [picture(rig, cell, DRAWN)]
        row = [*plain, *looked(plain, get("drawing")), *grey(plain), *looked(grey(plain), get("colourise")), *dressed(plain)]
        yield np.concatenate([cv2.resize(image, (SHOWN, SHOWN), interpolation=cv2.INTER_AREA) for image in row], axis=1)


def dressed(pictures: Pictures) -> Pictures:
    """With other hair and a beard, and in the style of a latent."""
    get, domain = library().get, STYLED
    return looked(pictures, get("attributes"), WORN) + looked(pictures, get("styles"), domain, style_of_seed(get("styles"), 1, domain))


def write_film(rig: Rig, path: Path) -> Path:
    images = [Image.fromarray(frame) for frame in film_frames(rig)]
    stream = io.BytesIO()
    images[0].save(
        stream, "WEBP", save_all=True, append_images=images[1:], duration=1000 * EVERY // RATE, loop=0, quality=QUALITY, method=6
    )
    return write_atomic(path, stream.getvalue())


def write_rig_file(rig: Rig, path: Path) -> Path:
    """The film's frames, with the pass that says where each point of the skin was."""
    cells = film_cells(rig, SPEAKER, range(0, EVERY * FRAMES, EVERY))
    frames = [{"rotation": list(cell.controls.rotation or ()), "expression": dict(cell.controls.expression)} for cell in cells]
    shot = {
        "portrait": {"model": rig.name, "seed": SPEAKER, "truncation": 0.7},
        "frames": frames,
        "output": {"size": DRAWN, "passes": ["UV"]},
    }
    return write_atomic(path, json.dumps(shot).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*SHEETS, "film"]))
    parser.add_argument("--model", help="of those that ship")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--rig-file", type=Path, metavar="FILE", help="write the film's frames as a rig file, and nothing else")
    arguments = parser.parse_args()
    if arguments.rig_file:
        print(write_rig_file(Rig.load(name=arguments.model), arguments.rig_file))
        return
    names = arguments.names or DEFAULT
    rig = Rig.load(name=arguments.model)
    portraits = [picture(rig, cell, DRAWN) for cell in people(rig, SEEDS)] if set(names) - {"film"} else []
    for name in names:
        if name == "film":
            print(write_film(rig, arguments.output / "film.webp"), flush=True)
        else:
            print(save_image(arguments.output / f"{name}.jpg", sheet(SHEETS[name](portraits)), quality=82), flush=True)


if __name__ == "__main__":
    main()
