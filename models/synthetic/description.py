"""What can be seen of a person besides what the rig shows: choices (a haircut, a neckline) and amounts (how grey, how long a beard).

The standard-normal numbers of ``person.py`` reach a picture by thresholds and choices; these are what they come to.
A generator learns from these, for few pictures show what a choice among 28 haircuts means.
"""

from __future__ import annotations

import math

import numpy as np

from models.synthetic import accessories, clothing, eyes, hair, skin
from models.synthetic.hair.look import BeardLook
from models.synthetic.hair.styles import STYLES, Style
from models.synthetic.skin import age as lines
from models.synthetic.skin import makeup, tone
from models.synthetic.traits import Person

BEARDS = ("none", "stubble", "moustache", "goatee", "full")
TIES = ("ponytail", "low_ponytail", "bun", "two_braids", "box_braids", "cornrows")
CHOICES = {  # name -> what is chosen from
    "style": tuple(STYLES),
    "beard": BEARDS,
    "neckline": clothing.NECKLINES,
    "pattern": clothing.PATTERNS,
    "jacket": ("none", "jacket"),
    "glasses": ("none", "clear", "dark"),
    "earrings": ("none", "stud", "hoop"),
}
DEEP = 0.1  # cm: a deep line


def choices_of(person: Person) -> dict[str, str]:
    """The name that was chosen in each of ``CHOICES``."""
    look, masculine = person.look, person.masculine
    worn, outfit, earrings = (
        accessories.spectacles(look, masculine),
        clothing.outfit(look, masculine),
        accessories.earrings(look, masculine),
    )
    return {
        "style": hair.hair_look(person).name,
        "beard": beard_kind(hair.hair_look(person).beard),
        "neckline": outfit.neckline,
        "pattern": outfit.pattern,
        "jacket": "jacket" if outfit.jacket else "none",
        "glasses": "none" if worn is None else "dark" if worn.tint.mean() < 0.5 else "clear",
        "earrings": "none" if earrings is None else "hoop" if earrings.radius > 0 else "stud",
    }


def beard_kind(beard: BeardLook) -> str:
    """Which of ``BEARDS`` a beard is."""
    if beard.dense <= 0.02:
        return "none"
    if beard.chin == 0:
        return "moustache"
    if beard.cheek == 0:
        return "goatee"
    return "full" if beard.chin > 0.4 else "stubble"


def amounts_of(person: Person) -> dict[str, float]:
    """Everything that is a matter of degree, about −1 to 1; 0 where there is nothing of the kind."""
    parts = (
        skin_amounts(person),
        eye_amounts(person),
        hair_amounts(person),
        beard_amounts(person),
        outfit_amounts(person),
        worn_amounts(person),
    )
    return {name: float(value) for part in parts for name, value in part.items()}


def skin_amounts(person: Person) -> dict[str, float]:
    """Age, sex-typical look, lines, make-up and what lies on the skin."""
    look, worn = person.look, makeup.amounts(person.look, person.masculine)
    plain = tone.base_colour(person.reflectance)
    numbers = ("pores", "freckles", "moles", "age_spots", "stubble", "sun", "rosacea", "gloss", "pattern_a", "pattern_b", "pattern_c")
    return {
        "age": (person.age - 45) / 20,
        "masculine": person.masculine,
        "oil": 3 * skin.oil(person),
        **{f"line_{name}": depth / DEEP for name, depth in lines.folds(person).items()},
        **{name: 0.5 * look[name] for name in numbers},
        **worn,
        **colour("lipstick_colour", makeup.lipstick_colour(look, plain), worn["lipstick"]),
        **colour("shadow_colour", makeup.shadow_colour(look), worn["eye_shadow"]),
    }


def eye_amounts(person: Person) -> dict[str, float]:
    """Irises, pupils, whites and teeth."""
    outer, inner = eyes.iris_colours(person.reflectance)
    numbers = {name: 0.5 * person.look[name] for name in eyes.NUMBERS}
    return {**colour("iris_outer", outer), **colour("iris_inner", inner), **numbers}


