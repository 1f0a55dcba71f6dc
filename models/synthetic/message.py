"""People and shots as the arrays that the Cycles process is sent; centimetres, linear colours.

Three kinds of messages: the stage (what all people share), a person (topologies, colours, textures), a shot
(positions, light, lens). Hair, skin and clothes are made once a person and only moved for each shot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from models.face import posing
from models.face.mesh_topology import vertex_normals
from models.face.model import FaceModel, needed
from models.face.own_head.parts import chart_quads
from models.face.shoulders import ring_strip
from models.synthetic import accessories, clothing, eyes, hair, skin
from models.synthetic.environments import HEIGHT, WIDTH, mixed_panorama
from models.synthetic.hair.roots import unit
from models.synthetic.light import MOST_LAMPS
from models.synthetic.shot import Shot
from models.synthetic.traits import Person

CORNEA, BULGE = 27.0, 0.055  # degrees from the eye's axis, cm
TUCK_FROM, TUCK, NECK_AXIS = -10.0, 0.45, np.array([0.0, 0.0, -1.7])  # height, share at the rim, x and z of the neck's middle
SAMPLES, LARGE = 3, 256  # of a pixel, one more in long hair; of pictures larger than so many pixels one less
SHIRT, JACKET = 0.6, 1.2  # cm off the skin: where hair lies on clothes


@dataclass
class Assets:
    """What all people share; made once by ``prepare``."""

    face: FaceModel
    maps: skin.SkinMaps
    hair: hair.HairAssets
    lids: dict[str, np.ndarray]  # vertices of each lid's edge
    head_material: np.ndarray  # (Q,) 0 skin, 1 eye, 2 teeth, 3 mouth, 4 tongue, 5 gums
    head_uv: np.ndarray  # (Q, 4, 2)


def prepare(face: FaceModel) -> Assets:
    """Everything that does not depend on the person."""
    material, uv = head_surface(face)
    return Assets(face, skin.prepare_maps(face), hair.prepare(face), eyes.lid_edges(face), material, uv)


def head_surface(face: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Material of each quad and its picture coordinates: chart of the face, front of the eye, else a blank corner."""
    quads = needed(face.quads, "quads").numpy()
    material = np.zeros(len(quads), int)
    for value, name in enumerate(("eyes", "teeth", "mouth", "tongue", "gums"), start=1):
        if name in face.masks:
            material[(face.masks[name].numpy() > 0.5)[quads].all(axis=1)] = value
    chart, on_face = chart_quads(face)
    uv = np.where((on_face & (material == 0))[:, None, None], chart, 0.001)
    for centre, name in zip(face.eye_centers.numpy(), ("eye_L", "eye_R"), strict=True):
        offset = face.mean.numpy() - centre
        direction = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)
        flat = direction[:, :2] / np.maximum(np.linalg.norm(direction[:, :2], axis=1, keepdims=True), 1e-9)
        front = np.where(direction[:, 2:] > 0, direction[:, :2], flat)
        mine = (face.groups[name].numpy() > 0.5)[quads].all(axis=1)
        uv[mine] = 0.5 + 0.5 * front[quads[mine]]
    return material, uv


def stage_message(assets: Assets, threads: int) -> dict[str, np.ndarray]:
    """The first message of the Cycles process."""
    glasses_quads, glasses_material = accessories.glasses_topology()
    masks = assets.face.masks
    return {
        "kind": np.array("stage"),
        "threads": np.array(threads),
        "detail_size": np.array([skin.TEXTURE, skin.TEXTURE]),
        "iris_size": np.array([eyes.IRIS, eyes.IRIS]),
        "environment_size": np.array([WIDTH, HEIGHT]),
        "head_quads": needed(assets.face.quads, "quads").numpy(),
        "head_material": assets.head_material,
        "head_uv": assets.head_uv,
        "head_face_mask": masks["face"].numpy(),
        "head_neck_mask": neck_mask(assets.face),
        "head_wet": eyes.rims(assets.face).astype(float),
        "cloth_size": np.array([clothing.CLOTH, clothing.CLOTH]),
        "bust_quads": clothing.bust_quads(),
        "shirt_quads": clothing.bust_quads(),
        "shirt_uv": clothing.garment_uv(),
        "jacket_quads": clothing.bust_quads(),
        "collar_quads": ring_strip(3, clothing.SEGMENTS),
        "earrings_quads": accessories.earring_quads(),
        "glasses_quads": glasses_quads,
        "glasses_material": glasses_material,
    }


def neck_mask(face: FaceModel) -> np.ndarray:
    """(V,) 1 where skin counts as neck: below the jaw line, not on the face."""
    y = face.mean[:, 1].numpy()
    below = np.clip((-7.0 - y) / 1.5, 0, 1)
    return below * (1 - face.masks["face"].numpy()) * face.masks["skin"].numpy()


