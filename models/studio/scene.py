"""What is in a picture: a scene is a function of a vector of standard-normal numbers.

Because every number is N(0, 1) and the picture follows smoothly from nearly all of them, a generator
can be taught by pairs (its z holds the same numbers) and sampling z draws people as the studio does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.face.alignment import align
from models.face.harmonics import disc_light, irradiance, luminance, rotate
from models.face.gaze import is_gaze
from models.face.head import GAZE_DEGREES
from models.face.model import FaceModel
from models.face.parameters import RigParameters
from models.studio.environments import NAMES as ENVIRONMENTS
from models.studio.environments import environment_harmonics
from models.studio.hair import STYLE_NAMES

YAW, PITCH, ROLL = (math.radians(value) for value in (18.0, 8.0, 6.0))  # standard deviations, as in photographs
YAW_END, PITCH_END, ROLL_END = (math.radians(value) for value in (40.0, 20.0, 15.0))
GAZE_SPREAD = math.radians(9.0)
LOOK_BACK = 0.65  # share of the head's turn that the eyes undo: people look at the camera
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
LID_CLOSERS, RARER = ("eyeBlink", "eyeSquint", "cheekSquint"), 0.45  # portraits show open eyes
WHITE_BALANCE = 0.65
TARGET, TARGET_BY_TONE = 0.95, -0.22  # irradiance on the face over pi; how its logarithm falls per deviation of tone
LIGHTS = (*(f"environment_{name}" for name in ENVIRONMENTS), "turn_cos", "turn_sin", "exposure", "key", "key_azimuth",
          "key_elevation", "key_warmth", "key_size", "rim", "rim_azimuth", "rim_warmth")  # fmt: skip
LOOKS = (*(f"style_{name}" for name in STYLE_NAMES), "hair_length", "hair_volume", "hair_curl", "hair_part", "hairline", "hair_dark",
         "hair_red", "grey", "age", "brow_thick", "brow_dark", "beard", "beard_length", "moustache", "lashes", "make_up", "shirt_r",
         "shirt_g", "shirt_b", "collar", "gloss", "pores", "freckles", "moles", "stubble", "pupil", "glasses", "glasses_width",
         "glasses_height", "glasses_round", "frame_thick", "frame_dark", "frame_red", "shoulders")  # fmt: skip


@dataclass
class Lamp:
    """N far discs: direction (N, 3), irradiance facing it (N, 3) linear RGB, angular radius (N,) radians."""

    direction: Tensor
    irradiance: Tensor
    angle: Tensor

    def light(self) -> Tensor:
        """As harmonics (N, 9, 3)."""
        facing = math.pi * self.angle.sin().square().unsqueeze(1)  # irradiance of a disc of radiance 1
        return disc_light(self.direction, self.angle, self.irradiance / facing)


@dataclass
class Scene:
    """N scenes: the rig's exact parameters and what a picture shows beyond them."""

    parameters: RigParameters
    body_roll: Tensor  # (N,) radians the body leans in the aligned picture
    looks: dict[str, Tensor]  # name -> (N,) standard normal
    environment: Tensor  # (N, 8, 3) weights of the environments, scaled for exposure and tinted
    environment_turn: Tensor  # (N,) radians about y
    key: Lamp
    rim: Lamp


def layout(face: FaceModel) -> dict[str, slice]:
    """Where each part of a scene lies in its latent vector."""
    sizes = {
        "identity": face.identity.shape[0],
        "reflectance": face.albedo.shape[0],
        "expression": face.expression.shape[0],
        "mood": len(MOODS) + 1,
        "pose": 3,
        "gaze": 2,
        "light": len(LIGHTS),
        "looks": len(LOOKS),
    }
    places, start = {}, 0
    for name, size in sizes.items():
        places[name] = slice(start, start + size)
        start += size
    return places


def latent_size(face: FaceModel) -> int:
    """How many numbers determine a scene."""
    return layout(face)["looks"].stop


def scene_from_latent(latent: Tensor, face: FaceModel) -> Scene:
    """Scenes from standard-normal vectors (N, S)."""
    part = {name: latent[:, place] for name, place in layout(face).items()}
    yaw = (YAW * part["pose"][:, 0]).clamp(-YAW_END, YAW_END)
    pitch = (PITCH * part["pose"][:, 1]).clamp(-PITCH_END, PITCH_END)
    rotation = torch.stack((yaw, pitch, torch.zeros_like(yaw)), dim=1)
    reflectance = 0.85 * part["reflectance"]
    light, environment, turn, key, rim = lighting(part["light"], reflectance[:, 0])
    parameters = RigParameters(
        identity=0.85 * part["identity"],
        reflectance=reflectance,
        expression=expression_weights(part["expression"], part["mood"], part["gaze"], rotation, face.expression_names),
        light=light,
        rotation=rotation,
        translation=torch.zeros(len(latent), 3),
    )
    return Scene(
        parameters=align(face, parameters),
        body_roll=(-ROLL * part["pose"][:, 2]).clamp(-ROLL_END, ROLL_END),
        looks=dict(zip(LOOKS, part["looks"].unbind(1), strict=True)),
        environment=environment,
        environment_turn=turn,
        key=key,
        rim=rim,
    )


