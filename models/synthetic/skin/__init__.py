"""Skin: its tone and unevenness in the face model's modes, and maps of colour, roughness and relief over the face's chart.

What the rig's own mesh can show (tone, lips, cheeks, beard shadow, irises …) a person has as ``reflectance``; the maps
show the same at the chart's full resolution, and beside it what the mesh cannot: pores, lines, freckles, make-up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face.model import FaceModel
from models.face.reflectance import ALBEDO_FLOOR, HAEMOGLOBIN, MIDDLE, MODE_NAMES, regions
from models.synthetic import eyes, hair
from models.synthetic.skin import makeup, tone
from models.synthetic.skin.age import AGE_NUMBERS, CREASES, creases, folds, grown
from models.synthetic.skin.chart import COARSE, FINE, blur, grid, landmark_chart, noise, places, resized
from models.synthetic.skin.lines import course_fields, line_maps, own_course
from models.synthetic.skin.makeup import amounts

NUMBERS = (*makeup.NUMBERS, *AGE_NUMBERS, *eyes.NUMBERS, "gloss", "pores", "freckles", "moles", "stubble", "sun", "rosacea", "scar", "scar_place",
           "pattern_a", "pattern_b", "pattern_c")  # fmt: skip
TEXTURE = FINE
MELANIN = np.array([0.45, 0.80, 1.10])  # change of optical density in R, G, B per unit of pigment
PALEST_LIPS = -0.8  # further along the mode lips would turn green
PAINTED_BROWS = 0.15  # of the mean face's brows; real strands stand on them
MOUTH_LIGHT = 1.8  # the rig's mesh has no shadows, so its mouth is painted darker than flesh is
NOSTRILS, NOSTRIL_RADII, NOSTRIL_RISE = (32, 34), (0.013, 0.008), 0.010  # landmarks they lie above, chart units


@dataclass
class SkinMaps:
    """Maps over the chart, row 0 at v = 0: regions (COARSE²), what is finer (FINE²), and the eyes' pictures."""

    region: dict[str, np.ndarray]
    fine: dict[str, np.ndarray]
    spots: np.ndarray  # (3, FINE, FINE) and
    specks: np.ndarray  # (3, FINE, FINE): random fields that a person mixes
    lines: dict[str, np.ndarray]  # heights by kind, −1 in the ground
    course: np.ndarray  # fields that lines stray by
    on_face: np.ndarray  # (FINE, FINE) 0 at the chart's edge
    eye: eyes.EyeMaps


def prepare_maps(face: FaceModel) -> SkinMaps:
    """The maps that all people share."""
    landmarks, (small, sure) = landmark_chart(), places(face)
    coarse, fine = resized(small, COARSE), resized(small, FINE)
    masks = regions(grid(COARSE).reshape(-1, 2), landmarks)
    region = {name: blur(mask.reshape(COARSE, COARSE), 1.0) for name, mask in masks.items()}
    region["nostrils"] = np.maximum(region["nostrils"], nostrils(landmarks))
    field = lambda wave, seed: resized(noise(coarse, wave, seed), FINE)
    maps = {
        "lips": resized(region["lips"], FINE),
        "beard": resized(region["beard"], FINE),
        "rosy": resized(np.clip(region["cheeks"] + region["nose"], 0, 1), FINE),
        "lash_line": lash_line(),
        "pores": noise(fine, 0.13, 11) + 0.5 * noise(fine, 0.08, 12),
        "grain": noise(fine, 0.3, 13),
        "mottle": field(1.6, 14),
        "blood": 0.7 * field(0.9, 15) + 0.5 * noise(fine, 0.35, 16),
        "patches": field(1.1, 20),
        "vessels": vessels(fine),
        "lip_lines": lip_lines(),
    }
    return SkinMaps(region, maps, np.stack([noise(fine, 0.55, 21 + i) for i in range(3)]), np.stack([noise(fine, 0.24, 25 + i) for i in range(3)]),
                    line_maps(fine), course_fields(fine), resized(np.clip(blur(sure, 3.0) * 2 - 1, 0, 1), FINE), eyes.prepare_maps())  # fmt: skip


