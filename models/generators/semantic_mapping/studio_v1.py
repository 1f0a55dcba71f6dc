"""What the 328 features of "studio-v1" are: the shipped unguided generator's z as scene, and what the scene shows.

Frozen: these formulas and tables are those that the pictures were made with that taught the generator. A file
that names these features draws other faces as soon as one of them changes; what photographs people now lies in
``models.synthetic`` and may change freely. Guarded by a golden test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.colour import linear_to_srgb
from models.face.gaze import is_gaze
from models.face.harmonics import disc_light, irradiance, luminance, rotate
from models.face.parameters import RigParameters

NAME = "studio-v1"
IDENTITIES, REFLECTANCES = 80, 32
EXPRESSIONS = (
    "PupilDilate_L", "PupilDilate_R", "browDown_L", "browDown_R", "browInnerUp_L", "browInnerUp_R", "browOuterUp_L",
    "browOuterUp_R", "cheekPuff_L", "cheekPuff_R", "cheekRaiser_L", "cheekRaiser_R", "cheekSquint_L", "cheekSquint_R",
    "eyeBlink_L", "eyeBlink_R", "eyeLookDown_L", "eyeLookDown_R", "eyeLookIn_L", "eyeLookIn_R", "eyeLookOut_L",
    "eyeLookOut_R", "eyeLookUp_L", "eyeLookUp_R", "eyeSquint_L", "eyeSquint_R", "eyeWide_L", "eyeWide_R", "jawForward",
    "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimple_L", "mouthDimple_R", "mouthFrown_L", "mouthFrown_R",
    "mouthFunnel", "mouthLeft", "mouthLowerDown_L", "mouthLowerDown_R", "mouthPress_L", "mouthPress_R", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmile_L",
    "mouthSmile_R", "mouthStretch_L", "mouthStretch_R", "mouthUpperUp_L", "mouthUpperUp_R", "noseSneer_L", "noseSneer_R",
)  # fmt: skip
ENVIRONMENTS = ("city", "courtyard", "forest", "interior", "night", "studio", "sunrise", "sunset")
ENVIRONMENT_LIGHT = Path(__file__).with_name("studio_v1_light.npy")  # (8, 9, 3) harmonics of the environments

YAW, PITCH = (math.radians(value) for value in (18.0, 8.0))  # standard deviations
YAW_END, PITCH_END = (math.radians(value) for value in (40.0, 20.0))
GAZE_STD, LOOK_BACK = math.radians(9.0), 0.65  # the eyes undo this share of the head's turn
GAZE_DEGREES = {"In": 32.0, "Out": 32.0, "Up": 24.0, "Down": 28.0}  # at weight 1
GAIN, THRESHOLD, CALM = 0.9, 1.15, 0.4  # an expression's weight is GAIN · (number − THRESHOLD − CALM · calm)
MOOD_GAIN, MOOD_THRESHOLD = 0.8, 1.0
MOODS = {  # natural combinations: weights of the expressions at full strength
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.5, "eyeSquint": 0.3, "mouthDimple": 0.2},
    "laugh": {"mouthSmile": 0.9, "jawOpen": 0.35, "cheekSquint": 0.7, "eyeSquint": 0.5, "mouthUpperUp": 0.4, "mouthLowerDown": 0.3},
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.8, "eyeWide": 0.8, "jawOpen": 0.4},
    "anger": {"browDown": 0.9, "eyeSquint": 0.4, "noseSneer": 0.5, "mouthPress": 0.5, "mouthFrown": 0.3},
    "sadness": {"browInnerUp": 0.8, "mouthFrown": 0.7, "mouthShrugLower": 0.4, "eyeSquint": 0.2},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.5, "browDown": 0.5, "mouthFrown": 0.3},
    "open": {"jawOpen": 0.6, "mouthLowerDown": 0.2},
    "rounded": {"mouthFunnel": 0.7, "jawOpen": 0.25, "mouthPucker": 0.3},
    "closed_eyes": {"eyeBlink": 1.0},
}
LID_CLOSERS, RARER = ("eyeBlink", "eyeSquint", "cheekSquint"), 0.45
WHITE_BALANCE = 0.65
TARGET, TARGET_BY_TONE = 0.95, -0.22  # irradiance on the face over pi; how its logarithm falls per deviation of tone
LIGHTS = (*(f"environment_{name}" for name in ENVIRONMENTS), "turn_cos", "turn_sin", "exposure", "key", "key_azimuth",
          "key_elevation", "key_warmth", "key_size", "rim", "rim_azimuth", "rim_warmth")  # fmt: skip
# length cm (front, top, sides, back), lift off the scalp, comb (sideways, forward), stiffness 0–1, curl, density, receding (degrees)
STYLES = {
    "bald": (0.3, 0.3, 0.3, 0.3, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 4),
    "buzz": (0.5, 0.5, 0.4, 0.4, 0.9, 0.1, 0.3, 1.0, 0.0, 1.0, 1),
    "crop": (2.5, 2.8, 1.2, 1.2, 0.55, 0.3, 0.6, 0.9, 0.1, 1.0, 0),
    "side_part": (7.0, 6.5, 2.2, 2.0, 0.30, 1.0, 0.1, 0.6, 0.05, 1.0, 0),
    "quiff": (6.0, 5.0, 1.3, 1.3, 0.85, 0.2, -0.6, 0.85, 0.1, 1.0, 0),
    "slick_back": (11.0, 10.0, 6.0, 5.0, 0.10, 0.1, -1.2, 0.3, 0.0, 1.0, 2),
    "receding": (3.0, 3.0, 2.2, 2.2, 0.35, 0.4, -0.4, 0.7, 0.1, 0.75, 12),
    "bowl": (6.5, 11.0, 8.5, 7.0, 0.18, 0.2, 1.2, 0.4, 0.0, 1.0, 0),
    "messy": (6.0, 6.5, 5.0, 5.0, 0.65, 0.4, 0.5, 0.6, 0.45, 1.0, 0),
    "curly_short": (5.0, 6.0, 4.0, 4.0, 0.75, 0.2, 0.2, 0.7, 1.3, 1.0, 0),
    "afro": (8.0, 9.0, 8.0, 8.0, 1.6, 0.0, 0.0, 1.0, 1.9, 1.0, 0),
    "bob": (19.0, 20.0, 16.0, 13.0, 0.15, 1.0, -0.25, 0.25, 0.05, 1.0, 0),
    "long_straight": (36.0, 38.0, 34.0, 32.0, 0.12, 1.0, -0.3, 0.15, 0.0, 1.0, 0),
    "long_wavy": (34.0, 36.0, 32.0, 30.0, 0.22, 1.0, -0.3, 0.2, 0.55, 1.0, 0),
    "pulled_back": (17.0, 17.0, 13.0, 9.0, 0.05, 0.0, -1.6, 0.1, 0.0, 1.0, 0),
    "fringe": (7.0, 34.0, 32.0, 30.0, 0.15, 0.5, 0.5, 0.2, 0.0, 1.0, 0),
}  # fmt: skip
STYLE_FIELDS = ("front", "top", "side", "back", "lift", "sideways", "forward", "stiff", "curl", "density", "recede")
LOOKS = (*(f"style_{name}" for name in STYLES), "hair_length", "hair_volume", "hair_curl", "hair_part", "hairline", "hair_dark",
         "hair_red", "grey", "age", "brow_thick", "brow_dark", "beard", "beard_length", "moustache", "lashes", "make_up", "shirt_r",
         "shirt_g", "shirt_b", "collar", "gloss", "pores", "freckles", "moles", "stubble", "pupil", "glasses", "glasses_width",
         "glasses_height", "glasses_round", "frame_thick", "frame_dark", "frame_red", "shoulders")  # fmt: skip
LIGHT_SKIN, DARK_SKIN = np.array([0.72, 0.465, 0.345]), np.array([0.125, 0.060, 0.037])  # linear
# How large each kind of feature enters the mapping.
WEIGHT = {"identity": 0.8, "reflectance": 0.8, "expression": 1.0, "light": 1.5, "rotation": 3.0, "turned": 2.0,
          "looks": 1.5, "pose_numbers": 1.0, "light_numbers": 0.6, "look_numbers": 0.6}  # fmt: skip
KNOTS, KNOT_WIDTH = torch.linspace(-2.0, 2.0, 7), 2 / 3  # of yaw and pitch, in standard deviations


def layout() -> dict[str, slice]:
    """Where each part of a scene lies in z."""
    sizes = {"identity": IDENTITIES, "reflectance": REFLECTANCES, "expression": len(EXPRESSIONS), "mood": len(MOODS) + 1,
             "pose": 3, "gaze": 2, "light": len(LIGHTS), "looks": len(LOOKS)}  # fmt: skip
    places, start = {}, 0
    for name, size in sizes.items():
        places[name] = slice(start, start + size)
        start += size
    return places


LATENT_SIZE = layout()["looks"].stop


@dataclass
class Scene:
    """N scenes: the rig's exact parameters, not yet aligned to a frame, and what a picture shows beyond them."""

    parameters: RigParameters
    looks: dict[str, Tensor]  # name -> (N,) standard normal


