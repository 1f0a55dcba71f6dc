"""What skin and eyes look like up close: a detail map over the face's chart and the picture of an iris."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.face.model import FaceModel
from models.face.reflectance import DARK, HAEMOGLOBIN, LIGHT, MODE_NAMES, regions
from models.synthetic.hair.strands import (
    blended_style,
    hair_colour,
    landmark_chart,
    make_up,
    scalp_margin,
)

NUMBERS = ("make_up", "gloss", "pores", "freckles", "moles", "stubble", "pupil")
TEXTURE = 512  # side of the detail map
IRIS = 192  # side of the eye's picture; it shows the front half of the ball
PUPIL, LIMBUS = 8.5, 22.0  # degrees from the eye's axis
MIDDLE = np.exp(0.62 * np.log(LIGHT) + 0.38 * np.log(DARK))  # the tone of the mean albedo
NOSTRILS, NOSTRIL_RADII, NOSTRIL_RISE = (32, 34), (0.013, 0.008), 0.010  # landmarks they lie above, chart units
PALEST_LIPS = -0.6  # further along the mode lips would turn green
MAPPED = ("lips_red", "lips_dark", "cheeks", "nose_ears", "under_eyes", "brows", "beard", "lids", "forehead")  # modes drawn in the map
MAP_OF_MODE = {
    "lips_red": ("lips", (0.10, -0.14, -0.08)),
    "lips_dark": ("lips", (-0.16, -0.16, -0.16)),
    "cheeks": ("cheeks", tuple(-0.14 * HAEMOGLOBIN)),
    "nose_ears": ("nose", tuple(-0.12 * HAEMOGLOBIN)),
    "under_eyes": ("under_eyes", (-0.18, -0.2, -0.12)),
    "brows": ("brow", (-0.32, -0.32, -0.32)),
    "beard": ("beard", (-0.26, -0.24, -0.2)),
    "lids": ("lids", (-0.12, -0.16, -0.13)),
    "forehead": ("forehead", (0.08, 0.08, 0.08)),
}


@dataclass
class SkinMaps:
    """Maps (TEXTURE, TEXTURE) over the chart, row 0 at v = 0, and the eye's coordinates."""

    region: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    angle: np.ndarray  # (IRIS, IRIS) degrees from the eye's axis
    fibres: np.ndarray  # (IRIS, IRIS) pattern of the iris
    veins: np.ndarray  # (IRIS, IRIS) 0–1


def blur(image: np.ndarray, radius: float) -> np.ndarray:
    """Gaussian blur of one channel."""
    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), radius)


def prepare_maps() -> SkinMaps:
    """The maps that all people share."""
    steps = (np.arange(TEXTURE) + 0.5) / TEXTURE
    u, v = np.meshgrid(steps, steps)
    landmarks = landmark_chart()
    region = {name: blur(mask.reshape(TEXTURE, TEXTURE), 2.0) for name, mask in regions(np.stack((u, v), -1).reshape(-1, 2), landmarks).items()}
    region["lash_line"] = lash_line(u, v)
    region["lines"] = wrinkles(u, v, landmarks)
    region["nostrils"] = nostrils(u, v, landmarks)
    return SkinMaps(region, skin_noise(), *iris_maps())


