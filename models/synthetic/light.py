"""Light as a portrait photographer sets it, and as it is found in rooms and outdoors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.face.harmonics import disc_light, irradiance, luminance, rotate
from models.synthetic.environments import NAMES, environment_harmonics

# How often each set-up is used.
SHARES = {"studio": 0.30, "room": 0.22, "overcast": 0.16, "sun": 0.13, "window": 0.12, "night": 0.05, "coloured": 0.02}
# Which environments a set-up may stand in, and how much of the light on the face comes from them (least, most).
SURROUNDINGS = {
    "studio": (("studio", "interior"), (0.2, 0.6)),
    "room": (("interior", "city", "courtyard", "studio"), (0.75, 0.95)),
    "overcast": (("courtyard", "forest", "city"), (0.45, 0.7)),
    "sun": (("courtyard", "city", "sunrise", "sunset", "forest"), (0.25, 0.5)),
    "window": (("interior", "courtyard"), (0.15, 0.4)),
    "night": (("night", "city"), (0.15, 0.4)),
    "coloured": (("night", "studio"), (0.1, 0.3)),
}
WHITE_BALANCE = 0.75  # share of a colour cast that cameras take away
TARGET, TARGET_BY_TONE = 1.1, -0.10  # irradiance on the face over pi; how its logarithm falls per deviation of skin tone
FACING = np.array([0.0, 0.17, 0.985])  # where a face that looks at the camera faces: the exposure is measured there
MOST_LAMPS = 3


@dataclass(frozen=True)
class Lamp:
    """A far disc: unit direction (3,), irradiance facing it (3,) linear RGB, angular radius in radians."""

    direction: np.ndarray
    irradiance: np.ndarray
    angle: float

    def harmonics(self) -> Tensor:
        """(9, 3)."""
        facing = math.pi * math.sin(self.angle) ** 2  # irradiance of a disc of radiance 1
        tensor = lambda values: torch.as_tensor(values, dtype=torch.float32)[None]
        return disc_light(tensor(self.direction), tensor(self.angle), tensor(self.irradiance / facing))[0]


@dataclass(frozen=True)
class Light:
    """Weights (8, 3) of the environments, their turn in radians about y, and at most three lamps."""

    kind: str
    environment: np.ndarray
    turn: float
    lamps: tuple[Lamp, ...]

    def harmonics(self) -> Tensor:
        """What lights the scene, (9, 3) radiance coefficients in linear RGB."""
        return surroundings(self.environment, self.turn) + sum(lamp.harmonics() for lamp in self.lamps)


def draw_light(random: np.random.Generator, tone: float, kind: str | None = None, turn: np.ndarray | None = None) -> Light:
    """A set-up, exposed for a face of that ``tone`` (standard deviations, positive is light).

    ``turn`` (3, 3) is the head's rotation; what the exposure is measured for lies half-way between where the face
    looks and the camera.
    """
    facing = FACING if turn is None else middle_of(FACING, turn @ FACING)
    kind = kind or str(random.choice(list(SHARES), p=np.array(list(SHARES.values())) / sum(SHARES.values())))
    target = TARGET * math.exp(0.14 * random.normal() + TARGET_BY_TONE * tone)
    names, (least, most) = SURROUNDINGS[kind]
    share = random.uniform(least, most)
    around = random.uniform(-math.pi, math.pi)
    mix = np.zeros(len(NAMES))
    mix[[NAMES.index(name) for name in names]] = random.dirichlet(np.full(len(names), 0.6))
    environment = exposed(mix, around, share * target, facing)
    lamps = [lamp for lamp in LAMPS[kind](random) if lamp]
    return Light(kind, environment, around, scaled(lamps, (1 - share) * target, facing))


def middle_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The unit vector half-way between two."""
    return (a + b) / np.linalg.norm(a + b)


def exposed(mix: np.ndarray, turn: float, target: float, facing: np.ndarray) -> np.ndarray:
    """Weights (8, 3): the mixture (8,) white-balanced and scaled to give the face ``target`` · pi."""
    mean = surroundings(np.repeat(mix[:, None], 3, axis=1), turn)
    cast = mean[0] / luminance(mean[:1])
    tint = (cast.clamp(min=0.2) ** -WHITE_BALANCE).numpy()
    weights = mix[:, None] * tint
    reaches = on_face(surroundings(weights, turn), facing)
    return weights * target / max(reaches, 0.25)


def surroundings(weights: np.ndarray, turn: float) -> Tensor:
    """Harmonics (9, 3) of environments of weights (8, 3), turned by ``turn`` about y."""
    level, rise = math.cos(turn), math.sin(turn)
    about_y = torch.tensor([[level, 0.0, rise], [0.0, 1.0, 0.0], [-rise, 0.0, level]])[None]
    mixed = torch.einsum("ec,ekc->kc", torch.as_tensor(weights, dtype=torch.float32), environment_harmonics())
    return rotate(mixed[None], about_y)[0]


def on_face(light: Tensor, facing: np.ndarray = FACING) -> float:
    """Luminance of the irradiance over pi of harmonics (9, 3) on a surface of normal ``facing`` (3,)."""
    normal = torch.as_tensor(facing, dtype=torch.float32).view(1, 1, 3)
    return float(luminance(irradiance(light[None], normal)[0, 0])) / math.pi


