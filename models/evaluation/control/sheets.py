"""Sheets and a film that people judge a rig by: unselected people, turned, speaking, in other light, through other lenses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.colour import GREEN, linear_to_srgb
from models.face.harmonics import light_from_handles
from models.io.images import image_grid, save_image, to_uint8
from models.io.movie import write_movie
from models.rigging import Controls, Portrait, Rig

GREY = (0.5, 0.5, 0.5)  # display values of what portraits lie over
SCREENS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "green": GREEN}
PEOPLE, ROWS = 64, 8
YAWS = (-75, -60, -45, -30, -15, 0, 15, 30, 45, 60, 75)  # degrees
EXPRESSIONS = (
    ("neutral", ()), ("smile", ("mouthSmile_L", "mouthSmile_R")), ("jawOpen", ("jawOpen",)), ("pucker", ("mouthPucker",)),
    ("frown", ("mouthFrown_L", "mouthFrown_R")), ("blink", ("eyeBlink_L", "eyeBlink_R")), ("wink", ("eyeBlink_L",)),
    ("wide", ("eyeWide_L", "eyeWide_R")), ("browUp", ("browInnerUp", "browOuterUp_L", "browOuterUp_R")),
    ("browDown", ("browDown_L", "browDown_R")), ("sneer", ("noseSneer_L", "noseSneer_R")),
    ("lookLeft", ("eyeLookOut_L", "eyeLookIn_R")),
)  # fmt: skip
LIGHTS = {  # direction of the key: x to the face's left, y up, z towards the camera; its colour
    "front": ((0.0, 0.3, 1.0), (1.0, 1.0, 1.0)), "left": ((1.0, 0.3, 0.3), (1.0, 1.0, 1.0)), "right": ((-1.0, 0.3, 0.3), (1.0, 1.0, 1.0)),
    "top": ((0.0, 1.0, 0.2), (1.0, 1.0, 1.0)), "below": ((0.0, -1.0, 0.5), (1.0, 1.0, 1.0)), "back": ((0.5, 0.5, -1.0), (1.0, 1.0, 1.0)),
    "warm": ((0.7, 0.3, 0.6), (1.3, 0.9, 0.6)), "cold": ((-0.7, 0.5, 0.6), (0.6, 0.9, 1.4)),
}  # fmt: skip
DISTANCES = (40, 60, 90, 150, 400)  # cm from the camera
RATE, SECONDS = 25, 10  # of the film


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture of a sheet."""

    portrait: Portrait
    controls: Controls
    label: str
    backdrop: tuple[float, float, float] = GREY


def people(rig: Rig, seeds: Sequence[int]) -> Iterator[Cell]:
    """Everybody as they are."""
    yield from (Cell(rig.new_portrait(seed), Controls(), str(seed)) for seed in seeds)


def turns(rig: Rig, seeds: Sequence[int]) -> Iterator[Cell]:
    """A row for each person, columns of yaw."""
    for seed in seeds:
        portrait = rig.new_portrait(seed)
        yield from (Cell(portrait, Controls(rotation=(math.radians(yaw), 0.0, 0.0)), f"{yaw}°") for yaw in YAWS)


def expressions(rig: Rig, seeds: Sequence[int], amount: float = 1.0) -> Iterator[Cell]:
    """A row for each person, columns of expressions at ``amount``."""
    for seed in seeds:
        portrait = rig.new_portrait(seed)
        yield from (Cell(portrait, expression(rig, names, amount), label) for label, names in EXPRESSIONS)


def expression(rig: Rig, names: Iterable[str], amount: float) -> Controls:
    """Of a head that looks ahead, and shows nothing else."""
    neutral = dict.fromkeys(rig.face.expression_names, 0.0)
    return Controls(rotation=(0.0, 0.0, 0.0), expression=neutral | known(rig, dict.fromkeys(names, amount)))


def known(rig: Rig, values: Mapping[str, float]) -> dict[str, float]:
    """The expressions that the rig's face model has."""
    return {name: value for name, value in values.items() if name in rig.face.expression_names}


def lights(rig: Rig, seeds: Sequence[int]) -> Iterator[Cell]:
    """A row for each person, columns of lights."""
    for seed in seeds:
        portrait = rig.new_portrait(seed)
        yield from (Cell(portrait, Controls(light=light(*key)), label) for label, key in LIGHTS.items())


def light(direction: tuple[float, float, float], tint: tuple[float, float, float]) -> np.ndarray:
    """Harmonics (9, 3) of a soft key from ``direction``."""
    return light_from_handles(torch.ones(1), torch.tensor([tint]), torch.tensor([direction]))[0].numpy()


def lenses(rig: Rig, seeds: Sequence[int]) -> Iterator[Cell]:
    """A row for each person, columns of the camera's distance, the head always as large."""
    for seed in seeds:
        portrait = rig.new_portrait(seed)
        yield from (Cell(portrait, Controls(rotation=(0.3, 0.0, 0.0), distance=float(cm)), f"{cm} cm") for cm in DISTANCES)