def nostrils(u: np.ndarray, v: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Two dark openings under the nose, 0–1."""
    spots = 0.0
    for i in NOSTRILS:
        x, y = (u - landmarks[i, 0]) / NOSTRIL_RADII[0], (v - landmarks[i, 1] - NOSTRIL_RISE) / NOSTRIL_RADII[1]
        spots = spots + np.exp(-((x * x + y * y) ** 1.5))
    return np.clip(spots, 0, 1)


def lash_line(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Dark along the lid edges, strong above the eye."""
    mirrored = np.where(u > 0.5, 1 - u, u)
    along = np.clip((mirrored - 0.312) / 0.012, 0, 1) * np.clip((0.388 - mirrored) / 0.012, 0, 1)
    return along * np.maximum(np.exp(-0.5 * ((v - 0.7205) / 0.003) ** 2), 0.4 * np.exp(-0.5 * ((v - 0.7135) / 0.002) ** 2))


def wrinkles(u: np.ndarray, v: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Lines of age, 0–1: across the forehead, beside the eyes, from nose to mouth, under the eyes."""
    x = np.abs(u - 0.5)
    wave = v + 0.006 * np.cos(14 * x) + 0.003 * np.sin(41 * x + 1)
    brow = float(landmarks[17:27, 1].mean())
    forehead = sum(np.exp(-0.5 * ((wave - brow - height) / 0.0035) ** 2) for height in (0.045, 0.072, 0.1)) * np.exp(-((x / 0.15) ** 4))
    outer = np.array([0.5 - landmarks[36, 0], landmarks[36, 1]])
    dx, dy = x - outer[0], v - outer[1]
    crow = sum(np.exp(-0.5 * ((dy - slope * dx) / 0.003) ** 2) for slope in (0.45, 0.05, -0.4))
    crow = crow * np.clip((dx - 0.012) / 0.01, 0, 1) * np.clip((0.06 - dx) / 0.02, 0, 1)
    nose, mouth = np.array([0.5 - landmarks[31, 0] + 0.022, landmarks[31, 1] + 0.005]), np.array([0.5 - landmarks[48, 0] + 0.03, landmarks[48, 1]])
    t = np.clip((v - nose[1]) / (mouth[1] - nose[1]), 0, 1)
    fold = np.exp(-0.5 * ((x - nose[0] - t**0.8 * (mouth[0] - nose[0])) / 0.005) ** 2)
    fold = fold * np.clip((nose[1] + 0.01 - v) / 0.02, 0, 1) * np.clip((v - mouth[1] + 0.03) / 0.04, 0, 1)
    bag = np.exp(-0.5 * ((v - outer[1] + 0.038 - 0.25 * (x - outer[0] + 0.05) ** 2) / 0.004) ** 2) * np.exp(-(((x - outer[0] + 0.04) / 0.035) ** 4))
    return np.clip(forehead * 0.8 + crow * 0.8 + fold + 0.5 * bag, 0, 1)


def skin_noise() -> dict[str, np.ndarray]:
    """Pores and mottle (zero mean, unit deviation), freckles, moles and stubble (0–1)."""
    rng = np.random.default_rng(11)
    white = rng.normal(size=(6, TEXTURE, TEXTURE))
    scaled = lambda image: (image - image.mean()) / image.std()
    spots = scaled(blur(white[2], 1.6))
    moles = np.zeros((TEXTURE, TEXTURE))
    rows, columns = rng.integers(0, TEXTURE, size=(2, 30))
    moles[rows, columns] = rng.uniform(0.5, 1.0, size=30)
    moles = np.clip(blur(moles, 1.3) * 9, 0, 1)
    return {
        "pores": scaled(blur(white[0], 0.7)),
        "mottle": scaled(blur(white[1], 9)),
        "blood": scaled(blur(white[4], 5)),
        "freckles": np.clip((spots - 1.3) * 1.2, 0, 1),
        "moles": moles,
        "stubble": np.clip(0.5 + 0.5 * scaled(blur(white[3], 0.8)), 0, 1),
    }


def iris_maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angle from the axis, iris fibres and veins over the eye's picture."""
    steps = (np.arange(IRIS) + 0.5) / IRIS * 2 - 1
    x, y = np.meshgrid(steps, steps)
    radius = np.minimum(np.hypot(x, y), 1.0)
    angle = np.degrees(np.arcsin(radius))
    around = np.arctan2(y, x)
    fibres = 0.5 * np.sin(around * 37 + 2 * np.sin(around * 5)) + 0.3 * np.sin(around * 71 + 1) + 0.2 * np.sin(around * 13 + angle * 0.4)
    rng = np.random.default_rng(3)
    veins = np.clip(blur(rng.normal(size=(IRIS, IRIS)), 2.0) * 8 - 0.6, 0, 1)
    return angle, fibres, veins


def reflectance(numbers: np.ndarray, look: dict[str, float], age: float, masculine: float) -> np.ndarray:
    """The face model's reflectance weights (B,) of a person, from standard-normal numbers (B,)."""
    weights = 0.85 * numbers
    weights[MODE_NAMES.index("tone")] = np.clip(1.3 * numbers[MODE_NAMES.index("tone")], -2.3, 2.6)
    return weights


def skin_tone(reflectance: np.ndarray) -> np.ndarray:
    """The base colour (…, 3) of skin of ``reflectance`` (…, M): along melanin between the measured ends, in logarithms."""
    tone = 1 / (1 + np.exp(-(0.55 + 1.15 * reflectance[..., :1])))
    return np.exp(tone * np.log(LIGHT) + (1 - tone) * np.log(DARK))


def vertex_colours(face: FaceModel, person) -> np.ndarray:
    """Linear colours (V, 3) without what the detail map draws: tone and broad unevenness, scalp under hair, eyes, teeth."""
    reflectance, look, style = person.reflectance, person.look, blended_style(person.look)
    recede, density = style["recede"], style["density"]
    albedo = face.albedo.numpy()
    broad = reflectance.copy()
    for name in ("tone", "scalp", *MAPPED):
        broad[MODE_NAMES.index(name)] = 0
    change = np.tensordot(broad, albedo, axes=1) / MIDDLE
    skin = skin_tone(reflectance) * np.exp(np.clip(change, -1.0, 0.6))
    margin = scalp_margin(face.mean.numpy())
    cover = np.clip((margin - recede) / 4, 0, 1)[:, None] * (0.25 + 0.6 * density)
    skin = skin * (1 - cover) + cover * (0.5 * skin + 0.5 * hair_colour(look)) * 0.8
    on_skin = (face.masks["skin"].numpy() > 0.5)[:, None]
    other = face.albedo_mean.numpy()
    return np.where(on_skin | (face.masks["teeth"] + face.masks["mouth"] + face.masks["eyes"] < 0.5).numpy()[:, None], skin, other)


def detail_map(maps: SkinMaps, person) -> np.ndarray:
    """(TEXTURE, TEXTURE, 4): a factor on the vertex colour and, last, a factor on roughness."""
    region, noise, reflectance, look = maps.region, maps.noise, person.reflectance, person.look
    change = np.zeros((TEXTURE, TEXTURE, 3))
    for name, (place, colour) in MAP_OF_MODE.items():
        weight = reflectance[MODE_NAMES.index(name)]
        weight = max(weight, PALEST_LIPS) if name == "lips_red" else weight
        change += region[place][..., None] * (weight * np.asarray(colour))
    change -= 0.30 * region["lips"][..., None] * HAEMOGLOBIN
    change += 0.05 * np.asarray(HAEMOGLOBIN) * noise["blood"][..., None] * (0.6 + 0.8 * region["cheeks"] + 0.8 * region["nose"])[..., None]
    change = np.clip(change, -1.3, 0.6)
    age = float(np.clip((person.age - 25) / 40, 0, 1.2))
    tone = 0.03 * noise["mottle"] + 0.035 * (1 + 0.5 * np.tanh(look["pores"])) * noise["pores"]
    tone -= 0.20 * age * region["lines"]
    tone -= 0.4 * max(0.0, look["freckles"] - 0.9) * noise["freckles"] * np.clip(region["nose"] + region["cheeks"] + 0.15, 0, 1)
    tone -= 0.8 * np.clip(0.8 * (look["moles"] - 0.4), 0, 1) * noise["moles"]
    masculine = 1 - make_up(look)
    shadow = 0.42 * np.clip(0.7 * look["stubble"] + 0.7 * max(0.0, look["beard"]), 0, 1) * masculine
    tone -= shadow * region["beard"] * (0.55 + 0.45 * noise["stubble"]) + 0.9 * region["lash_line"] + 0.28 * region["brow"] + 0.9 * region["nostrils"]
    factor = np.exp(change + np.clip(tone, -2.4, 0.4)[..., None])
    factor *= 1 - make_up(look) * (0.45 * region["lids"][..., None] * [0.6, 0.75, 0.6] + region["lips"][..., None] * [0.05, 0.5, 0.42])
    gloss = 1.0 - 0.22 * region["nose"] - 0.14 * region["forehead"] - 0.30 * region["lips"] + 0.08 * region["beard"]
    detail = np.concatenate((factor, gloss[..., None]), axis=-1).astype(np.float32)
    detail[:2, :2] = 1  # the corner that everything but the face looks up
    return detail


def iris_picture(maps: SkinMaps, colour: np.ndarray, look: dict) -> np.ndarray:
    """The front half of an eyeball (IRIS, IRIS, 3): sclera with veins, limbus, fibrous iris, pupil."""
    angle = maps.angle[..., None]
    pupil = PUPIL * float(np.exp(0.12 * look["pupil"]))
    ring = colour * (1.0 + 0.35 * maps.fibres[..., None]) * (1.35 - 0.45 * np.clip((angle - pupil) / (LIMBUS - pupil), 0, 1))
    ring = ring * (1 - 0.72 * np.clip((angle - LIMBUS + 4.0) / 4.0, 0, 1))
    sclera = np.array([0.55, 0.50, 0.47]) * (1 - 0.3 * np.clip((angle - 28) / 45, 0, 1) * np.array([0.5, 1.0, 1.0]))
    sclera = sclera - maps.veins[..., None] * np.array([0.02, 0.10, 0.09]) * np.clip((angle - 26) / 30, 0, 1)
    iris = ring + (0.004 - ring) * np.clip((pupil + 1.2 - angle) / 1.8, 0, 1)
    edge = np.clip((angle - LIMBUS + 0.8) / 1.8, 0, 1)
    return np.clip(iris * (1 - edge) + sclera * edge, 0.002, 1)


def iris_colour(face: FaceModel, reflectance: np.ndarray) -> np.ndarray:
    """The iris's colour (3,) from the model's modes, brighter than the matte mean because a cornea gathers light."""
    names = ("iris_blue", "iris_light")
    at = int(np.argmax(np.abs(face.albedo[MODE_NAMES.index("iris_blue")].numpy()).sum(axis=1)))
    base = face.albedo_mean.numpy()[at]
    colour = base + sum(reflectance[MODE_NAMES.index(name)] * face.albedo.numpy()[MODE_NAMES.index(name), at] for name in names)
    return np.clip(colour, [0.016, 0.010, 0.006], 0.4)
