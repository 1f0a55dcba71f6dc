"""One person of a scene as the arrays that the Cycles process puts on its stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from models.face.camera import PORTRAIT_CAMERA, rotation_matrix
from models.face.edges import vertex_normals
from models.face.head import FIGURES, chart_from_uv
from models.face.model import FaceModel
from models.studio import hair, skin, wardrobe
from models.studio.environments import HEIGHT, WIDTH, mixed_panorama
from models.studio.scene import Scene

NECK_LOW, NECK_HIGH = -13.5, -5.0  # between these heights the neck turns from the body to the head
NECK_PIVOT = np.array([0.0, -6.0, -1.0])
CORNEA, BULGE = 27.0, 0.055  # degrees from the eye's axis, cm
SAMPLES, SAMPLES_LONG_HAIR = 3, 4


@dataclass
class Assets:
    """What all people share; made once by ``prepare``."""

    face: FaceModel
    maps: skin.SkinMaps
    scalp: hair.Roots
    buzz: hair.Roots
    brows: hair.Roots
    beard: hair.Roots
    lid_loops: dict[str, np.ndarray]  # side -> vertex indices in order
    head_material: np.ndarray  # (Q,) 0 skin, 1 eye, 2 teeth, 3 mouth
    head_uv: np.ndarray  # (Q, 4, 2)
    skull_points: np.ndarray  # vertices of scalp and neck without ears


def prepare(face: FaceModel) -> Assets:
    """Everything that does not depend on the scene."""
    landmarks = hair.landmark_chart()
    mean = face.mean.numpy()
    ear = (np.abs(mean[:, 0]) > 7.2) & (mean[:, 1] < 6.0) & (mean[:, 1] > -5.0) & (mean[:, 2] > -3.5)
    on_skin = (face.masks["skin"].numpy() > 0.5) & ~ear
    material, uv = head_surface(face)
    candidates = hair.scatter(face)
    return Assets(
        face=face,
        maps=skin.prepare_maps(),
        scalp=candidates.roots(3600, hair.scalp_margin),
        buzz=candidates.roots(9000, hair.scalp_margin, skip=3600),
        brows=candidates.roots(1100, hair.region_margin(landmarks, "brow")),
        beard=candidates.roots(4500, hair.region_margin(landmarks, "beard")),
        lid_loops=lid_loops(face),
        head_material=material,
        head_uv=uv,
        skull_points=np.flatnonzero(on_skin & (mean[:, 2] < 9.5)),
    )


def head_surface(face: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Material of each quad and its picture coordinates: chart of the face, front of the eye, else a blank corner."""
    quads = face.quads.numpy()
    material = np.zeros(len(quads), int)
    for value, name in enumerate(("eyes", "teeth", "mouth"), start=1):
        material[(face.masks[name].numpy() > 0.5)[quads].all(axis=1)] = value
    chart = chart_from_uv(face.uv.numpy())[face.uv_quads.numpy()]
    on_face = (chart[..., 1].min(axis=1) > -0.005) & (chart[..., 0].max(axis=1) < 1.005) & (material == 0)
    uv = np.where(on_face[:, None, None], chart, 0.001)
    for centre, name in zip(face.eye_centers.numpy(), ("eye_L", "eye_R"), strict=True):
        offset = face.mean.numpy() - centre
        direction = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)
        flat = direction[:, :2] / np.maximum(np.linalg.norm(direction[:, :2], axis=1, keepdims=True), 1e-9)
        front = np.where(direction[:, 2:] > 0, direction[:, :2], flat)
        mine = (face.groups[name].numpy() > 0.5)[quads].all(axis=1)
        uv[mine] = 0.5 + 0.5 * front[quads[mine]]
    return material, uv


