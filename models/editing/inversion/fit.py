"""Fitting the rig to what was seen: shape, expression and pose by Gauss-Newton on landmarks, light and reflectance by least squares.

Several photographs are of one person: identity and reflectance are theirs together, the rest is each one's own. A head
stands upright in the frame of its generator; where that frame lies in a photograph is a similarity, solved in closed form.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from models.face import FaceModel, harmonics
from models.face.alignment import align, landmark_points, project_landmarks, quarter_turn
from models.face.camera import PORTRAIT_CAMERA, Camera
from models.face.frame import half_width, translation
from models.face.parameters import RigParameters
from models.face.posing import Pose
from models.face.rasterizer import Picture
from models.generators.guide import REST_DISTANCE, REST_LIGHT
from models.rigging.guided_renderer import BODY_SHARE

ITERATIONS = 6
LANDMARK_STD = 0.02  # half widths of the frame
JAW_SHARE = 0.4  # of another landmark's weight: where a cheek ends is hard to say
EXPRESSION_STD, ROTATION_STD = 0.3, 0.6
LARGEST_TURN = math.radians(50)
LARGEST_IDENTITY, LARGEST_REFLECTANCE = 3.0, 3.0  # standard deviations
PROFILE = math.radians(48)  # from which on half of a face is not seen

SIDE = 96  # pixels in which colours are compared
FEWEST = 64  # pixels of skin
ROUNDS = 4  # of light, then reflectance
COLOUR_STD, LIGHT_STD = 0.06, 0.7  # linear; of a coefficient of light, relative to its mean
OUTLIER = 0.12  # linear: what differs by more is hair, glasses or a shadow


class Frame(ABC):
    """How a rig's head stands before its camera at rest, for parameters whose rotation has no roll."""

    def __init__(self, face: FaceModel):
        self.face = face

    @abstractmethod
    def standing(self, parameters: RigParameters) -> RigParameters:
        """The same heads where the frame has them."""

    @abstractmethod
    def camera(self, parameters: RigParameters) -> Camera: ...

    def body(self, parameters: RigParameters) -> Tensor | None:
        """Rotation of the shoulders (N, 3); None where the neck turns with the head."""
        return None

    def landmarks(self, parameters: RigParameters) -> Tensor:
        """Where landmarks lie (N, 68, 2), NDC."""
        standing = self.standing(parameters)
        return project_landmarks(self.face, standing, self.camera(standing))[..., :2]


class CropFrame(Frame):
    """The FFHQ crop."""

    def standing(self, parameters: RigParameters) -> RigParameters:
        return align(self.face, parameters)

    def camera(self, parameters: RigParameters) -> Camera:
        return PORTRAIT_CAMERA


class HeadFrame(Frame):
    """The whole head, as guided generators show it."""

    def standing(self, parameters: RigParameters) -> RigParameters:
        return parameters.replace(translation=translation(parameters.rotation))

    def camera(self, parameters: RigParameters) -> Camera:
        return Camera(REST_DISTANCE, half_width(self.face, parameters.identity)[:, None])

    def body(self, parameters: RigParameters) -> Tensor:
        return BODY_SHARE * parameters.rotation

    def landmarks(self, parameters: RigParameters) -> Tensor:
        standing = self.standing(parameters)
        pose = Pose(standing.rotation, standing.translation, self.body(standing))
        points = landmark_points(self.face, standing.identity, standing.expression)
        share = self.face.groups["head"][self.face.landmarks]
        return self.camera(standing).project(pose.both(points, share[None]))[..., :2]


@dataclass(frozen=True, eq=False)
class Fit:
    """N photographs of one person: ``parameters`` (N) with one identity and reflectance, and each one's frame in its photograph.

    ``squares`` (N, 4): the frame's centre and half axis x in pixels of the photograph, y up. ``error`` (N,) is the landmarks'
    RMS distance in half widths.
    """

    parameters: RigParameters
    squares: Tensor
    error: Tensor


def similarity(points: Tensor, seen: Tensor, weights: Tensor) -> Tensor:
    """The squares (N, 4) that carry NDC ``points`` (N, P, 2) nearest to ``seen`` (N, P, 2)."""
    share = (weights / weights.sum())[:, None]
    middle, goal = (points * share).sum(dim=1, keepdim=True), (seen * share).sum(dim=1, keepdim=True)
    a, b = points - middle, seen - goal
    size = (a.square() * share).sum(dim=(1, 2))
    along = (a * b * share).sum(dim=(1, 2)) / size
    across = (quarter_turn(a) * b * share).sum(dim=(1, 2)) / size
    axis = torch.stack((along, across), dim=1)
    centre = goal[:, 0] - middle[:, 0, :1] * axis - middle[:, 0, 1:] * quarter_turn(axis)
    return torch.cat((centre, axis), dim=1)