@dataclass
class Model:
    """A person before the camera: what is made once for all shots."""

    person: Person
    groom: dict[str, hair.Strands]
    outfit: clothing.Outfit
    on_body: dict[str, np.ndarray]  # vertices in the body's frame
    on_head: dict[str, np.ndarray]  # vertices in the head's frame
    spectacles: accessories.Spectacles | None
    earrings: accessories.Earrings | None


def make_model(person: Person, assets: Assets) -> Model:
    """Grow hair, cut clothes and fit spectacles on the person's resting head."""
    face = assets.face
    identity = torch.as_tensor(person.identity, dtype=torch.float32)[None]
    shape = face.vertices(identity, torch.zeros(1, face.expression.shape[0]))
    normals = vertex_normals(shape, face.triangles)[0].numpy()
    rest = shape[0].numpy().astype(float)
    outfit = clothing.outfit(person.look, person.masculine)
    neck = neck_half_width(rest, face) / clothing.NECK_HALF_WIDTH
    worn, rings = accessories.spectacles(person.look, person.masculine), accessories.earrings(person.look, person.masculine)
    on_head = {
        "glasses": glasses_for(face, identity, rest, worn) if worn else np.zeros((accessories.glasses_topology()[0].max() + 1, 3)),
        "earrings": accessories.earring_points(ear_lobes(rest, face), rings)
        if rings
        else np.zeros((accessories.earring_quads().max() + 1, 3)),
    }
    on_body = {name: getattr(clothing, name)(outfit, neck) for name in ("bust", "shirt", "jacket", "collar")}
    groom = hair.grow(person, assets.hair, bulged_eyes(rest, face), normals, on_body["bust"], JACKET if outfit.jacket else SHIRT)
    return Model(person, groom, outfit, on_body, on_head, worn, rings)


def neck_half_width(rest: np.ndarray, face: FaceModel) -> float:
    """Half the width of the neck at its base, cm."""
    at_base = (np.abs(face.mean[:, 1].numpy() + 11.0) < 0.7) & (face.masks["skin"].numpy() > 0.5)
    return float(np.abs(rest[at_base, 0]).max())


def ear_lobes(rest: np.ndarray, face: FaceModel) -> np.ndarray:
    """The lowest points (2, 3) of the left and the right ear."""
    mean = face.mean.numpy()
    ear = (
        (np.abs(mean[:, 0]) > 6.9)
        & (mean[:, 1] < 4)
        & (mean[:, 1] > -2.2)
        & (mean[:, 2] > -1)
        & (mean[:, 2] < 2.6)
        & (face.masks["skin"].numpy() > 0.5)
    )
    sides = [np.flatnonzero(ear & (sign * mean[:, 0] > 0)) for sign in (1, -1)]
    return np.stack([rest[side[np.argmin(mean[side, 1])]] for side in sides])


def person_message(model: Model, assets: Assets, size: int) -> dict[str, np.ndarray]:
    """Colours, textures and topologies of a person, and the side of the pictures in pixels."""
    person, face = model.person, assets.face
    detail, relief = skin.paint(assets.maps, person)
    message = {
        "kind": np.array("person"),
        "size": np.array(size),
        "head_colour": skin.vertex_colours(face, person),
        "detail": detail,
        "relief": relief,
        "iris": eyes.eye_picture(assets.maps.eye, person),
        "subsurface": np.array(skin.subsurface(person)),
        "oil": np.array(skin.oil(person)),
        "cloth": clothing.cloth_picture(model.outfit),
        "bust_colour": neck_colour(person, face),
        "has_jacket": np.array(model.outfit.jacket),
        "jacket_colour": model.outfit.jacket_colour,
        "has_collar": np.array(model.outfit.collar),
        "collar_colour": model.outfit.colour,
        "has_glasses": np.array(model.spectacles is not None),
        "glasses_colour": model.spectacles.frame if model.spectacles else np.zeros(3),
        "glasses_tint": model.spectacles.tint if model.spectacles else np.ones(3),
        "has_earrings": np.array(model.earrings is not None),
        "earrings_colour": model.earrings.colour if model.earrings else np.ones(3),
        "samples": np.array(SAMPLES + hair.is_long(person) - (size > LARGE)),
    }
    for kind, strands in model.groom.items():
        message |= {f"{kind}_shape": np.array(strands.points.shape[:2]), f"{kind}_radius": strands.radius, f"{kind}_colour": strands.colour}
    return message


def neck_colour(person: Person, face: FaceModel) -> np.ndarray:
    """Linear colour (3,) of the skin at the neck's base, which the bust goes on with."""
    low = (face.mean[:, 1].numpy() < -10.5) & (face.masks["skin"].numpy() > 0.5)
    return skin.vertex_colours(face, person)[low].mean(axis=0)


