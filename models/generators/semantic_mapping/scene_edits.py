"""Exact pairs from a generator that was taught by the studio's scenes.

The first numbers of such a generator's z are the numbers that determine a scene, so the rig
parameters of z are known, and two z that differ in the numbers of one control are the same person
before and after an edit. Other generators have no such pairs; everything works without them.

Scenes and their formulas are computed on the processor; what the functions that take a generator
return lies where the generator does, parameters lie where the face model does.
"""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.face import FaceModel
from models.face.alignment import align
from models.face.gaze import is_gaze
from models.face.parameters import RigParameters
from models.generators import Generator
from models.generators.semantic_mapping.studio_v1 import (
    CALM,
    EXPRESSIONS,
    GAIN,
    GAZE_STD,
    LATENT_SIZE,
    LID_CLOSERS,
    LIGHTS,
    LOOK_BACK,
    PITCH,
    RARER,
    THRESHOLD,
    YAW,
    layout,
    scene_from_latent,
)

REACH = {"yaw": math.radians(38), "pitch": math.radians(17)}  # poses that edits go to
SIDES = (0.94, 0.342)  # how a pair's two numbers drive its sides: as in studio_v1.expression_weights
LOW, HIGH = -0.2, 3.4  # numbers of an expression, from rest to its full weight
CHANGED = 3.0  # expressions that a sparse edit changes, on average
STRONG_SHARE, STRONG_STRETCH = 0.1, 2.2
GAZE_STRETCH = 1.8  # an artist turns eyes farther than people do who look at a camera
TURN = math.radians(75)  # how far an edit turns the light
TURNS = {"key_azimuth": 0.75, "rim_azimuth": 0.9}  # radians of one unit: as in studio_v1.lighting


def knows_scenes(generator: Generator, face: FaceModel) -> bool:
    """Whether the generator was taught by scenes of this kind, and the face model has their expressions."""
    return generator.metadata.get("scene_latents") == LATENT_SIZE and tuple(face.expression_names) == EXPRESSIONS


def check_scenes(generator: Generator, face: FaceModel) -> None:
    """Raise StyleRigError when z is too small to hold a scene."""
    if generator.z_dim < LATENT_SIZE:
        raise StyleRigError(
            f"This generator's z has {generator.z_dim} numbers, a scene of the studio {LATENT_SIZE}.",
            'Set "scenes" to 0 for generators that the studio did not teach.',
            code="bad_config",
        )


def parameters_of(z: Tensor, face: FaceModel) -> RigParameters:
    """The exact, aligned parameters of z (N, z_dim)."""
    scene = scene_from_latent(z[:, :LATENT_SIZE].cpu())
    return align(on_processor(face), scene.parameters).to(face.mean.device)


_COPIES: WeakKeyDictionary[FaceModel, FaceModel] = WeakKeyDictionary()


def on_processor(face: FaceModel) -> FaceModel:
    """A face model as the processor reads it, copied once for each."""
    if face.mean.device.type == "cpu":
        return face
    if face not in _COPIES:
        _COPIES[face] = face.to("cpu")
    return _COPIES[face]


def codes_of(generator: Generator, z: Tensor) -> Tensor:
    """w (N, L, 512) of scenes z (N, z_dim)."""
    return generator.mapping(z.to(generator.w_avg.device))


@torch.no_grad()
def draw_scenes(generator: Generator, face: FaceModel, count: int, rng: DeviceRng) -> tuple[Tensor, RigParameters]:
    """Codes (N, L, 512) and their parameters; half of the scenes show strong expressions and poses."""
    rng = rng.on("cpu")
    z = rng.randn(count, generator.z_dim)
    varied = edited_scenes(z, face, rng)
    half = (torch.arange(count) % 2 == 0).unsqueeze(1)
    z = torch.where(half, z, varied)
    return codes_of(generator, z), parameters_of(z, face)


@torch.no_grad()
def draw_pairs(generator: Generator, face: FaceModel, count: int, rng: DeviceRng) -> tuple[Tensor, RigParameters, Tensor, RigParameters]:
    """Codes and parameters before and after the edit of a random choice of controls: (w, p, w', p')."""
    rng = rng.on("cpu")
    z = rng.randn(count, generator.z_dim)
    both = torch.cat((z, edited_scenes(z, face, rng)))
    w, parameters = codes_of(generator, both), parameters_of(both, face)
    return w[:count], parameters[:count], w[count:], parameters[count:]