def carried(points: Tensor, squares: Tensor) -> Tensor:
    """NDC points (N, P, 2) where squares (N, 4) have them."""
    axis = squares[:, None, 2:]
    return squares[:, None, :2] + points[..., :1] * axis + points[..., 1:] * quarter_turn(axis)


class Unknowns:
    """What Gauss-Newton solves, as one vector: identity, then expression, yaw and pitch of each photograph."""

    def __init__(self, face: FaceModel, count: int):
        self.face, self.count = face, count
        self.identity, self.expression = len(face.identity), len(face.expression)
        each = torch.cat((torch.full((self.expression,), EXPRESSION_STD), torch.full((2,), ROTATION_STD)))
        self.std = torch.cat((torch.ones(self.identity), each.repeat(count)))

    def parameters(self, vector: Tensor) -> RigParameters:
        """N heads in the light of a neutral one."""
        identity, rest = vector.split((self.identity, len(vector) - self.identity))
        expression, turn = rest.view(self.count, -1).split((self.expression, 2), dim=1)
        rotation = torch.cat((turn, torch.zeros_like(turn[:, :1])), dim=1)
        neutral = RigParameters.neutral(self.face, self.count)
        return neutral.replace(identity=identity.expand(self.count, -1), expression=expression, rotation=rotation)

    def bounded(self, vector: Tensor) -> Tensor:
        """The nearest vector within what rigs can be."""
        identity, rest = vector.split((self.identity, len(vector) - self.identity))
        expression, turn = rest.view(self.count, -1).split((self.expression, 2), dim=1)
        each = torch.cat((expression.clamp(0, 1), turn.clamp(-LARGEST_TURN, LARGEST_TURN)), dim=1)
        return torch.cat((identity.clamp(-LARGEST_IDENTITY, LARGEST_IDENTITY), each.flatten()))


@torch.no_grad()
def fit_shape(frame: Frame, seen: Tensor) -> Fit:
    """Fit N photographs of one person to landmarks ``seen`` (N, 68, 2) in their pixels, y up."""
    unknowns = Unknowns(frame.face, len(seen))
    weights = torch.ones(68)
    weights[:17] = JAW_SHARE
    spread = seen.std(dim=1).mean(dim=1)[:, None, None]

    def residual(vector: Tensor) -> Tensor:
        points = frame.landmarks(unknowns.parameters(vector))
        squares = similarity(points, seen, weights)
        off = (carried(points, squares) - seen) / squares[:, None, 2:].norm(dim=2, keepdim=True).clamp(min=0.2 * spread)
        return torch.cat(((off * (weights.sqrt()[:, None] / LANDMARK_STD)).flatten(), vector / unknowns.std))

    vector = torch.zeros(len(unknowns.std))
    for _ in range(ITERATIONS):
        jacobian, off = torch.func.jacfwd(residual)(vector), residual(vector)
        step = torch.linalg.solve(jacobian.mT @ jacobian, jacobian.mT @ off)
        vector = unknowns.bounded(vector - step)
    parameters = frame.standing(unknowns.parameters(vector))
    points = frame.landmarks(parameters)
    squares = similarity(points, seen, weights)
    error = (carried(points, squares) - seen).square().sum(dim=-1).mean(dim=1).sqrt() / squares[:, 2:].norm(dim=1)
    return Fit(parameters, squares, error)


@dataclass(frozen=True, eq=False)
class Skin:
    """The pixels of one photograph that the mesh's skin covers: colours seen and what they are made of."""

    seen: Tensor  # (P, 3) linear
    functions: Tensor  # (P, 9): irradiance / pi of each coefficient of light
    albedo: Tensor  # (P, 3) of the mean face
    modes: Tensor  # (P, B, 3)


def skin_of(frame: Frame, head: RigParameters, picture: Tensor, matte: Tensor) -> Skin:
    """Of one head (N = 1) on a linear picture (3, SIDE, SIDE) where ``matte`` (1, SIDE, SIDE) is."""
    face = frame.face
    drawn = Picture(face, head, SIDE, frame.camera(head), frame.body(head))
    skin = drawn.fragments.gather(face.masks.get("face", torch.ones(len(face.mean)))[None, :, None])[:, 0] > 0.5
    places = drawn.fragments.pixels
    used = skin & (matte.flatten()[places] > 0.9)
    factors = torch.tensor(harmonics.CLAMPED_COSINE) / math.pi
    modes = drawn.fragments.gather(face.albedo.movedim(0, 1).flatten(1)[None])[used].unflatten(1, (-1, 3))
    return Skin(
        picture.flatten(1).T[places[used]],
        harmonics.basis(drawn.normals[used]) * factors,
        drawn.fragments.gather(face.albedo_mean[None])[used],
        modes,
    )