def lid_loops(face: FaceModel) -> dict[str, np.ndarray]:
    """Vertices along each eye's lid edge, in order, from the measured loops of the chart."""
    chart = np.full((len(face.mean), 2), -9.0)
    positions = chart_from_uv(face.uv.numpy())
    on_face = positions[face.uv_quads.numpy()][..., 1].min(axis=1) > -0.005
    on_face &= positions[face.uv_quads.numpy()][..., 0].max(axis=1) < 1.005
    chart[face.quads.numpy()[on_face]] = positions[face.uv_quads.numpy()[on_face]]
    with np.load(FIGURES, allow_pickle=False) as archive:
        loops = {"L": archive["loop_left_eye"].astype(float), "R": archive["loop_right_eye"].astype(float)}
    result = {}
    for side, loop in loops.items():
        dense = np.concatenate([loop + (np.roll(loop, -1, axis=0) - loop) * t for t in np.linspace(0, 1, 8, endpoint=False)[:, None, None]], axis=0)
        dense = dense.reshape(8, -1, 2).transpose(1, 0, 2).reshape(-1, 2)
        nearest = np.argmin(np.linalg.norm(dense[:, None] - chart[None], axis=-1), axis=1)
        result[side] = nearest[np.sort(np.unique(nearest, return_index=True)[1])]
    return result


def stage_message(assets: Assets, size: int, threads: int) -> dict[str, np.ndarray]:
    """The first message of the Cycles process."""
    glasses_quads, glasses_material = wardrobe.glasses_topology()
    return {
        "size": np.array(size),
        "threads": np.array(threads),
        "distance": np.array(PORTRAIT_CAMERA.distance),
        "half_width": np.array(PORTRAIT_CAMERA.half_width),
        "detail_size": np.array([skin.TEXTURE, skin.TEXTURE]),
        "iris_size": np.array([skin.IRIS, skin.IRIS]),
        "environment_size": np.array([WIDTH, HEIGHT]),
        "head_quads": assets.face.quads.numpy(),
        "head_material": assets.head_material,
        "head_uv": assets.head_uv,
        "head_face_mask": assets.face.masks["face"].numpy(),
        "shirt_quads": wardrobe.shirt_quads(),
        "glasses_quads": glasses_quads,
        "glasses_material": glasses_material,
    }


def person_message(scene: Scene, row: int, assets: Assets, seed: int) -> dict[str, np.ndarray]:
    """All that the Cycles process needs of scene ``row``; world frame, cm, linear colours."""
    face, parameters = assets.face, scene.parameters[row : row + 1]
    look = {name: float(values[row]) for name, values in scene.looks.items()}
    reflectance = parameters.reflectance[0].numpy().astype(float)
    shape = face.vertices(parameters.identity, parameters.expression)
    rest = face.vertices(parameters.identity, torch.zeros_like(parameters.expression))[0].numpy()
    normals = vertex_normals(shape, face.triangles)[0].numpy()
    head = bulged_eyes(shape[0].numpy().astype(float), face)
    turn = rotation_matrix(parameters.rotation)[0].numpy().astype(float)
    offset = parameters.translation[0].numpy().astype(float)
    to_world = lambda points: points @ turn.T + offset
    body, body_offset = body_frame(turn, offset, float(scene.body_roll[row]), float(parameters.rotation[0, 0]))
    follow = smoothstep((head[:, 1:2] - NECK_LOW) / (NECK_HIGH - NECK_LOW))
    posed = follow * to_world(head) + (1 - follow) * (head @ body.T + body_offset)
    style = hair.blended_style(look)
    message = {
        "head": posed,
        "head_colour": skin.vertex_colours(face, reflectance, look, style["recede"], style["density"]),
        "detail": skin.detail_map(assets.maps, reflectance, look),
        "iris": skin.iris_picture(assets.maps, skin.iris_colour(face, reflectance), look),
        "subsurface": np.array(0.10 + 0.07 * skin.skin_tone(reflectance)[1] / 0.46),
        "roughness": np.array(np.clip(0.50 - 0.06 * look["gloss"], 0.3, 0.68)),
        "shirt": wardrobe.shirt(look) @ body.T + body_offset,
        "shirt_colour": wardrobe.shirt_colour(look),
        "has_glasses": np.array(wardrobe.wears_glasses(look)),
        "glasses": to_world(glasses_for(face, parameters.identity, rest, look)),
        "frame_colour": wardrobe.frame_colour(look),
        "environment": mixed_panorama(scene.environment[row].numpy(), float(scene.environment_turn[row]))[::-1],
        "samples": np.array(SAMPLES_LONG_HAIR if style["top"] > 12 else SAMPLES),
        "seed": np.array(seed),
    }
    down = turn.T @ body @ np.array([0.0, -1.0, 0.0])
    message |= all_hair(assets, head, rest, normals, down, look, to_world)
    for name, lamp in (("key", scene.key), ("rim", scene.rim)):
        message[f"{name}_direction"] = lamp.direction[row].numpy()
        message[f"{name}_irradiance"] = lamp.irradiance[row].numpy()
        message[f"{name}_angle"] = lamp.angle[row].numpy()
    return message