def edited_scenes(z: Tensor, face: FaceModel, rng: DeviceRng) -> Tensor:
    """z (N, z_dim), on the processor, after edits such as an artist asks for, each control with even chance.

    Poses are even over their reach, and the eyes keep their direction in half of them; expressions
    change singly at any weight, or all; light turns, or is another one.
    """
    places, count = layout(), len(z)
    pose, expression, light = (rng.rand(count, 1) < 0.5 for _ in range(3))
    edited = z.clone()
    poses = (2 * rng.rand(count, 3) - 1) * torch.tensor((REACH["yaw"] / YAW, REACH["pitch"] / PITCH, 2.0))
    set_where(edited, places["pose"], pose, poses)
    kept = pose & (rng.rand(count, 1) < 0.5)
    set_where(edited, places["gaze"], kept, kept_gaze(z, edited, places))
    set_where(edited, places["expression"], expression, new_expressions(z[:, places["expression"]], rng))
    for part, stretch in (("mood", 1.0), ("gaze", GAZE_STRETCH)):
        fresh = stretch * rng.randn(count, places[part].stop - places[part].start)
        set_where(edited, places[part], expression & (rng.rand(count, 1) < 0.4), fresh)
    set_where(edited, places["light"], light, new_lights(z[:, places["light"]], rng))
    return edited


def set_where(z: Tensor, place: slice, chosen: Tensor, values: Tensor) -> None:
    """Put ``values`` at ``place`` into the rows that are ``chosen`` (N, 1), in place."""
    z[:, place] = torch.where(chosen, values, z[:, place])


def kept_gaze(before: Tensor, after: Tensor, places: dict[str, slice]) -> Tensor:
    """The gaze numbers (N, 2) with which the eyes look, after a turn of the head, as they did in it before."""
    turned = after[:, places["pose"]] - before[:, places["pose"]]
    back = torch.stack((LOOK_BACK * YAW * turned[:, 0] / GAZE_STD, -1.2 * LOOK_BACK * PITCH * turned[:, 1] / GAZE_STD), dim=1)
    return before[:, places["gaze"]] + back


def new_expressions(numbers: Tensor, rng: DeviceRng) -> Tensor:
    """Expression numbers (N, E): mostly a few changed at any weight, the others at rest or as they are."""
    count, size = numbers.shape
    wide = LOW + (HIGH - LOW) * rng.rand(count, size)
    rest = torch.where(rng.rand(count, 1) < 0.4, numbers.clamp(max=0.5), numbers)
    sparse = torch.where(rng.rand(count, size) < CHANGED / size, wide, rest)
    fresh = rng.randn(count, size)
    fresh = torch.where(rng.rand(count, size) < STRONG_SHARE, STRONG_STRETCH * fresh, fresh)
    return torch.where(rng.rand(count, 1) < 0.75, sparse, fresh)


def new_lights(numbers: Tensor, rng: DeviceRng) -> Tensor:
    """Light numbers (N, len(LIGHTS)): other ones, or the same turned about the vertical."""
    count = len(numbers)
    fresh = rng.randn(count, len(LIGHTS))
    turned = turned_lights(numbers, (2 * rng.rand(count) - 1) * TURN)
    return torch.where(rng.rand(count, 1) < 0.5, fresh, turned)


def turned_lights(numbers: Tensor, angle: Tensor) -> Tensor:
    """The same surroundings and lamps turned by ``angle`` (N,) radians, from +z towards +x."""
    turned = numbers.clone()
    cosine, sine = (LIGHTS.index(name) for name in ("turn_cos", "turn_sin"))
    turned[:, cosine] = angle.cos() * numbers[:, cosine] - angle.sin() * numbers[:, sine]
    turned[:, sine] = angle.sin() * numbers[:, cosine] + angle.cos() * numbers[:, sine]
    for name, radians in TURNS.items():
        turned[:, LIGHTS.index(name)] += angle / radians
    return turned


def with_expression(z: Tensor, name: str, weight: float, face: FaceModel) -> Tensor:
    """z (N, z_dim) whose scene shows the expression ``name`` at ``weight`` (0–1), without moods.

    The other side of a pair stays, except for the eyes, which only look the same way together: gaze
    is left as it is.
    """
    places, names = layout(), face.expression_names
    stem, side = (name[:-2], name[-2:]) if name[-2:] in ("_L", "_R") else (name, "")
    z = z.clone()
    mood, first = places["mood"], places["expression"].start
    z[:, mood.start : mood.stop - 1] = 0.0
    if is_gaze(name):
        return z
    rest = THRESHOLD + CALM * z[:, mood.stop - 1] + (RARER if stem in LID_CLOSERS else 0.0)
    drive = rest + weight / GAIN
    if not side:
        z[:, first + names.index(name)] = drive
        return z
    columns = [first + names.index(f"{stem}{end}") for end in ("_L", "_R")]
    left, right = z[:, columns].unbind(1)
    drives = {"_L": SIDES[0] * left + SIDES[1] * right, "_R": SIDES[0] * left - SIDES[1] * right}
    drives[side] = drive
    z[:, columns[0]] = (drives["_L"] + drives["_R"]) / (2 * SIDES[0])
    z[:, columns[1]] = (drives["_L"] - drives["_R"]) / (2 * SIDES[1])
    return z
