"""Skin: its tone and unevenness in the face model's modes, and maps of colour, roughness and relief over the face's chart.

What the rig's own mesh can show (tone, lips, cheeks, beard shadow, irises …) a person has as ``reflectance``; the maps
show the same at the chart's full resolution, and beside it what the mesh cannot: pores, lines, freckles, make-up.
"""

from __future__ import annotations

import numpy as np

from models.face.model import FaceModel
from models.face.own_head.reflectance import HAEMOGLOBIN, MIDDLE, MODE_NAMES
from models.face.own_head.storage import ALBEDO_FLOOR
from models.synthetic import eyes, hair
from models.synthetic.skin import makeup, tone
from models.synthetic.skin.age import AGE_NUMBERS, CREASES, creases, folds, grown
from models.synthetic.skin.chart import FINE, resized
from models.synthetic.skin.lines import own_course
from models.synthetic.skin.makeup import amounts
from models.synthetic.skin.maps import SkinMaps, prepare_maps
from models.synthetic.skin.pigment import blood, pattern, pigment, scar
from models.synthetic.skin.weights import reflectance
from models.synthetic.traits import Person

__all__ = ["NUMBERS", "TEXTURE", "SkinMaps", "creases", "oil", "paint", "prepare_maps", "reflectance", "subsurface", "vertex_colours"]

NUMBERS = (*makeup.NUMBERS, *AGE_NUMBERS, *eyes.NUMBERS, "gloss", "pores", "freckles", "moles", "stubble", "sun", "rosacea", "scar", "scar_place",
           "pattern_a", "pattern_b", "pattern_c")  # fmt: skip
TEXTURE = FINE
MELANIN = np.array([0.45, 0.80, 1.10])  # change of optical density in R, G, B per unit of pigment
PAINTED_BROWS = 0.15  # of the mean face's brows; real strands stand on them
MOUTH_LIGHT = 1.8  # the rig's mesh has no shadows, so its mouth is painted darker than flesh is


def vertex_colours(face: FaceModel, person: Person) -> np.ndarray:
    """Linear colours (V, 3) without what the detail map draws: tone and broad unevenness, scalp under hair, eyes, teeth."""
    modes, mean = face.albedo.numpy(), face.albedo_mean.numpy()
    plain = tone.base_colour(person.reflectance)
    blotches = sum(w * mode for name, w, mode in zip(MODE_NAMES, person.reflectance, modes, strict=True) if name.startswith("blotch"))
    skin = np.maximum(plain + blotches, ALBEDO_FLOOR * MIDDLE)
    skin = under_hair(skin, face, person)
    mask = {name: value.numpy()[:, None] > 0.5 for name, value in face.masks.items()}
    colours = np.where(mask["skin"], skin, mean)
    colours = np.where(eyes.rims(face)[:, None], (0.45 * plain + 0.10) * np.array([1.15, 0.72, 0.68]), colours)
    hollow = mask["mouth"] & ~np.any([mask[name] for name in ("tongue", "gums") if name in mask] or [mask["teeth"]], axis=0)
    colours = np.where(hollow, MOUTH_LIGHT * mean, colours)
    return np.where(mask["teeth"], mean * enamel_tint(person), colours)


def subsurface(person: Person) -> float:
    """How far light spreads under the skin, cm in red: less where melanin takes it."""
    return 0.08 + 0.05 * min(1.0, tone.lightness(tone.weight(person.reflectance, "tone")) / 1.6)


def oil(person: Person) -> float:
    """How much of the skin, 0–1, has a film of oil: from dry to wet with sweat; powder takes it away."""
    powder = 1 - 0.7 * amounts(person.look, person.masculine)["foundation"]
    return powder * 0.32 / (1 + float(np.exp(1.3 - 1.1 * person.look["gloss"] + 0.8 * grown(person.age))))


def enamel_tint(person: Person) -> np.ndarray:
    """Factor (3,) on the teeth's colour: yellower with age, from person to person."""
    yellow = 0.1 + 0.3 * person.look["teeth"] + 0.7 * grown(person.age)
    return 1.18 * np.exp(-np.clip(yellow, -0.5, 1.6) * np.array([0.06, 0.11, 0.26]))


def under_hair(skin: np.ndarray, face: FaceModel, person: Person) -> np.ndarray:
    """Skin (V, 3), tinted by the hair's colour where it is covered."""
    cover, tint = hair.scalp_cover(person, face)
    return skin * (1 - cover[:, None]) + cover[:, None] * tint


def model_pattern(maps: SkinMaps, reflectance: np.ndarray) -> np.ndarray:
    """(COARSE, COARSE, 3): the face model's own albedo over plain skin, at the map's resolution."""
    mean = tone.mean_pattern(maps.region, 0.5 * PAINTED_BROWS)
    change = np.zeros_like(mean)
    for name, place in tone.REGION_OF_MODE.items():
        share = PAINTED_BROWS if name == "brows" else 1.0
        change += maps.region[place][..., None] * (share * tone.weight(reflectance, name) * tone.mode_colours()[name])
    plain = np.maximum(tone.base_colour(reflectance), ALBEDO_FLOOR * MIDDLE)
    return np.maximum(mean * (tone.base_colour(reflectance) / plain) + change / plain, ALBEDO_FLOOR * mean * MIDDLE / plain)