def nostrils(landmarks: np.ndarray) -> np.ndarray:
    """Two dark openings under the nose (COARSE²), 0–1."""
    spots, (u, v) = 0.0, np.moveaxis(grid(COARSE), -1, 0)
    for i in NOSTRILS:
        x, y = (u - landmarks[i, 0]) / NOSTRIL_RADII[0], (v - landmarks[i, 1] - NOSTRIL_RISE) / NOSTRIL_RADII[1]
        spots = spots + np.exp(-((x * x + y * y) ** 1.5))
    return np.clip(spots, 0, 1)


def lash_line() -> np.ndarray:
    """Dark along the lid edges (FINE²), strong above the eye."""
    u, v = np.moveaxis(grid(FINE), -1, 0)
    mirrored = np.where(u > 0.5, 1 - u, u)
    along = np.clip((mirrored - 0.312) / 0.012, 0, 1) * np.clip((0.388 - mirrored) / 0.012, 0, 1)
    return (along * np.maximum(np.exp(-0.5 * ((v - 0.7205) / 0.003) ** 2), 0.4 * np.exp(-0.5 * ((v - 0.7135) / 0.002) ** 2))).astype(np.float32)


def vessels(points: np.ndarray) -> np.ndarray:
    """Fine red threads under the skin (…) at points (…, 3), 0–1."""
    return np.clip(1 - 5 * np.abs(noise(points, 0.7, 17)), 0, 1) * np.clip(noise(points, 1.5, 18), 0, 1)


def lip_lines() -> np.ndarray:
    """Grooves across the lips (FINE²), zero mean: they fan out from the middle."""
    u, v = np.moveaxis(grid(FINE), -1, 0)
    fan = (u - 0.5) * (1 + 1.2 * np.abs(v - 0.435))
    rng = np.random.default_rng(19)
    waves = ((rng.uniform(140, 420), rng.uniform(0, 6.3), rng.uniform(10, 40)) for _ in range(7))
    return sum(np.sin(2 * np.pi * rate * fan / 3 + phase + np.sin(bend * v)) for rate, phase, bend in waves).astype(np.float32) / 2.6


def reflectance(numbers: np.ndarray, look: dict[str, float], age: float, masculine: float) -> np.ndarray:
    """The face model's reflectance weights (B,) of a person, from standard-normal numbers (B,)."""
    draw = dict(zip(MODE_NAMES, numbers, strict=True))
    weights = {name: 0.85 * value for name, value in draw.items()}
    weights["tone"] = tone.tone_weight(draw["tone"])
    light, old, worn = tone.lightness(weights["tone"]), grown(age), amounts(look, masculine)
    weights["tone_warmth"] = 0.9 * draw["tone_warmth"] + tone.paleness(weights["tone"])
    weights["redness"] = 0.8 * draw["redness"] + 0.3 * max(0.0, look["rosacea"] - 0.5)
    weights["cheeks"] = 0.6 * draw["cheeks"] + 1.3 * max(0.0, look["rosacea"] - 0.7) + 1.8 * worn["blush"]
    weights["nose_ears"] = 0.7 * draw["nose_ears"] + 1.0 * max(0.0, look["rosacea"] - 0.7) + 0.4 * old
    weights["under_eyes"] = 0.7 * draw["under_eyes"] + 0.35 + 0.6 * old - 1.2 * worn["foundation"]
    weights["beard"] = 0.15 * draw["beard"] + 2.1 * stubble_shadow(look, masculine)
    weights["brows"] = 0.5 * draw["brows"] + brow_darkness(look)
    weights["lips_red"] = max(PALEST_LIPS, 0.8 * draw["lips_red"] + 0.2 - 0.7 * old)
    weights["lips_dark"] = 0.7 * draw["lips_dark"] - 0.4 * old + 0.8 * max(0.0, 0.8 - light)
    for name in (*tone.REGION_OF_MODE, *(name for name in MODE_NAMES if name.startswith("blotch")), "tone_warmth", "redness"):
        weights[name] *= min(1.0, light)  # the modes are added: on dark skin they would do too much
    for name in MODE_NAMES:
        if name.startswith("blotch"):
            weights[name] *= (1 - 0.6 * worn["foundation"]) * (1 + 0.25 * max(0.0, look["sun"]) + 0.4 * old)
    weights |= eyes.weights(draw["iris_blue"], draw["iris_light"], weights["tone"])
    result = np.array([weights[name] for name in MODE_NAMES])
    return with_lipstick(result, look, worn["lipstick"])


