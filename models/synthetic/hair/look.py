"""A person's hair in real units, from the standard-normal numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthetic.hair.colour import Pigment, pigment
from models.synthetic.hair.roots import smoothstep
from models.synthetic.hair.styles import STYLES, Style, choose_style
from models.synthetic.traits import Person

NUMBERS = (*(f"style_{name}" for name in STYLES), "hair_length", "hair_volume", "hair_curl", "hair_part", "hairline", "hairline_peak",
           "hairline_temples", "hairline_a", "hairline_b", "hairline_c", "balding", "hair_thin", "hair_dark", "hair_red", "grey", "dye",
           "dye_hue", "brow_thick", "brow_long", "brow_arch", "brow_tilt", "brow_dense", "brow_dark", "beard", "beard_style", "beard_length",
           "beard_dense", "beard_line", "moustache", "lashes")  # fmt: skip


@dataclass(frozen=True)
class Hairline:
    """Degrees: how much higher than usual, the peak in the middle, how far temples recede; phases of its unevenness (3,)."""

    height: float
    peak: float
    temples: float
    phases: tuple[float, float, float]


@dataclass(frozen=True)
class BrowLook:
    """Thickness and length as factors, arch and tilt in cm, how many of the hairs stand (0–1), colour as a factor."""

    thick: float
    long: float
    arch: float
    tilt: float
    dense: float
    light: float


@dataclass(frozen=True)
class BeardLook:
    """Lengths in cm on chin, cheeks and lip (0: shaved), how dense 0–1, and how high the cheek line runs (cm)."""

    chin: float
    cheek: float
    lip: float
    dense: float
    line: float


@dataclass(frozen=True)
class HairLook:
    """All of a person's hair; ``balding`` 0–1, ``thin`` the share that is lost evenly, ``lashes`` a factor on length."""

    name: str
    style: Style
    length: float
    volume: float
    curl: float
    part: float
    hairline: Hairline
    balding: float
    thin: float
    pigment: Pigment
    brows: BrowLook
    beard: BeardLook
    lashes: float


def hair_look(person: Person) -> HairLook:
    """The hair of a person of ``age``, ``masculine``, ``reflectance`` and ``look``."""
    look, age, masculine, tone = person.look, person.age, person.masculine, float(person.reflectance[0])
    balding = balding_of(look["balding"], age, masculine)
    name = choose_style(look, age, masculine, float(np.tanh(-0.7 * tone)), balding)
    style = STYLES[name]
    return HairLook(
        name=name,
        style=style,
        length=float(np.exp((0.10 if style.cut is None else 0.06) * look["hair_length"])),
        volume=float(np.exp(0.25 * look["hair_volume"])),
        curl=float(np.exp(0.3 * look["hair_curl"])),
        part=style.part * float(np.tanh(2 * look["hair_part"])) + 0.3 * look["hairline_a"],
        hairline=Hairline(
            height=2.2 * look["hairline"],
            peak=3.0 * float(np.tanh(look["hairline_peak"])),
            temples=1.5 + 2.5 * look["hairline_temples"] + 2.0 * masculine,
            phases=(look["hairline_a"], look["hairline_b"], look["hairline_c"]),
        ),
        balding=balding,
        thin=float(np.clip(0.10 * (age - 55) / 10 + 0.12 * (look["hair_thin"] - 0.8), 0, 0.6)),
        pigment=pigment(look, age, masculine, tone),
        brows=brow_look(look, age, masculine),
        beard=beard_look(look, masculine),
        lashes=float(np.exp(0.12 * look["lashes"] - 0.12 * masculine)),
    )


def balding_of(number: float, age: float, masculine: float) -> float:
    """How far hair has receded (0 not, 1 a wreath is left): half of all men see it by fifty, hardly a woman."""
    begun = (age - 20) / 60 * (0.2 + 0.8 * smoothstep((masculine + 1) / 1.6))
    return float(np.clip(0.85 * begun + 0.42 * number * (0.35 + begun) - 0.38 * (1 - begun), 0, 1)) * float(
        smoothstep((masculine + 0.9) / 1.2)
    )


def brow_look(look: dict[str, float], age: float, masculine: float) -> BrowLook:
    """Brows: men's lower, thicker and straighter; those of the old thinner or bushy."""
    return BrowLook(
        thick=float(np.exp(0.28 * look["brow_thick"] + 0.18 * masculine)),
        long=1 + 0.10 * float(np.tanh(look["brow_long"])),
        arch=0.22 * look["brow_arch"] - 0.18 * masculine,
        tilt=0.16 * look["brow_tilt"],
        dense=float(np.clip(0.72 + 0.2 * look["brow_dense"] + 0.08 * masculine - 0.08 * max(0.0, age - 55) / 10, 0.2, 1)),
        light=float(np.exp(-0.25 - 0.3 * look["brow_dark"])),
    )


def beard_look(look: dict[str, float], masculine: float) -> BeardLook:
    """A beard, for four men in ten: stubble, moustache, goatee, short, full or long."""
    has = look["beard"] + 1.3 * masculine - 1.4
    dense = float(np.clip(0.85 + 0.18 * look["beard_dense"], 0.25, 1)) * float(smoothstep(has / 0.5))
    stubble = 0.12 + 0.25 * float(smoothstep((look["beard_length"] + 1) / 2))
    if look["moustache"] > 1.0:
        chin, cheek, lip = 0.0, 0.0, 0.7
    elif look["beard_style"] < 0.0:
        chin, cheek, lip = stubble, stubble, stubble
    elif look["beard_style"] < 0.45:
        chin, cheek, lip = 1.0 + 0.3 * look["beard_length"], 0.0, 0.6
    else:
        full = float(np.exp(0.3 + 0.75 * look["beard_length"]))
        chin, cheek, lip = min(full, 7.0), min(0.4 + 0.45 * full, 2.2), min(0.5 + 0.25 * full, 1.1)
    return BeardLook(max(chin, 0.0), cheek, lip, dense, 0.35 * look["beard_line"])
