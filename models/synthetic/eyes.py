"""Eyes: the picture of an eyeball's front, the colours of irises, and how the lids shade what lies behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from models.face.model import FaceModel, needed
from models.face.own_head.reflectance import MODE_NAMES
from models.synthetic.traits import Person

NUMBERS = ("pupil", "iris_fibres", "iris_ring", "eye_veins", "teeth")
IRIS = 256  # side of the picture; it shows the front half of the ball
PUPIL, LIMBUS = 7.8, 22.0  # degrees from the eye's axis
# From dark brown over hazel, green and grey to blue: the modes that the rig shows, and the colours of the outer and the inner iris.
STEPS = np.array([0.0, 0.28, 0.48, 0.64, 0.80, 1.0])
BLUE, LIGHT = np.array([-1.0, -0.75, -0.3, 0.9, 2.0, 3.2]), np.array([-1.0, -0.3, 0.4, 0.3, 0.5, -0.6])
OUTER = np.array(
    [
        (0.018, 0.008, 0.004),
        (0.062, 0.027, 0.010),
        (0.110, 0.072, 0.027),
        (0.108, 0.105, 0.056),
        (0.170, 0.190, 0.195),
        (0.105, 0.175, 0.280),
    ]
)
INNER = np.array(
    [
        (0.024, 0.010, 0.005),
        (0.080, 0.036, 0.012),
        (0.140, 0.070, 0.020),
        (0.170, 0.110, 0.036),
        (0.190, 0.165, 0.120),
        (0.180, 0.215, 0.260),
    ]
)
SCLERA = np.array([0.56, 0.50, 0.46])
CARUNCLE, CARUNCLE_TAKES = 0.55, np.array([0.12, 0.55, 0.52])  # cm that it reaches; the light it takes
SHADE_REACH, UPPER_SHADE, LOWER_SHADE = 0.45, 0.65, 0.3  # cm from the upper lid's edge to where its shade ends; how dark it is


@dataclass
class EyeMaps:
    """Over the eyeball's picture (IRIS, IRIS): degrees from the axis, patterns of the iris, veins 0–1."""

    angle: np.ndarray
    fibres: np.ndarray  # (2, IRIS, IRIS), zero mean
    wave: np.ndarray  # the collarette's zigzag, −1 … 1
    veins: np.ndarray


def prepare_maps() -> EyeMaps:
    """What all eyes share."""
    steps = (np.arange(IRIS) + 0.5) / IRIS * 2 - 1
    x, y = np.meshgrid(steps, steps)
    angle, around = np.degrees(np.arcsin(np.minimum(np.hypot(x, y), 1.0))), np.arctan2(y, x)
    return EyeMaps(
        angle,
        np.stack([iris_fibres(around, angle, seed) for seed in (1, 2)]),
        0.6 * np.sin(9 * around) + 0.4 * np.sin(16 * around + 1),
        veins(),
    )


def iris_fibres(around: np.ndarray, angle: np.ndarray, seed: int) -> np.ndarray:
    """Threads that run from the pupil outward and part round crypts; zero mean, about unit deviation."""
    rng = np.random.default_rng(seed)
    strips = rng.normal(size=(24, 160)).astype(np.float32)  # rows along the radius, columns round the eye
    blurred = cv2.GaussianBlur(np.tile(strips, (1, 3)), (0, 0), sigmaX=0.8, sigmaY=4.0)[:, 160:320]
    closed = np.concatenate((blurred, blurred[:, :1]), axis=1)
    columns = ((around / (2 * np.pi) + 0.5) * 160).astype(np.float32)
    rows = np.clip(angle / LIMBUS * 23, 0, 23).astype(np.float32)
    threads = cv2.remap(closed / closed.std(), columns, rows, cv2.INTER_LINEAR)
    return threads + 0.4 * np.sin(around * 53 + 3 * np.sin(around * 7))