def with_lipstick(reflectance: np.ndarray, look: dict[str, float], amount: float) -> np.ndarray:
    """Weights whose lips come as near to the lipstick as the modes can."""
    if amount <= 0:
        return reflectance
    names, plain = ("lips_red", "lips_dark"), tone.base_colour(reflectance)
    modes = np.stack([tone.mode_colours()[name] for name in names], axis=1)
    wanted = makeup.lipstick_colour(look, plain) - plain * np.exp(-0.75 * HAEMOGLOBIN)
    fitted = np.clip(np.linalg.lstsq(modes, wanted, rcond=None)[0], PALEST_LIPS, 4.0)
    result = reflectance.copy()
    for name, value in zip(names, fitted, strict=True):
        at = MODE_NAMES.index(name)
        result[at] += amount * (value - result[at])
    return result


def stubble_shadow(look: dict[str, float], masculine: float) -> float:
    """How dark shaven or short beard hair makes the skin, 0–1."""
    return float(np.clip(0.45 * look["stubble"] + 0.4 * max(0.0, look.get("beard", 0.0)) + 0.1, 0, 1) * np.clip(masculine + 0.3, 0, 1))


def brow_darkness(look: dict[str, float]) -> float:
    """How much darker than the mean brows are, by the hair's colour."""
    return 0.5 * np.tanh(look.get("brow_dark", 0.0)) + 0.4 * np.tanh(look.get("hair_dark", 0.0))


def pattern(look: dict[str, float]) -> np.ndarray:
    """The numbers (3,) that make what is random on a skin a person's own."""
    return np.array([look["pattern_a"], look["pattern_b"], look["pattern_c"]])


def mixture(fields: np.ndarray, look: dict[str, float]) -> np.ndarray:
    """A person's own pattern (FINE²), of unit deviation, from three random fields."""
    weights = pattern(look) + 1e-6
    return np.tensordot((weights / np.linalg.norm(weights)).astype(np.float32), fields, axes=1)


def vertex_colours(face: FaceModel, person) -> np.ndarray:
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


def subsurface(person) -> float:
    """How far light spreads under the skin, cm in red: less where melanin takes it."""
    return 0.08 + 0.05 * min(1.0, tone.lightness(tone.weight(person.reflectance, "tone")) / 1.6)


def oil(person) -> float:
    """How much of the skin, 0–1, has a film of oil: from dry to wet with sweat; powder takes it away."""
    powder = 1 - 0.7 * amounts(person.look, person.masculine)["foundation"]
    return powder * 0.32 / (1 + float(np.exp(1.3 - 1.1 * person.look["gloss"] + 0.8 * grown(person.age))))


def enamel_tint(person) -> np.ndarray:
    """Factor (3,) on the teeth's colour: yellower with age, from person to person."""
    yellow = 0.1 + 0.3 * person.look["teeth"] + 0.7 * grown(person.age)
    return 1.18 * np.exp(-np.clip(yellow, -0.5, 1.6) * np.array([0.06, 0.11, 0.26]))