def expression_weights(g: Tensor, mood: Tensor, gaze: Tensor, rotation: Tensor, names: list[str]) -> Tensor:
    """Weights (N, E): each expression singly, by its own number, and on top the natural combinations.

    The two sides of a pair share most of their motion. The last number of ``mood`` is how calm a face is.
    """
    index = {name: i for i, name in enumerate(names)}
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
    leftward = GAZE_SPREAD * gaze[:, 0] - LOOK_BACK * rotation[:, 0]
    upward = 0.5 * GAZE_SPREAD * gaze[:, 1] + 0.6 * LOOK_BACK * rotation[:, 1]
    ends = {way: math.radians(angle) for way, angle in GAZE_DEGREES.items()}
    weights = {}
    for side, outward in (("_L", leftward), ("_R", -leftward)):
        weights["eyeLookOut", side] = (outward / ends["Out"]).clamp(0, 1)
        weights["eyeLookIn", side] = (-outward / ends["In"]).clamp(0, 1)
        weights["eyeLookUp", side] = (upward / ends["Up"]).clamp(0, 1)
        weights["eyeLookDown", side] = (-upward / ends["Down"]).clamp(0, 1)
    return weights


def lighting(g: Tensor, tone: Tensor) -> tuple[Tensor, Tensor, Tensor, Lamp, Lamp]:
    """Light (N, 9, 3), environment weights (N, 8, 3) and turn (N,), key and rim from (N, len(LIGHTS)) numbers.

    The environments are mixed, turned and scaled to what a photographer would expose for a face of
    that ``tone`` (N,); a key from in front and a rim from behind are added in measure.
    """
    p = dict(zip(LIGHTS, g.unbind(1), strict=True))
    mix = torch.softmax(2.2 * g[:, : len(ENVIRONMENTS)], dim=1)
    turn = torch.atan2(p["turn_sin"], p["turn_cos"])
    level, zero = torch.cos(turn), torch.zeros_like(turn)
    about_y = torch.stack((level, zero, turn.sin(), zero, zero + 1, zero, -turn.sin(), zero, level), dim=1).unflatten(1, (3, 3))
    surroundings = rotate(torch.einsum("ne,ekc->nkc", mix, environment_harmonics()), about_y)
    cast = surroundings[:, 0] / luminance(surroundings[:, 0]).unsqueeze(1)
    tint = cast.clamp(min=0.2) ** -WHITE_BALANCE  # cameras take most of a colour cast away
    surroundings = surroundings * tint.unsqueeze(1)
    facing = torch.tensor((0.0, 0.17, 0.985)).expand(len(g), 1, 3)
    reaches = luminance(irradiance(surroundings, facing)[:, 0]) / math.pi
    target = TARGET * torch.exp(0.16 * p["exposure"] + TARGET_BY_TONE * tone)
    share = 0.72 * torch.sigmoid(1.6 * p["key"])
    scale = target * (1 - share) / reaches.clamp(min=0.25)
    key = Lamp(
        around(0.75 * p["key_azimuth"], (0.42 + 0.3 * p["key_elevation"]).clamp(-0.3, 1.2)),
        math.pi * 1.1 * (target * share).unsqueeze(1) * warm(p["key_warmth"], 0.10),
        (0.14 * torch.exp(0.5 * p["key_size"])).clamp(0.04, 0.4),
    )
    strength = math.pi * target * (0.8 * (p["rim"] - 0.3)).clamp(0, 1.6)
    behind = around(math.pi + 0.9 * p["rim_azimuth"], torch.full_like(turn, 0.35))
    rim = Lamp(behind, strength.unsqueeze(1) * warm(p["rim_warmth"], 0.12), torch.full_like(turn, 0.12))
    environment = mix * scale.unsqueeze(1)
    light = surroundings * scale.view(-1, 1, 1) + key.light() + rim.light()
    return light, environment.unsqueeze(2) * tint.unsqueeze(1), turn, key, rim


def warm(amount: Tensor, reach: float) -> Tensor:
    """Colours (N, 3) from warm (positive) to cool."""
    return torch.stack((1 + reach * amount, 1 + 0.1 * reach * amount, 1 - reach * amount), dim=1).clamp(min=0.3)


def around(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors (N, 3): azimuth from +z towards +x, elevation up, radians."""
    return torch.stack((azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()), dim=1)