def screens(rig: Rig, seeds: Sequence[int]) -> Iterator[Cell]:
    """Everybody over white, black and green, a row for each: edges are judged there."""
    cells = list(people(rig, seeds))
    yield from (dataclasses.replace(cell, backdrop=colour) for colour in SCREENS.values() for cell in cells)


def speaking(time: float) -> Controls:
    """Someone who turns to and fro and speaks, ``time`` seconds in: no take, only waves that do not repeat soon."""
    wave = lambda hertz, phase=0.0: math.sin(2 * math.pi * (hertz * time + phase))
    syllable = max(0.0, wave(2.1)) * max(0.0, 0.3 + wave(0.37, 0.2))
    blink = max(0.0, 1 - abs((time % 3.1) - 0.2) / 0.12)
    values = {
        "jawOpen": 0.55 * syllable, "mouthFunnel": 0.5 * max(0.0, wave(1.3, 0.4)) * syllable,
        "mouthSmile_L": 0.35 * max(0.0, wave(0.13)), "mouthSmile_R": 0.3 * max(0.0, wave(0.13)),
        "browInnerUp": 0.6 * max(0.0, wave(0.29, 0.3)), "eyeBlink_L": blink, "eyeBlink_R": blink,
    }  # fmt: skip
    return Controls(rotation=(0.6 * wave(0.1), 0.12 * wave(0.23, 0.1), 0.08 * wave(0.17)), expression=values)


def film_cells(rig: Rig, seed: int, numbers: Iterable[int]) -> Iterator[Cell]:
    """Frames ``numbers``, ``RATE`` a second, of somebody who turns and speaks."""
    portrait = rig.new_portrait(seed)
    for number in numbers:
        said = speaking(number / RATE)
        yield Cell(portrait, dataclasses.replace(said, expression=known(rig, said.expression)), str(number))


def picture(rig: Rig, cell: Cell, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the portrait over its backdrop."""
    frame = rig.frame(cell.portrait, cell.controls, size, ())["Combined"]
    alpha = frame[..., 3:]
    straight = np.clip(frame[..., :3] / np.maximum(alpha, 1e-6), 0, 1)
    shown = linear_to_srgb(torch.from_numpy(straight)).numpy() * alpha + np.array(cell.backdrop, np.float32) * (1 - alpha)
    return to_uint8(torch.from_numpy(shown).movedim(-1, 0))


@dataclass(frozen=True)
class Sheet:
    """A file of pictures of ``size`` pixels: ``columns`` of them beside each other, or a film one after the other."""

    file: str
    cells: list[Cell]
    size: int
    columns: int = 1
    labelled: bool = True  # with a label below each picture, and a gap around it

    def write(self, folder: Path, pictures: Iterable[np.ndarray]) -> Path:
        """``pictures`` are those of the cells, (size, size, 3) uint8."""
        path = folder / self.file
        if path.suffix == ".mp4":
            return write_movie(path, pictures, (self.size, self.size), RATE)
        labels = [cell.label for cell in self.cells] if self.labelled else []
        return save_image(path, image_grid(list(pictures), self.columns, gap=2 if self.labelled else 0, labels=labels))


@dataclass(frozen=True)
class Order:
    """How much is drawn of a rig."""

    size: int  # pixels of a picture on a sheet
    people: int
    rows: int  # of people that are turned, speak and are lit
    film: int | None  # seed of the person in it
    seconds: int  # of the film


def ordered(rig: Rig, order: Order) -> list[Sheet]:
    """All sheets of ``rig``, and its film."""
    first, large = range(order.rows), rig.generator.resolution
    found = [
        Sheet("people.jpg", list(people(rig, range(order.people))), order.size, order.rows),
        Sheet("turns.jpg", list(turns(rig, first)), order.size, len(YAWS)),
        Sheet("expressions-half.jpg", list(expressions(rig, first, 0.5)), order.size, len(EXPRESSIONS)),
        Sheet("expressions-full.jpg", list(expressions(rig, first)), order.size, len(EXPRESSIONS)),
        Sheet("lights.jpg", list(lights(rig, first)), order.size, len(LIGHTS)),
    ]
    if rig.shows_whole_heads:
        found.append(Sheet("lenses.jpg", list(lenses(rig, range(6))), order.size, len(DISTANCES)))
    found.append(Sheet("screens.png", list(screens(rig, range(4))), large, 4, labelled=False))
    if order.film is not None:
        found.append(Sheet("film.mp4", list(film_cells(rig, order.film, range(RATE * order.seconds))), large))
    return found


def film(rig: Rig, seed: int, size: int, numbers: Iterable[int]) -> Iterator[np.ndarray]:
    """The frames of ``film_cells``: (size, size, 3) uint8."""
    return (picture(rig, cell, size) for cell in film_cells(rig, seed, numbers))