@torch.no_grad()
def fit_colours(frame: Frame, parameters: RigParameters, pictures: Tensor, mattes: Tensor) -> tuple[RigParameters, Tensor]:
    """Light of each of N heads and the reflectance of all, from linear pictures (N, 3, SIDE, SIDE) and mattes (N, 1, SIDE, SIDE).

    Also what share of the colours' variance (N,) they explain.
    """
    skins = [skin_of(frame, parameters[[row]], pictures[row], mattes[row]) for row in range(len(parameters))]
    lights = [start_light(skin) for skin in skins]
    reflectance = torch.zeros(len(frame.face.albedo))
    for _ in range(ROUNDS if all(len(skin.seen) >= FEWEST for skin in skins) else 0):
        lights = [solve_light(skin, light, reflectance) for skin, light in zip(skins, lights, strict=True)]
        reflectance = solve_reflectance(skins, lights, reflectance)
    explained = torch.stack([explained_by(skin, light, reflectance) for skin, light in zip(skins, lights, strict=True)])
    return parameters.replace(light=torch.stack(lights), reflectance=reflectance.expand(len(skins), -1)), explained


def explained_by(skin: Skin, light: Tensor, reflectance: Tensor) -> Tensor:
    """Share of the variance of the colours seen; 0 where too little is seen to say."""
    if len(skin.seen) < FEWEST:
        return torch.zeros(())
    off = (albedo_of(skin, reflectance) * (skin.functions @ light).clamp(min=0) - skin.seen).square().mean(dim=1)
    usual = (skin.seen - skin.seen.median(dim=0).values).square().mean(dim=1)
    return 1 - off.median() / usual.median().clamp(min=1e-6)


def start_light(skin: Skin) -> Tensor:
    """The light (9, 3) of a portrait at rest, as bright in each colour as the mean face would need it."""
    light = torch.tensor(REST_LIGHT)
    if not len(skin.seen):
        return light
    shown = (skin.albedo * (skin.functions @ light)).median(dim=0).values
    return light * (skin.seen.median(dim=0).values / shown.clamp(min=1e-3)).clamp(0.05, 8)


def albedo_of(skin: Skin, reflectance: Tensor) -> Tensor:
    """Albedo (P, 3), above black."""
    return (skin.albedo + torch.einsum("pbc,b->pc", skin.modes, reflectance)).clamp(min=0.01)


def trust(off: Tensor) -> Tensor:
    """Weights (P,) of pixels whose colours are ``off`` (P, 3): little where something else is seen."""
    return 1 / (1 + (off.abs().mean(dim=1) / OUTLIER).square())


def solve_light(skin: Skin, light: Tensor, reflectance: Tensor) -> Tensor:
    """Light (9, 3) by least squares, not far from that of a portrait."""
    albedo, start = albedo_of(skin, reflectance), start_light(skin)
    weights = trust(albedo * (skin.functions @ light) - skin.seen)
    share = 100 / weights.sum()  # so many independent pixels a face has
    found = []
    for channel in range(3):
        rows = albedo[:, channel, None] * skin.functions
        gram = (rows * weights[:, None]).mT @ rows * share / COLOUR_STD**2
        off = skin.seen[:, channel] - rows @ start[:, channel]
        right = (rows * weights[:, None]).mT @ off * share / COLOUR_STD**2
        gram.diagonal().add_(1 / (LIGHT_STD * start[0, channel]).square())
        found.append(start[:, channel] + torch.linalg.solve(gram, right))
    return torch.stack(found, dim=1)


def solve_reflectance(skins: list[Skin], lights: list[Tensor], reflectance: Tensor) -> Tensor:
    """Reflectance (B,) by least squares under the lights (9, 3) of all photographs, standard normal before any is seen."""
    gram, right = torch.eye(len(reflectance)), torch.zeros(len(reflectance))
    for skin, light in zip(skins, lights, strict=True):
        shading = (skin.functions @ light).clamp(min=0)
        weights = trust(albedo_of(skin, reflectance) * shading - skin.seen)
        share = 100 / weights.sum() / COLOUR_STD**2
        rows = skin.modes * shading[:, None]
        gram += torch.einsum("pbc,pdc,p->bd", rows, rows, weights) * share
        right += torch.einsum("pbc,pc,p->b", rows, skin.seen - skin.albedo * shading, weights) * share
    return torch.linalg.solve(gram, right).clamp(-LARGEST_REFLECTANCE, LARGEST_REFLECTANCE)