def shot_message(model: Model, shot: Shot, assets: Assets, seed: int) -> dict[str, np.ndarray]:
    """Where everything is in one picture, world frame, and what lights it."""
    face, person = assets.face, model.person
    parameters, camera = shot.parameters(person, face), shot.camera(person, face)
    shape = face.vertices(parameters.identity, parameters.expression)
    normals = vertex_normals(shape, face.triangles)[0].numpy()
    head = bulged_eyes(shape[0].numpy().astype(float), face)
    pose = Pose(parameters.rotation, parameters.translation, shot.body)
    message = {
        "kind": np.array("shot"),
        "head": pose.neck(tucked(head, face), face.groups["head"].numpy()),
        **{name: pose.body(points) for name, points in model.on_body.items()},
        **{name: pose.head(points) for name, points in model.on_head.items()},
        "creases": skin.creases(face, shot.expression, person.age),
        "lid_tint": eyes.lid_tint(face, head, assets.lids),
        "distance": np.array(camera.distance),
        "half_width": np.array(camera.half_width),
        "environment": mixed_panorama(shot.light.environment, shot.light.turn)[::-1],
        "seed": np.array(seed),
    }
    for kind, strands in model.groom.items():
        message[f"{kind}_points"] = hair.moved(strands, head, normals, assets.hair.face, pose)
    for place in range(MOST_LAMPS):
        lamp = shot.light.lamps[place] if place < len(shot.light.lamps) else None
        message[f"lamp{place}_direction"] = lamp.direction if lamp else np.array([0.0, 0.0, 1.0])
        message[f"lamp{place}_irradiance"] = lamp.irradiance if lamp else np.zeros(3)
        message[f"lamp{place}_angle"] = np.array(lamp.angle if lamp else 0.1)
    return message


def tucked(head: np.ndarray, face: FaceModel) -> np.ndarray:
    """The head (V, 3) with the lower rim of its neck drawn in, so that it ends within the shoulders and not over a collar."""
    height = face.mean[:, 1:2].numpy()
    share = TUCK * np.clip((TUCK_FROM - height) / (TUCK_FROM + 15.5), 0, 1)
    return head - share * (head - NECK_AXIS) * [1.0, 0.0, 1.0]


class Pose:
    """Where one person's head, neck and shoulders stand, for arrays of points of any shape (…, 3)."""

    def __init__(self, rotation: torch.Tensor, translation: torch.Tensor, body: np.ndarray):
        self.pose = posing.Pose(rotation.double(), translation.double(), torch.as_tensor(body, dtype=torch.float64)[None])
        self.turn, self.body_turn = self.pose.turn[0].numpy(), self.pose.body_turn[0].numpy()

    def head(self, points: np.ndarray) -> np.ndarray:
        """Points that follow the skull, to the world."""
        return as_points(self.pose.head, points)

    def body(self, points: np.ndarray) -> np.ndarray:
        """Points that follow the shoulders, to the world."""
        return as_points(self.pose.body, points)

    def to_body(self, points: np.ndarray) -> np.ndarray:
        """Points (…, 3) of the world in the shoulders' frame."""
        return (points - self.pose.body_offset[0].numpy()) @ self.body_turn

    def neck(self, points: np.ndarray, share: np.ndarray | None = None) -> np.ndarray:
        """Points that follow the skull by ``share`` (…,), without one by their height, and the shoulders by the rest."""
        height = points[..., 1] if share is None else share
        known = torch.from_numpy(height.astype(float)).reshape(1, -1)
        return as_points(lambda rows: self.pose.both(rows, posing.share_of_head(known) if share is None else known), points)


def as_points(move: Callable, points: np.ndarray) -> np.ndarray:
    """Apply a function of (1, P, 3) tensors to an array (…, 3)."""
    return move(torch.from_numpy(points.astype(float)).reshape(1, -1, 3)).numpy().reshape(points.shape)


def bulged_eyes(vertices: np.ndarray, face: FaceModel) -> np.ndarray:
    """Vertices (V, 3) with corneas: the part round each eye's axis stands out."""
    result = vertices.copy()
    for name in ("eye_L", "eye_R"):
        mine = np.flatnonzero(face.groups[name].numpy() > 0.5)
        rest = face.mean.numpy()[mine]
        front, back = mine[np.argmax(rest[:, 2])], mine[np.argmin(rest[:, 2])]
        centre, axis = (vertices[front] + vertices[back]) / 2, vertices[front] - vertices[back]
        offset = vertices[mine] - centre
        cosine = offset @ axis / np.maximum(np.linalg.norm(offset, axis=1) * np.linalg.norm(axis), 1e-9)
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        rise = BULGE * np.clip(1 - (angle / CORNEA) ** 2, 0, 1)
        result[mine] += unit(offset) * rise[:, None]
    return result


def glasses_for(face: FaceModel, identity: torch.Tensor, rest: np.ndarray, worn: accessories.Spectacles) -> np.ndarray:
    """Spectacles that sit on this person, in the head's frame."""
    eyes = face.eyes_for(identity)[0].numpy()
    temple = (np.abs(rest[:, 1] - eyes[:, 1].mean()) < 1.5) & (rest[:, 2] > 1.0) & (rest[:, 2] < 6.0)
    half_head = float(np.percentile(np.abs(rest[temple, 0]), 90))
    return accessories.glasses(eyes, rest[face.landmarks[27]], half_head, worn)