def scaled(lamps: list[Lamp], target: float, facing: np.ndarray) -> tuple[Lamp, ...]:
    """The lamps, of which the first is the key, scaled so that together they give the face ``target`` · pi."""
    front = sum(on_face(lamp.harmonics(), facing) for lamp in lamps)
    key = luminance(torch.as_tensor(lamps[0].irradiance, dtype=torch.float32)[None]).item() / math.pi
    factor = target / max(front, 0.3 * key)  # a key from far to the side stays one
    return tuple(Lamp(lamp.direction, lamp.irradiance * factor, lamp.angle) for lamp in lamps[:MOST_LAMPS])


def lamp(azimuth: float, elevation: float, strength: float, angle: float, warmth: float = 0.0) -> Lamp:
    """A lamp in degrees from +z towards +x and up; ``strength`` relative to the key, ``warmth`` from cool (< 0) to warm."""
    a, e = math.radians(azimuth), math.radians(elevation)
    colour = np.clip([1 + warmth, 1 + 0.1 * warmth, 1 - warmth], 0.15, None)
    return Lamp(np.array([math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)]), strength * math.pi * colour, angle)


def side(random: np.random.Generator) -> float:
    """−1 or 1."""
    return 1.0 if random.random() < 0.5 else -1.0


def rim(random: np.random.Generator, share: float) -> Lamp | None:
    """A light from behind, in ``share`` of the pictures."""
    if random.random() > share:
        return None
    return lamp(
        180 + random.uniform(-55, 55), random.uniform(5, 45), random.uniform(0.3, 1.2), random.uniform(0.06, 0.2), random.normal() * 0.08
    )


def studio_lamps(random: np.random.Generator) -> list[Lamp | None]:
    """A soft key (butterfly, loop, Rembrandt or split), a weaker fill, often a rim."""
    azimuth, elevation = [(8, 40), (32, 35), (48, 40), (82, 15)][random.choice(4, p=(0.2, 0.35, 0.3, 0.15))]
    way = side(random)
    key = lamp(
        way * (azimuth + random.normal() * 8), elevation + random.normal() * 8, 1.0, random.uniform(0.08, 0.35), random.normal() * 0.06
    )
    fill = lamp(-way * random.uniform(20, 70), random.uniform(0, 25), random.uniform(0.08, 0.4), 0.4, random.normal() * 0.05)
    return [key, rim(random, 0.5) or fill, fill if random.random() < 0.6 else None]


def room_lamps(random: np.random.Generator) -> list[Lamp | None]:
    """A lamp on the ceiling or a screen, weak beside the room's own light."""
    return [lamp(random.normal() * 60, random.uniform(25, 75), 1.0, random.uniform(0.1, 0.4), 0.1 + random.normal() * 0.1)]


def overcast_lamps(random: np.random.Generator) -> list[Lamp | None]:
    """The bright upper part of a cloudy sky."""
    return [lamp(random.normal() * 40, random.uniform(50, 80), 1.0, random.uniform(0.7, 1.0), random.normal() * 0.03)]


def sun_lamps(random: np.random.Generator) -> list[Lamp | None]:
    """The sun: hard, warm when it is low."""
    elevation = random.uniform(12, 65)
    warmth = 0.22 * math.exp(-((elevation / 22) ** 2)) + 0.02
    return [lamp(random.normal() * 65, elevation, 1.0, random.uniform(0.012, 0.04), warmth)]


def window_lamps(random: np.random.Generator) -> list[Lamp | None]:
    """A large window to the side, sometimes a warm lamp on the other."""
    way = side(random)
    other = (
        lamp(-way * random.uniform(60, 120), random.uniform(0, 40), random.uniform(0.1, 0.35), 0.15, 0.2)
        if random.random() < 0.35
        else None
    )
    return [
        lamp(way * random.uniform(40, 95), random.uniform(0, 30), 1.0, random.uniform(0.35, 0.6), -0.03 + random.normal() * 0.04),
        other,
    ]


def night_lamps(random: np.random.Generator) -> list[Lamp | None]:
    """A warm street or table lamp, a cool one from elsewhere."""
    warm = lamp(random.normal() * 70, random.uniform(-15, 60), 1.0, random.uniform(0.04, 0.15), random.uniform(0.1, 0.3))
    return [warm, rim(random, 0.6), lamp(random.normal() * 90, 20, 0.2, 0.2, -0.15)]


def coloured_lamps(random: np.random.Generator) -> list[Lamp | None]:
    """Two lamps of strong colours from two sides."""
    hue, way = random.uniform(0, 1), side(random)
    result: list[Lamp | None] = []
    for place, (azimuth, strength) in enumerate(((way * 45, 1.0), (-way * 80, 0.7))):
        phases = 2 * math.pi * (hue + 0.45 * place + np.array([0, 1 / 3, 2 / 3]))
        plain = lamp(azimuth + random.normal() * 15, random.uniform(0, 40), strength, random.uniform(0.1, 0.3))
        result.append(Lamp(plain.direction, plain.irradiance * (0.7 + 0.3 * np.cos(phases)), plain.angle))
    return result


LAMPS = {"studio": studio_lamps, "room": room_lamps, "overcast": overcast_lamps, "sun": sun_lamps, "window": window_lamps,
         "night": night_lamps, "coloured": coloured_lamps}  # fmt: skip