def under_hair(skin: np.ndarray, face: FaceModel, person) -> np.ndarray:
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


def painted(pattern: np.ndarray, maps: SkinMaps, person) -> np.ndarray:
    """The pattern (COARSE, COARSE, 3) with lipstick and eye shadow, whose colours the modes only come near to."""
    look, worn, plain = person.look, amounts(person.look, person.masculine), tone.base_colour(person.reflectance)
    for place, amount, colour in (
        ("lips", 0.8 * worn["lipstick"], makeup.lipstick_colour(look, plain)),
        ("lids", 0.75 * worn["eye_shadow"], makeup.shadow_colour(look)),
    ):
        cover = (amount * maps.region[place])[..., None]
        pattern = pattern * (1 - cover) + cover * (colour / plain)
    return pattern


def pigment(maps: SkinMaps, person) -> np.ndarray:
    """Melanin (FINE²) beyond the person's tone: mottle, freckles, moles, age spots, stubble, lashes' roots."""
    look, fine, old = person.look, maps.fine, grown(person.age)
    light = min(1.0, tone.lightness(tone.weight(person.reflectance, "tone")))
    sun = max(0.0, look["sun"])
    specks, spots = mixture(maps.specks, look), mixture(maps.spots, look)
    amount = (0.06 + 0.02 * sun + 0.05 * old) * fine["mottle"] + (0.025 + 0.02 * old) * fine["grain"]
    freckles = np.clip(look["freckles"] - 0.6 + 0.3 * sun, 0, 2.0) * light
    if freckles > 0:
        amount += 0.30 * freckles * np.clip(specks - 1.2 + 0.35 * freckles, 0, 1.2) * np.clip(maps.fine["rosy"] + 0.25, 0, 1)
    aged = np.clip(1.3 * (old - 0.5) + 0.25 * look["age_spots"] + 0.2 * sun, 0, 1.2) * light
    if aged > 0:
        amount += 0.45 * aged * np.clip(1.1 * (spots - 2.3 + 0.25 * aged), 0, 1)
    moles = np.clip(3.3 - 0.2 * look["moles"], 2.8, 3.8)
    amount += 1.3 * np.clip(3.0 * (specks - moles - 0.25 * np.abs(spots)), 0, 1)
    shadow = stubble_shadow(look, person.masculine)
    return amount + 0.4 * shadow * fine["beard"] * np.clip(fine["pores"] - 0.6, 0, 2) + 1.1 * fine["lash_line"]


def blood(maps: SkinMaps, person) -> np.ndarray:
    """Haemoglobin (FINE²) beyond the person's redness: mottle, flushed cheeks and their vessels, scars."""
    look, fine, old = person.look, maps.fine, grown(person.age)
    flushed = max(0.0, look["rosacea"] - 0.5)
    amount = (0.05 + 0.05 * fine["rosy"]) * fine["blood"] * (1 + 0.5 * flushed)
    amount += (0.25 * flushed + 0.18 * old) * fine["vessels"] * fine["rosy"]
    cheeks = 0.15 + 0.14 * max(0.0, tone.weight(person.reflectance, "cheeks"))
    amount += 0.35 * cheeks * fine["rosy"] * fine["patches"]  # a flush is blotched, not a disc
    seen = 0.4 + 0.6 * min(1.0, tone.lightness(tone.weight(person.reflectance, "tone")))  # melanin hides it
    return seen * amount - 0.35 * scar(maps, look)