def scene_from_latent(latent: Tensor) -> Scene:
    """Scenes from standard-normal vectors (N, ≥ LATENT_SIZE); roll and translation are 0."""
    part = {name: latent[:, place] for name, place in layout().items()}
    yaw = (YAW * part["pose"][:, 0]).clamp(-YAW_END, YAW_END)
    pitch = (PITCH * part["pose"][:, 1]).clamp(-PITCH_END, PITCH_END)
    rotation = torch.stack((yaw, pitch, torch.zeros_like(yaw)), dim=1)
    reflectance = 0.85 * part["reflectance"]
    parameters = RigParameters(
        identity=0.85 * part["identity"],
        reflectance=reflectance,
        expression=expression_weights(part["expression"], part["mood"], part["gaze"], rotation),
        light=lighting(part["light"], reflectance[:, 0]),
        rotation=rotation,
        translation=torch.zeros(len(latent), 3),
    )
    return Scene(parameters, dict(zip(LOOKS, part["looks"].unbind(1), strict=True)))


def scene_features(latents: Tensor) -> dict[str, Tensor]:
    """What scene vectors (N, ≥ LATENT_SIZE) mean, by the names of ``WEIGHT``, each (N, …) in float32.

    The rig's exact parameters, how far the head is turned as a row of bumps, the visible looks, and the
    numbers of pose, light and looks themselves, for what else these decide.
    """
    scene, places = scene_from_latent(latents), layout()
    parameters = scene.parameters
    rotation = parameters.rotation[:, :2]
    turned = ((rotation / torch.tensor((YAW, PITCH)))[:, :, None] - KNOTS) / KNOT_WIDTH
    return {
        "identity": parameters.identity,
        "reflectance": parameters.reflectance,
        "expression": parameters.expression,
        "light": parameters.light.flatten(1),
        "rotation": rotation,
        "turned": torch.exp(-0.5 * turned.square()).flatten(1),
        "looks": visible_looks(scene),
        "pose_numbers": latents[:, places["pose"]],
        "light_numbers": latents[:, places["light"]],
        "look_numbers": latents[:, places["looks"]],
    }


