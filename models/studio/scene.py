"""What is in a picture: a scene is a smooth function of a vector of standard-normal numbers.

Because every number is N(0, 1) and the picture depends smoothly on all of them, a generator can be
taught by pairs (its z holds the same numbers) and sampling z draws people as the studio does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.face.harmonics import directional_light
from models.face.model import FaceModel
from models.face.alignment import align
from models.face.parameters import RigParameters

YAW, PITCH = math.radians(18.0), math.radians(8.0)  # standard deviations, as in photographs of faces
# Expression groups: (threshold, gain) of weight = gain · (g − threshold), clipped to 0–1.
COMMON, RARE = (0.35, 0.50), (1.0, 0.50)
EXPOSURE_BY_TONE = -0.16  # change of log exposure per standard deviation of skin tone
COMMON_EXPRESSIONS = {"jawOpen", "mouthSmile", "browInnerUp", "browDown", "browOuterUp", "mouthUpperUp"}
GAZE = {"eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut"}
LOOKS = ("hair_length", "hair_density", "hair_volume", "hair_curl", "hair_part", "fringe", "hairline", "comb_back",
         "hair_dark", "hair_red", "hair_grey", "brow_thick", "brow_dark", "beard", "beard_length", "lashes",
         "shirt_r", "shirt_g", "shirt_b", "collar", "gloss", "pores", "freckles", "stubble")  # fmt: skip
LIGHTS = ("ambient", "warmth", "sky", "key", "key_azimuth", "key_elevation", "key_warmth", "rim", "rim_azimuth", "tint")


@dataclass
class Scene:
    """N scenes: the rig's exact parameters, the looks beyond the rig (N(0, 1) each), the key light."""

    parameters: RigParameters
    looks: dict[str, Tensor]  # name -> (N,)
    key_direction: Tensor  # (N, 3) unit, towards the light, world frame
    key_colour: Tensor  # (N, 3) linear RGB irradiance of the key


def layout(face: FaceModel) -> dict[str, slice]:
    """Where each part of a scene lies in its latent vector."""
    sizes = {
        "identity": face.identity.shape[0],
        "reflectance": face.albedo.shape[0],
        "expression": face.expression.shape[0],
        "pose": 2,
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
    places = layout(face)
    part = {name: latent[:, place] for name, place in places.items()}
    light, key_direction, key_colour = lighting(part["light"])
    exposure = torch.exp(EXPOSURE_BY_TONE * part["reflectance"][:, :1])  # photographers open up for dark skin
    light, key_colour = light * exposure.unsqueeze(-1), key_colour * exposure
    yaw = (YAW * part["pose"][:, 0]).clamp(-0.8, 0.8)
    pitch = (PITCH * part["pose"][:, 1]).clamp(-0.4, 0.4)
    parameters = RigParameters(
        identity=0.85 * part["identity"],
        reflectance=0.85 * part["reflectance"],
        expression=expression_weights(part["expression"], part["gaze"], face.expression_names),
        light=light,
        rotation=torch.stack((yaw, pitch, torch.zeros_like(yaw)), dim=1),
        translation=torch.zeros(len(latent), 3),
    )
    looks = dict(zip(LOOKS, part["looks"].unbind(1), strict=True))
    return Scene(align(face, parameters), looks, key_direction, key_colour)


def expression_weights(g: Tensor, gaze: Tensor, names: list[str]) -> Tensor:
    """Weights (N, E) from one number per expression: a pair's sides share most of their motion."""
    index = {name: i for i, name in enumerate(names)}
    weights = torch.zeros_like(g)
    for name, i in index.items():
        stem, side = name[:-2], name[-2:]
        if stem in GAZE:
            weights[:, i] = gaze_weight(stem, side, gaze)
            continue
        drive = g[:, i]
        if side in ("_L", "_R"):
            left, right = g[:, index[f"{stem}_L"]], g[:, index[f"{stem}_R"]]
            drive = 0.97 * left + (0.243 if side == "_L" else -0.243) * right
        base = stem if side in ("_L", "_R") else name
        threshold, gain = COMMON if base in COMMON_EXPRESSIONS else RARE
        weights[:, i] = (gain * (drive - threshold)).clamp(0, 1)
    # The lips can only close over a jaw that is open.
    weights[:, index["mouthClose"]] *= weights[:, index["jawOpen"]]
    return weights


def gaze_weight(stem: str, side: str, gaze: Tensor) -> Tensor:
    """Both eyes look the same way: gaze (N, 2) is (to the face's left, up), in half of the full range."""
    if stem in ("eyeLookUp", "eyeLookDown"):
        return (0.4 * gaze[:, 1] * (1 if stem == "eyeLookUp" else -1)).clamp(0, 1)
    leftward = (stem == "eyeLookOut") == (side == "_L")
    return (0.4 * gaze[:, 0] * (1 if leftward else -1)).clamp(0, 1)


def lighting(g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Light (N, 9, 3), key direction (N, 3) and colour (N, 3) from (N, len(LIGHTS)) numbers.

    Ambient with a vertical gradient, a key from anywhere in front, a weaker one from behind.
    """
    p = dict(zip(LIGHTS, g.unbind(1), strict=True))
    warm = lambda x, amount: torch.stack((1 + amount * x, 1 + 0.1 * amount * x, 1 - amount * x), dim=1)
    tint = torch.stack((1 + 0.03 * p["tint"], 1 - 0.04 * p["tint"], 1 + 0.03 * p["tint"]), dim=1)
    light = torch.zeros(len(g), 9, 3)
    ambient = (0.47 * torch.exp(0.22 * p["ambient"])).unsqueeze(1) * warm(p["warmth"], 0.06) * tint
    light[:, 0] = math.sqrt(4 * math.pi) * ambient
    light[:, 1] = 0.55 * (0.5 + 0.35 * p["sky"]).unsqueeze(1) * ambient
    azimuth = 0.75 * p["key_azimuth"]
    elevation = (0.40 + 0.32 * p["key_elevation"]).clamp(-0.5, 1.3)
    direction = torch.stack((azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()), dim=1)
    colour = (1.9 * torch.exp(0.35 * p["key"])).unsqueeze(1) * warm(p["key_warmth"], 0.09)
    light = light + directional_light(direction, colour)
    back = math.pi + 0.9 * p["rim_azimuth"]
    behind = torch.stack((back.sin(), 0.35 * torch.ones_like(back), back.cos()), dim=1)
    rim = (0.5 * torch.exp(0.5 * p["rim"])).unsqueeze(1) * warm(-p["warmth"], 0.08)
    light = light + directional_light(torch.nn.functional.normalize(behind, dim=1), rim)
    return light, direction, colour