def veins() -> np.ndarray:
    """Fine red threads of the sclera (IRIS, IRIS), 0–1: they come in from the corners."""
    rng = np.random.default_rng(3)
    image = np.zeros((IRIS, IRIS), np.float32)
    for _ in range(46):
        side = rng.choice((-1, 1))
        way = np.array([side * rng.uniform(0.85, 0.98), rng.uniform(-0.45, 0.45)])
        points, heading = [way], np.array([-side, rng.normal() * 0.35])
        for _ in range(int(rng.uniform(8, 18))):
            heading = heading + rng.normal(size=2) * 0.35
            points.append(points[-1] + 0.026 * heading / np.linalg.norm(heading))
        pixels = ((np.array(points) * 0.5 + 0.5) * IRIS * 8).astype(np.int32)
        cv2.polylines(image, [pixels], False, float(rng.uniform(0.3, 1.0)), 1, cv2.LINE_AA, shift=3)
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def weights(blue: float, light: float, tone: float) -> dict[str, float]:
    """The reflectance weights of an iris from two standard-normal numbers; ``tone`` (skin, deviations): dark skin has brown eyes."""
    place = position(blue, tone)
    return {"iris_blue": float(np.interp(place, STEPS, BLUE)), "iris_light": float(np.interp(place, STEPS, LIGHT)) + 0.2 * light}


def position(number: float, tone: float) -> float:
    """Where on the way from dark brown (0) to blue (1) an iris is: the lighter the skin, the further people spread."""
    share = 0.5 * (1 + math.erf(number / math.sqrt(2)))
    fair = float(np.clip((tone + 0.3) / 2.6, 0, 1))
    brown = (0.15 + 0.19 * fair) * share ** (1.3 - 0.6 * fair) + 0.04 * fair
    return float(brown + (fair * share**1.1) * (1.0 - brown) if fair > 0 else brown)