def expression_weights(g: Tensor, mood: Tensor, gaze: Tensor, rotation: Tensor) -> Tensor:
    """Weights (N, E): each expression singly, by its own number, and on top the natural combinations.

    The two sides of a pair share most of their motion. The last number of ``mood`` is how calm a face is.
    """
    index = {name: i for i, name in enumerate(EXPRESSIONS)}
    threshold = THRESHOLD + CALM * mood[:, -1]
    felt = dict(zip(MOODS, (MOOD_GAIN * (mood[:, :-1] - MOOD_THRESHOLD)).clamp(0, 1).unbind(1), strict=True))
    looking = gaze_weights(gaze, rotation)
    weights = torch.zeros_like(g)
    for name, i in index.items():
        stem, side = (name[:-2], name[-2:]) if name[-2:] in ("_L", "_R") else (name, "")
        if is_gaze(name):
            weights[:, i] = looking[stem, side]
            continue
        drive = g[:, i]
        if side:
            left, right = g[:, index[f"{stem}_L"]], g[:, index[f"{stem}_R"]]
            drive = 0.94 * left + (0.342 if side == "_L" else -0.342) * right
        rarer = RARER if stem in LID_CLOSERS else 0.0
        single = (GAIN * (drive - threshold - rarer)).clamp(0, 1)
        combined = sum(felt[mood_name] * part.get(stem, 0.0) for mood_name, part in MOODS.items())
        weights[:, i] = (single + combined).clamp(0, 1)
    # The lips can only close over a jaw that is open, and a shut eye is not wide.
    weights[:, index["mouthClose"]] *= weights[:, index["jawOpen"]]
    for side in ("_L", "_R"):
        weights[:, index[f"eyeWide{side}"]] *= 1 - weights[:, index[f"eyeBlink{side}"]]
    return weights