def hair_amounts(person: Person) -> dict[str, float]:
    """Hair of the head and brows: what the style is made of, its own variation, colours, where it grows."""
    look = hair.hair_look(person)
    line, brows = look.hairline, look.brows
    return {
        **style_amounts(look.style),
        "length": math.log(look.length) / 0.1,
        "volume": math.log(look.volume) / 0.25,
        "curled": math.log(look.curl) / 0.3,
        "part": look.part / 3,
        "hairline": line.height / 3,
        "peak": line.peak / 3,
        "temples": line.temples / 4,
        **{f"hairline_{index}": 0.5 * phase for index, phase in enumerate(line.phases)},
        "balding": look.balding,
        "thin": 3 * look.thin,
        **colour("hair_colour", look.pigment.colour),
        "white": look.pigment.white,
        "brow_thick": 2 * math.log(brows.thick),
        "brow_long": 5 * (brows.long - 1),
        "brow_arch": 2 * brows.arch,
        "brow_tilt": 3 * brows.tilt,
        "brow_dense": 3 * (brows.dense - 0.7),
        "brow_light": math.log(brows.light),
        "lashes": 4 * math.log(look.lashes),
    }


def style_amounts(style: Style) -> dict[str, float]:
    """What a haircut has in common with others."""
    return {
        **{name: getattr(style, name) / 20 for name in ("front", "top", "side", "back", "nape")},
        **{name: getattr(style, name) for name in ("stand", "forward", "parted", "stiff", "clump", "fringe")},
        "layer": style.layer / 2,
        "curl_radius": style.curl[0],
        "curl_turns": 1 / style.curl[1],
        "blunt": float(style.cut is not None),
        **{f"tied_{name}": float(style.tie == name) for name in TIES},
    }


def beard_amounts(person: Person) -> dict[str, float]:
    """Beard: lengths where there is one."""
    beard = hair.hair_look(person).beard
    there = {"chin": 0.5 * beard.chin, "cheek": 0.5 * beard.cheek, "lip": beard.lip, "line": beard.line, "dense": 1.0}
    return {f"beard_{name}": value * beard.dense for name, value in there.items()}


def outfit_amounts(person: Person) -> dict[str, float]:
    """Clothes: colours, the neckline's depth, the pattern's size, the shoulders' breadth."""
    worn = clothing.outfit(person.look, person.masculine)
    return {
        **colour("shirt", worn.colour),
        **colour("second", worn.second_colour, float(worn.pattern != "plain")),
        **colour("jacket_colour", worn.jacket_colour, float(worn.jacket)),
        "pattern_size": math.log(worn.pattern_size) * (worn.pattern != "plain"),
        "neckline_depth": worn.depth / 5,
        "broad": 10 * (worn.broad - 1),
    }


def worn_amounts(person: Person) -> dict[str, float]:
    """Glasses and earrings."""
    worn, rings = accessories.spectacles(person.look, person.masculine), accessories.earrings(person.look, person.masculine)
    names = ("width", "height", "power", "drop", "cat", "thick")
    sizes = (
        (0.0,) * len(names)
        if worn is None
        else (worn.width - 2.35, worn.height - 1.75, worn.power - 3, worn.drop, worn.cat, 10 * worn.thick)
    )
    return {
        **{f"glasses_{name}": value for name, value in zip(names, sizes, strict=True)},
        **colour("frame", np.zeros(3) if worn is None else worn.frame),
        "hoop": 0.0 if rings is None else rings.radius,
        "gold": 0.0 if rings is None else float(rings.colour[2] < 0.5),
    }


def colour(name: str, linear: np.ndarray, share: float = 1.0) -> dict[str, float]:
    """A linear colour (3,) as it looks, times how much there is of it."""
    return {f"{name}_{channel}": share * math.sqrt(max(0.0, float(value))) for channel, value in zip("rgb", linear, strict=True)}


def description(person: Person) -> tuple[np.ndarray, np.ndarray]:
    """Which of each of ``CHOICES`` (C,) int64, and the amounts (A,) float32 in the order of ``amounts_of``."""
    chosen = choices_of(person)
    which = np.array([CHOICES[name].index(value) for name, value in chosen.items()])
    return which, np.array(list(amounts_of(person).values()), np.float32)