def scar(maps: SkinMaps, look: dict[str, float]) -> np.ndarray:
    """A scar (FINE²), 0–1, on few faces: a short pale line on brow, cheek or chin."""
    strength = float(np.clip(1.5 * (look["scar"] - 1.4), 0, 1))
    if strength <= 0:
        return np.zeros((), np.float32)
    u, v = np.moveaxis(grid(FINE), -1, 0)
    at = makeup.picked(np.array([(0.44, 0.30), (0.31, 0.50), (0.27, 0.63), (0.35, 0.80), (0.60, 0.88), (0.68, 0.58), (0.56, 0.31)]), look["scar_place"])
    turn = 3.0 * look["scar_place"]
    along, across = (u - at[0]) * np.cos(turn) + (v - at[1]) * np.sin(turn), (v - at[1]) * np.cos(turn) - (u - at[0]) * np.sin(turn)
    return strength * np.exp(-((along / 0.03) ** 4) - 0.5 * ((across - 6 * along**2) / 0.0022) ** 2).astype(np.float32)


def detail_map(maps: SkinMaps, person, lines: np.ndarray) -> np.ndarray:
    """(TEXTURE, TEXTURE, 4) float32: a factor on the vertex colour and, last, the roughness.

    ``lines`` are the heights of ``line_heights``. Over the whole face the factor's mean is the face model's own: what is finer than its modes only varies about it.
    """
    worn = amounts(person.look, person.masculine)
    cover = 1 - 0.65 * worn["foundation"]
    shade = np.clip(-lines[..., 0] / 0.05, 0, 1.5)  # less light comes out of a line's ground
    melanin = evened(cover * pigment(maps, person) + 0.10 * shade, maps)
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


def roughness(maps: SkinMaps, person, worn: dict[str, float]) -> np.ndarray:
    """(FINE, FINE): oily on nose and forehead, drier with age, glossy lips."""
    region, wet, old = maps.region, np.tanh(0.8 * person.look["gloss"]), grown(person.age)
    coarse = 0.50 - 0.08 * wet + 0.03 * old + 0.08 * worn["foundation"]
    coarse = coarse - (0.08 + 0.06 * wet) * np.clip(region["nose"] + 0.8 * region["forehead"], 0, 1) + 0.05 * region["beard"]
    lips = 0.42 - 0.04 * wet - 0.18 * worn["lip_gloss"] + 0.06 * old
    coarse = coarse * (1 - region["lips"]) + lips * region["lips"]
    return np.clip(resized(coarse, FINE) + 0.045 * maps.fine["grain"] + 0.03 * maps.fine["blood"], 0.18, 0.75)


def line_heights(maps: SkinMaps, person) -> np.ndarray:
    """Heights (FINE, FINE, 4) in cm of a person's lines: at rest, and what raised brows, a frown and a smile add at full strength."""
    of = lambda depths: sum(np.float32(depth) * maps.lines[kind] for kind, depth in depths.items())
    return own_course(np.stack([of(folds(person)), *map(of, CREASES.values())], axis=-1), maps.course, pattern(person.look))


def relief_map(maps: SkinMaps, person, lines: np.ndarray) -> np.ndarray:
    """(TEXTURE, TEXTURE, 4) float32 heights in cm: ``lines`` from ``line_heights``, and at rest pores, unevenness, lips' lines."""
    look, fine, old = person.look, maps.fine, grown(person.age)
    rough = np.exp(0.35 * np.tanh(look["pores"])) * (1 + 0.6 * old)
    skin = rough * (0.0028 * fine["pores"] * (0.7 + 0.6 * fine["rosy"]) + 0.0045 * fine["grain"] + (0.004 + 0.004 * old) * fine["blood"])
    skin = skin * (1 - fine["lips"]) + 0.0045 * (1 + 0.6 * old) * fine["lips"] * fine["lip_lines"]
    heights = lines.copy()
    heights[..., 0] += skin - 0.02 * scar(maps, look)
    return (heights * maps.on_face[..., None]).astype(np.float32)


def paint(maps: SkinMaps, person) -> tuple[np.ndarray, np.ndarray]:
    """A person's ``detail_map`` and ``relief_map``."""
    lines = line_heights(maps, person)
    return detail_map(maps, person, lines), relief_map(maps, person, lines)