def painted(pattern: np.ndarray, maps: SkinMaps, person: Person) -> np.ndarray:
    """The pattern (COARSE, COARSE, 3) with lipstick and eye shadow, whose colours the modes only come near to."""
    look, worn, plain = person.look, amounts(person.look, person.masculine), tone.base_colour(person.reflectance)
    for place, amount, colour in (
        ("lips", 0.8 * worn["lipstick"], makeup.lipstick_colour(look, plain)),
        ("lids", 0.75 * worn["eye_shadow"], makeup.shadow_colour(look)),
    ):
        cover = (amount * maps.region[place])[..., None]
        pattern = pattern * (1 - cover) + cover * (colour / plain)
    return pattern


def detail_map(maps: SkinMaps, person: Person, lines: np.ndarray) -> np.ndarray:
    """(TEXTURE, TEXTURE, 4) float32: a factor on the vertex colour and, last, the roughness.

    ``lines`` are the heights of ``line_heights``. Over the whole face the factor's mean is the face model's own: what
    is finer than its modes only varies about it.
    """
    worn = amounts(person.look, person.masculine)
    cover = 1 - 0.65 * worn["foundation"]
    shade = np.clip(-lines[..., 0] / 0.05, 0, 1.5)  # less light comes out of a line's ground
    melanin = evened(cover * pigment(maps, person) + 0.07 * shade, maps)
    red = evened(cover * blood(maps, person) + 0.10 * shade, maps)
    result = np.ones((FINE, FINE, 4), np.float32)
    pattern = resized(painted(model_pattern(maps, person.reflectance), maps, person), FINE)
    liner = (1 - 0.85 * worn["eye_liner"] * maps.fine["lash_line"]) * maps.on_face
    for channel in range(3):
        density = np.clip(-MELANIN[channel] * melanin - HAEMOGLOBIN[channel] * red, -2.4, 0.4)
        result[..., channel] = 1 - maps.on_face + liner * pattern[..., channel] * np.exp(density)
    result[..., 3] = roughness(maps, person, worn)
    result[:2, :2, :3] = 1  # the corner that everything but the face looks up
    return result


def evened(field: np.ndarray, maps: SkinMaps) -> np.ndarray:
    """The field (FINE²) without its mean over the face, so that it changes no one's tone; a lash line is left dark."""
    weight = maps.on_face * (1 - maps.fine["lash_line"])
    return field - float((field * weight).sum() / weight.sum())


def roughness(maps: SkinMaps, person: Person, worn: dict[str, float]) -> np.ndarray:
    """(FINE, FINE): oily on nose and forehead, drier with age, glossy lips."""
    region, wet, old = maps.region, np.tanh(0.8 * person.look["gloss"]), grown(person.age)
    coarse = 0.50 - 0.08 * wet + 0.03 * old + 0.08 * worn["foundation"]
    coarse = coarse - (0.08 + 0.06 * wet) * np.clip(region["nose"] + 0.8 * region["forehead"], 0, 1) + 0.05 * region["beard"]
    lips = 0.42 - 0.04 * wet - 0.18 * worn["lip_gloss"] + 0.06 * old
    coarse = coarse * (1 - region["lips"]) + lips * region["lips"]
    return np.clip(resized(coarse, FINE) + 0.045 * maps.fine["grain"] + 0.03 * maps.fine["blood"], 0.18, 0.75)


def line_heights(maps: SkinMaps, person: Person) -> np.ndarray:
    """Heights (FINE, FINE, 4) in cm of a person's lines: at rest, and what raised brows, a frown and a smile add at full strength."""
    of = lambda depths: sum(np.float32(depth) * maps.lines[kind] for kind, depth in depths.items())
    return own_course(np.stack([of(folds(person)), *map(of, CREASES.values())], axis=-1), maps.course, pattern(person.look))


def relief_map(maps: SkinMaps, person: Person, lines: np.ndarray) -> np.ndarray:
    """(TEXTURE, TEXTURE, 4) float32 heights in cm: ``lines`` from ``line_heights``, and at rest pores, unevenness, lips' lines."""
    look, fine, old = person.look, maps.fine, grown(person.age)
    rough = np.exp(0.35 * np.tanh(look["pores"])) * (1 + 0.6 * old)
    skin = rough * (0.0028 * fine["pores"] * (0.7 + 0.6 * fine["rosy"]) + 0.0045 * fine["grain"] + (0.004 + 0.004 * old) * fine["blood"])
    skin = skin * (1 - fine["lips"]) + 0.0045 * (1 + 0.6 * old) * fine["lips"] * fine["lip_lines"]
    heights = lines.copy()
    heights[..., 0] += skin - 0.02 * scar(maps, look)
    return (heights * maps.on_face[..., None]).astype(np.float32)


def paint(maps: SkinMaps, person: Person) -> tuple[np.ndarray, np.ndarray]:
    """A person's ``detail_map`` and ``relief_map``."""
    lines = line_heights(maps, person)
    return detail_map(maps, person, lines), relief_map(maps, person, lines)