def smoothstep(t: np.ndarray) -> np.ndarray:
    """0 to 1 without a corner."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def body_frame(turn: np.ndarray, offset: np.ndarray, roll: float, yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and offset (3,) of the shoulders: they lean by ``roll`` and follow a quarter of the head's yaw."""
    follow = torch.tensor([[0.25 * yaw, 0.0, roll]])
    body = rotation_matrix(follow)[0].numpy().astype(float)
    return body, turn @ NECK_PIVOT + offset - body @ NECK_PIVOT


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
        result[mine] += hair.unit(offset) * rise[:, None]
    return result


def glasses_for(face: FaceModel, identity: torch.Tensor, rest: np.ndarray, look: dict) -> np.ndarray:
    """Spectacles that sit on this person, in the head's frame."""
    eyes = face.eyes_for(identity)[0].numpy()
    temple = (np.abs(rest[:, 1] - eyes[:, 1].mean()) < 1.5) & (rest[:, 2] > 1.0) & (rest[:, 2] < 6.0)
    half_head = float(np.percentile(np.abs(rest[temple, 0]), 90))
    return wardrobe.glasses(eyes, rest[face.landmarks[27]], half_head, look)


def all_hair(assets: Assets, head, rest, normals, down, look, to_world) -> dict[str, np.ndarray]:
    """Points, radius and colour of scalp hair, brows, lashes and beard."""
    corners = assets.face.triangles.numpy()
    colour, grey = hair.hair_colour(look), float(hair.greyness(look))
    skull = hair.Skull(rest[assets.skull_points])
    style = hair.blended_style(look)
    short = style["top"] < 1.2
    strands, chance = hair.scalp_strands(assets.buzz if short else assets.scalp, corners, head, normals, skull, down, look)
    children = 1 if short else 4
    strands = hair.with_children(strands, children, 0.24, seed=5)
    chance = np.tile(chance, (children, 1))
    brows = hair.brow_strands(assets.brows, corners, head, normals, look)
    beard = hair.beard_strands(assets.beard, corners, head, normals, look)
    lashes = np.concatenate([lashes_of(assets, side, head, normals, look) for side in ("L", "R")])
    brow_colour = colour * np.exp(-0.2 - 0.3 * look["brow_dark"])
    kinds = {
        "scalp": (strands, 0.028 if short else 0.038, hair.strand_colours(colour, grey, chance)),
        "brows": (brows, 0.015, hair.strand_colours(brow_colour, 0.5 * grey, own_chance(brows, 6))),
        "beard": (beard, 0.026, hair.strand_colours(colour * [0.9, 0.8, 0.75], grey, own_chance(beard, 7))),
        "lashes": (lashes, 0.02, np.tile(np.minimum(colour * 0.4, 0.02), (len(lashes), 1))),
    }
    message = {}
    for name, (points, radius, colours) in kinds.items():
        taper = 1 - 0.75 * np.linspace(0, 1, points.shape[1]) ** 2
        message[f"{name}_points"] = to_world(points).astype(np.float32)
        message[f"{name}_radius"] = (radius * taper).astype(np.float32)
        message[f"{name}_colour"] = colours.astype(np.float32)
    return message


def own_chance(strands: np.ndarray, seed: int) -> np.ndarray:
    """A random number (R, 3) for each strand."""
    return np.random.default_rng(seed).random((len(strands), 3))


def lashes_of(assets: Assets, side: str, head: np.ndarray, normals: np.ndarray, look: dict) -> np.ndarray:
    """The lashes of one eye."""
    loop = assets.lid_loops[side]
    inner, outer = (42, 45) if side == "L" else (39, 36)
    corner = lambda i: head[assets.face.landmarks[i]]
    return hair.lash_strands(head[loop], corner(inner), corner(outer), normals[loop], look, seed=8 if side == "L" else 9)