def iris_colours(reflectance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear colours (3,) of the iris's outer and inner part, of the kind that the rig's modes show."""
    place = float(np.interp(reflectance[MODE_NAMES.index("iris_blue")], BLUE, STEPS))
    usual = np.interp(place, STEPS, LIGHT)
    lighter = math.exp(0.9 * float(np.clip(reflectance[MODE_NAMES.index("iris_light")] - usual, -0.8, 0.8)))
    mixed = lambda colours: lighter * np.array([np.interp(place, STEPS, colours[:, channel]) for channel in range(3)])
    return mixed(OUTER), mixed(INNER)


def eye_picture(maps: EyeMaps, person: Person) -> np.ndarray:
    """The front half of an eyeball (IRIS, IRIS, 4): colour, and height in cm of the bowl that an iris is."""
    look, angle = person.look, maps.angle
    old = float(np.clip((person.age - 25) / 50, 0, 1.1))
    pupil = PUPIL * math.exp(0.14 * look["pupil"] - 0.12 * old)
    across = np.clip((angle - pupil) / (LIMBUS - pupil), 0, 1)
    edge = np.clip((angle - LIMBUS + 1.0) / 2.4, 0, 1)[..., None]
    colour = iris(maps, person, across) * (1 - edge) + sclera(maps, look, old) * edge
    hole = np.clip((pupil + 0.7 - angle) / 1.3, 0, 1)[..., None]
    bowl = 0.05 * np.clip((angle - pupil) / (LIMBUS - pupil), 0, 1) ** 2 * (1 - edge[..., 0])
    return np.concatenate((np.clip(colour * (1 - hole) + 0.002 * hole, 0.002, 1), bowl[..., None]), axis=-1).astype(np.float32)


def iris(maps: EyeMaps, person: Person, across: np.ndarray) -> np.ndarray:
    """(IRIS, IRIS, 3): inner and outer zone with the collarette between, fibres, a dark ring at the limbus."""
    look = person.look
    outer, inner = iris_colours(person.reflectance)
    turn = 0.5 + 0.5 * np.tanh(look["iris_fibres"])
    fibres = (turn * maps.fibres[0] + (1 - turn) * maps.fibres[1]) / math.hypot(turn, 1 - turn)
    collar = 0.36 + 0.05 * maps.wave
    zone = np.clip((across - collar + 0.10) / 0.22, 0, 1)[..., None]
    colour = inner * (1 - zone) + outer * zone
    colour = colour * np.exp(0.30 * fibres * np.clip(across * 4, 0, 1))[..., None]
    colour = colour * (1 + 0.35 * np.exp(-(((across - collar) / 0.07) ** 2)))[..., None]
    ring = (0.55 + 0.15 * np.tanh(look["iris_ring"])) * np.clip((across - 0.70) / 0.30, 0, 1) ** 1.5
    return colour * (1 - ring - 0.45 * np.exp(-((across / 0.07) ** 2)))[..., None]


def sclera(maps: EyeMaps, look: dict[str, float], old: float) -> np.ndarray:
    """(IRIS, IRIS, 3): never white; yellower with age, redder towards the corners, with veins."""
    corner = np.clip((maps.angle - 30) / 42, 0, 1)[..., None]
    colour = SCLERA * np.exp(-old * np.array([0.03, 0.09, 0.24])) * (1 - corner * np.array([0.16, 0.36, 0.38]))
    red = (
        (0.35 + 0.25 * np.tanh(look["eye_veins"]) + 0.25 * old) * maps.veins[..., None] * np.clip((maps.angle[..., None] - 24) / 25, 0.0, 1)
    )
    return colour * np.exp(-red * np.array([0.25, 1.5, 1.4]))


def rims(face: FaceModel) -> np.ndarray:
    """Which vertices (V,) are the wet inner edges of the lids."""
    mask = {name: value.numpy() > 0.5 for name, value in face.masks.items()}
    return mask["face"] & ~np.any([mask[name] for name in mask if name != "face"], axis=0)


def lid_edges(face: FaceModel) -> dict[str, np.ndarray]:
    """The skin's vertices along each eye's lid edge, for "L" and "R": those that a wet rim hangs on."""
    quads, rim, skin = needed(face.quads, "quads").numpy(), rims(face), face.masks["skin"].numpy() > 0.5
    edge = np.unique(quads[rim[quads].any(axis=1)])
    edge = edge[skin[edge]]
    left = face.mean.numpy()[edge, 0] > 0
    return {"L": edge[left], "R": edge[~left]}


def nearness(distance: np.ndarray, some: np.ndarray, reach: float) -> np.ndarray:
    """How near vertices (V, 1) are to ``some`` of an edge's, 1 there to 0 from ``reach`` on; distance is (V, edge), cm."""
    return np.clip(1 - distance[:, some].min(axis=1) / reach, 0, 1)[:, None]


def lid_tint(face: FaceModel, head: np.ndarray, lids: dict[str, np.ndarray]) -> np.ndarray:
    """(V, 3) the factor by which what is about an eyeball colours each of its vertices: lids and lashes shade it, the
    caruncle in the inner corner is pink; head (V, 3), ``lids`` from ``lid_edges``.
    """
    tint = np.ones((len(head), 3))
    for side, edge in lids.items():
        mine = np.flatnonzero(face.groups[f"eye_{side}"].numpy() > 0.5)
        rest = face.mean.numpy()[edge]
        upper = rest[:, 1] > (rest[:, 1].min() + rest[:, 1].max()) / 2
        corner = np.abs(rest[:, 0]) < np.abs(rest[:, 0]).min() + 0.1
        distance = np.linalg.norm(head[mine][:, None] - head[edge][None], axis=2)
        near = partial(nearness, distance)
        shade = np.maximum(UPPER_SHADE * near(upper, SHADE_REACH), LOWER_SHADE * near(~upper, 0.4 * SHADE_REACH))
        tint[mine] = (1 - shade) * (1 - np.sqrt(near(corner, CARUNCLE)) * CARUNCLE_TAKES)
    return tint