def gaze_weights(gaze: Tensor, rotation: Tensor) -> dict[tuple[str, str], Tensor]:
    """(stem, side) -> weight (N,): both eyes look the same way, partly back to where the camera is.

    ``gaze`` (N, 2) is (to the face's left, up); ``rotation`` (N, 3) the head's.
    """
    leftward = GAZE_STD * gaze[:, 0] - LOOK_BACK * rotation[:, 0]
    upward = 0.5 * GAZE_STD * gaze[:, 1] + 0.6 * LOOK_BACK * rotation[:, 1]
    ends = {way: math.radians(angle) for way, angle in GAZE_DEGREES.items()}
    weights = {}
    for side, outward in (("_L", leftward), ("_R", -leftward)):
        weights["eyeLookOut", side] = (outward / ends["Out"]).clamp(0, 1)
        weights["eyeLookIn", side] = (-outward / ends["In"]).clamp(0, 1)
        weights["eyeLookUp", side] = (upward / ends["Up"]).clamp(0, 1)
        weights["eyeLookDown", side] = (-upward / ends["Down"]).clamp(0, 1)
    return weights


def lighting(g: Tensor, tone: Tensor) -> Tensor:
    """Light (N, 9, 3) from (N, len(LIGHTS)) numbers, exposed for faces of ``tone`` (N,).

    The environments are mixed, turned and scaled; a key from in front and a rim from behind are added in measure.
    """
    p = dict(zip(LIGHTS, g.unbind(1), strict=True))
    mix = torch.softmax(2.2 * g[:, : len(ENVIRONMENTS)], dim=1)
    turn = torch.atan2(p["turn_sin"], p["turn_cos"])
    level, zero = torch.cos(turn), torch.zeros_like(turn)
    about_y = torch.stack((level, zero, turn.sin(), zero, zero + 1, zero, -turn.sin(), zero, level), dim=1).unflatten(1, (3, 3))
    harmonics = torch.from_numpy(np.load(ENVIRONMENT_LIGHT, allow_pickle=False))
    surroundings = rotate(torch.einsum("ne,ekc->nkc", mix, harmonics), about_y)
    cast = surroundings[:, 0] / luminance(surroundings[:, 0]).unsqueeze(1)
    surroundings = surroundings * (cast.clamp(min=0.2) ** -WHITE_BALANCE).unsqueeze(1)
    facing = torch.tensor((0.0, 0.17, 0.985)).expand(len(g), 1, 3)
    reaches = luminance(irradiance(surroundings, facing)[:, 0]) / math.pi
    target = TARGET * torch.exp(0.16 * p["exposure"] + TARGET_BY_TONE * tone)
    share = 0.72 * torch.sigmoid(1.6 * p["key"])
    scale = target * (1 - share) / reaches.clamp(min=0.25)
    key = lamp(
        around(0.75 * p["key_azimuth"], (0.42 + 0.3 * p["key_elevation"]).clamp(-0.3, 1.2)),
        math.pi * 1.1 * (target * share).unsqueeze(1) * warm(p["key_warmth"], 0.10),
        (0.14 * torch.exp(0.5 * p["key_size"])).clamp(0.04, 0.4),
    )
    strength = math.pi * target * (0.8 * (p["rim"] - 0.3)).clamp(0, 1.6)
    behind = around(math.pi + 0.9 * p["rim_azimuth"], torch.full_like(turn, 0.35))
    rim = lamp(behind, strength.unsqueeze(1) * warm(p["rim_warmth"], 0.12), torch.full_like(turn, 0.12))
    return surroundings * scale.view(-1, 1, 1) + key + rim


def lamp(direction: Tensor, facing: Tensor, angle: Tensor) -> Tensor:
    """Harmonics (N, 9, 3) of far discs: direction (N, 3), irradiance facing them (N, 3), angular radius (N,) radians."""
    return disc_light(direction, angle, facing / (math.pi * angle.sin().square().unsqueeze(1)))


def warm(amount: Tensor, reach: float) -> Tensor:
    """Colours (N, 3) from warm (positive) to cool."""
    return torch.stack((1 + reach * amount, 1 + 0.1 * reach * amount, 1 - reach * amount), dim=1).clamp(min=0.3)


def around(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors (N, 3): azimuth from +z towards +x, elevation up, radians."""
    return torch.stack((azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()), dim=1)


def visible_looks(scene: Scene) -> Tensor:
    """What N scenes show beyond the rig's parameters (N, V).

    Haircuts (shares of the styles, then their measures), the amounts of grey, beard, moustache, make-up
    and glasses, and the colours of hair, skin, shirt and frames as sRGB.
    """
    look = {name: values.double().numpy() for name, values in scene.looks.items()}
    shares = style_shares(look)
    make_up = np.clip(0.9 * (look["make_up"] - 0.1), 0, 1)
    beard = np.clip((look["beard"] - 0.75) * 1.6, 0, 1) * (1 - make_up)
    moustache = np.maximum(beard, np.clip((look["moustache"] - 0.9) * 1.6, 0, 1) * (1 - make_up))
    grey = np.clip(0.35 * (look["grey"] + 0.8 * look["age"]) - 0.35, 0, 1)
    glasses = (look["glasses"] > 1.15).astype(float)
    tone = scene.parameters.reflectance.double().numpy()[..., :1]
    colours = (hair_colour(look), skin_colour(tone), shirt_colour(look), glasses[:, None] * frame_colour(look))
    columns = np.stack((*shares, *haircut(look, shares).values(), grey, beard, moustache, make_up, glasses), axis=1)
    shown = linear_to_srgb(torch.from_numpy(np.concatenate(colours, axis=1)))
    return torch.cat((torch.from_numpy(columns), shown), dim=1).float()


def style_shares(look: dict[str, np.ndarray]) -> np.ndarray:
    """How much of each style (16, N) is in a haircut: mostly the one of the highest number."""
    scores = np.stack([look[f"style_{name}"] for name in STYLES])
    share = np.exp(7.0 * (scores - scores.max(axis=0)))
    return share / share.sum(axis=0)


def haircut(look: dict[str, np.ndarray], shares: np.ndarray) -> dict[str, np.ndarray]:
    """The haircuts' measures by STYLE_FIELDS, (N,) each."""
    style = dict(zip(STYLE_FIELDS, np.array(list(STYLES.values())).T @ shares, strict=True))
    stretch = np.clip(np.exp(0.22 * look["hair_length"]), 0.6, 1.6)
    for name in ("front", "top", "side", "back"):
        style[name] = style[name] * stretch
    style["lift"] = style["lift"] * np.exp(0.25 * look["hair_volume"])
    style["curl"] = style["curl"] * np.exp(0.3 * look["hair_curl"]) + 0.05
    style["recede"] = style["recede"] + np.maximum(0.0, 1.0 + 2.5 * look["hairline"])
    return style


def hair_colour(look: dict[str, np.ndarray]) -> np.ndarray:
    """Linear colour (N, 3) of hair from melanin and red pigment."""
    melanin = 4.3 + 2.3 * np.tanh(look["hair_dark"] * 0.7 + 0.3)
    red = np.maximum(0.0, np.tanh(look["hair_red"] - 0.8))
    absorbed = np.stack((0.66 - 0.17 * red, 0.88 + 0.0 * red, 1.12 + 0.25 * red), axis=-1)
    return 0.42 * np.exp(-melanin[..., None] * absorbed)


def skin_colour(tone: np.ndarray) -> np.ndarray:
    """Linear colour (N, 3) of skin of ``tone`` (N, 1): along melanin between the measured ends, in logarithms."""
    share = 1 / (1 + np.exp(-(0.55 + 1.15 * tone)))
    return np.exp(share * np.log(LIGHT_SKIN) + (1 - share) * np.log(DARK_SKIN))


def shirt_colour(look: dict[str, np.ndarray]) -> np.ndarray:
    """Linear colour (N, 3), mostly muted."""
    raw = np.stack((look["shirt_r"], look["shirt_g"], look["shirt_b"]), axis=-1)
    mean = raw.mean(axis=-1, keepdims=True)
    muted = 0.75 * mean + 0.55 * (raw - mean) + 0.5 * mean
    return 0.62 / (1 + np.exp(-(muted * 1.1 - 0.9)))


def frame_colour(look: dict[str, np.ndarray]) -> np.ndarray:
    """Linear colour (N, 3) of spectacle frames: black to brown to pale."""
    light = np.exp(-2.6 + 1.1 * look["frame_dark"])
    red = np.maximum(0, look["frame_red"])
    return np.clip(light[..., None] * np.stack((1 + 0.5 * red, 0.8 + 0 * red, 0.65 + 0 * red), axis=-1), 0.005, 0.6)
