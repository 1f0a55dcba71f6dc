"""Draws the sheets of our head in docs/images/face: the mean, people, expressions, combinations, topology; of its second
edition the named modes, ages, people and the mouth.

    .venv/bin/python docs/pictures/face.py [mean people expressions combinations topology modes ages people2 mouth]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from models.colour import linear_to_srgb
from models.face import FaceModel, load_face_model
from models.face.camera import Camera, rotation_matrix
from models.face.harmonics import directional_light
from models.face.own_head import modes, people
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.io.atomic_write import write_atomic
from models.io.images import encode_image, image_grid

OUTPUT = ROOT / "docs" / "images" / "face"
FINE = 2  # drawn so many times as large
BACKDROP = 0.10  # linear grey
LIGHTS = (((0.7, 0.6, 0.75), 2.1), ((-0.9, 0.2, 0.35), 0.55), ((0.2, 0.5, -0.9), 0.6))  # direction, irradiance: key, fill, rim
AMBIENT = 0.32
MAX_BYTES = 300_000
COMBINATIONS, PEOPLE = 50, 24
ENDS = {"age": (-0.7, 5.5), "masculine": (-1, 1), "weight": (-2, 3)}  # of the named modes' use; of the others −2 and 2
NAMED = modes.NAMES[: len(modes.MODES)]  # but those of the teeth
FROM_THE_SIDE = {"nose_length", "nose_bridge", "nose_protrusion", "nose_tip_up", "chin_forward", "chin_length", "jaw_angle", "ear_size", "ear_out",
                 "ear_lobe", "ears_uneven", "forehead_slope", "forehead_height", "head_depth", "mouth_forward", "brow_ridge", "eye_depth"}  # fmt: skip
PART_COLOURS = {"skin": (216, 170, 140), "eyes": (150, 180, 220), "teeth": (235, 230, 205), "mouth": (190, 90, 90)}


def light() -> Tensor:
    """Key, fill, rim and a little from everywhere: (9, 3)."""
    total = torch.zeros(9, 3)
    total[0] = AMBIENT * (4 * torch.pi) ** 0.5
    for direction, irradiance in LIGHTS:
        unit = torch.nn.functional.normalize(torch.tensor([direction]), dim=1)
        total = total + directional_light(unit, torch.full((1, 3), irradiance))[0]
    return total


def draw(
    face: FaceModel, size: int, *, yaw: float = 0, identity=None, reflectance=None, expression=None, half: float = 14.0, height: float = 1.0
) -> Image.Image:
    """One head on grey, ``size``² pixels: ``yaw`` in degrees, ``half`` the frame's half-width and ``height`` its middle in cm."""
    parameters = RigParameters.neutral(face)
    parameters.light[0] = light()
    parameters.rotation[0, 0] = torch.deg2rad(torch.tensor(float(yaw)))
    middle = rotation_matrix(parameters.rotation)[0] @ torch.tensor([0.0, height, 0.0])
    parameters.translation[0, :2] = -middle[:2]
    for part, value in (("identity", identity), ("reflectance", reflectance), ("expression", expression)):
        if value is not None:
            getattr(parameters, part)[0] = value
    with torch.no_grad():
        picture = render(face, parameters, round(size * FINE), Camera(120.0, half))
    colour = picture["colour"][0] * picture["mask"][0] + BACKDROP * (1 - picture["mask"][0])
    pixels = (linear_to_srgb(colour.clamp(0, 1)) * 255).round().byte().numpy()
    return Image.fromarray(pixels).resize((size, size), Image.LANCZOS)


def sheet(tiles: list[Image.Image], columns: int, labels: Sequence[str] = ()) -> np.ndarray:
    """Tiles of one size side by side, each with its label below."""
    return image_grid([np.asarray(tile) for tile in tiles], columns, background=(40, 40, 40), labels=labels)


def save(picture: np.ndarray, name: str) -> None:
    """A JPEG of at most 300 kB, as good as fits."""
    for quality in (90, 85, 80, 74, 68, 60, 50):
        data = encode_image(picture, "JPEG", quality=quality)
        if len(data) <= MAX_BYTES:
            break
    write_atomic(OUTPUT / name, data)
    print(f"{OUTPUT / name}: {picture.shape[1]} x {picture.shape[0]}, {len(data) // 1000} kB")


def draw_mean(face: FaceModel) -> None:
    """The mean face from the front, at an angle and from the side, and close: eyes, mouth, ear."""
    tiles = [draw(face, 420, yaw=yaw) for yaw in (0, 40, 90)]
    close = ((0, 3.4, 5.0), (0, -3.0, 5.0), (-75, 1.0, 6.5))
    tiles += [draw(face, 420, yaw=yaw, height=height, half=half) for yaw, height, half in close]
    save(sheet(tiles, 3), "mean.jpg")


def draw_people(face: FaceModel) -> None:
    """Random identities and skins, N(0, 1) in every number."""
    generator = torch.Generator().manual_seed(11)
    identity = torch.randn(PEOPLE, face.identity.shape[0], generator=generator)
    skin = torch.randn(PEOPLE, face.albedo.shape[0], generator=generator)
    yaws = 25 * torch.randn(PEOPLE, generator=generator).clamp(-1.5, 1.5)
    tiles = [draw(face, 230, yaw=yaws[i], identity=identity[i], reflectance=skin[i]) for i in tqdm(range(PEOPLE), "people")]
    save(sheet(tiles, 6), "people.jpg")


def draw_expressions(face: FaceModel) -> None:
    """Every expression at 1; mouthClose over the open jaw that it closes."""
    tiles, labels = [], []
    for name in tqdm(face.expression_names, "expressions"):
        values = {name: 1.0, "jawOpen": 1.0} if name == "mouthClose" else {name: 1.0}
        tiles.append(draw(face, 170, expression=face.expression_weights(values)[0], half=10.0, height=0.3))
        labels.append("mouthClose + jawOpen" if name == "mouthClose" else name)
    save(sheet(tiles, 10, labels), "expressions.jpg")


def draw_combinations(face: FaceModel) -> None:
    """The random combinations of expressions that the tests look at, each on another person."""
    from tests.helpers.face_contact import random_expressions

    weights = random_expressions(face, COMBINATIONS)
    identity = 0.8 * torch.randn(COMBINATIONS, face.identity.shape[0], generator=torch.Generator().manual_seed(4))
    work = tqdm(range(COMBINATIONS), "combinations")
    save(sheet([draw(face, 170, identity=identity[i], expression=weights[i], half=10.0, height=0.3) for i in work], 10), "combinations.jpg")


def wireframe(face: FaceModel, size: int, yaw: float, half: float, height: float) -> Image.Image:
    """The mesh's quads, far ones first, each filled with its shade and outlined."""
    turn = rotation_matrix(torch.tensor([[yaw, 0.0, 0.0]]).deg2rad())[0]
    points = face.mean @ turn.T
    ndc = Camera(120.0, half).project((points - turn @ torch.tensor([0.0, height, 0.0]))[None])[0]
    pixels = torch.stack((ndc[:, 0] + 1, 1 - ndc[:, 1]), dim=1) * size * FINE / 2
    corners = points[face.quads]
    normals = torch.nn.functional.normalize(torch.linalg.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]), dim=1)
    shade = (70 + 150 * (normals @ torch.nn.functional.normalize(torch.tensor([0.4, 0.5, 0.8]), dim=0)).clamp(min=0)).int()
    picture = Image.new("RGB", (round(size * FINE), round(size * FINE)), (60, 60, 60))
    pen = ImageDraw.Draw(picture)
    for i in ndc[face.quads, 2].mean(dim=1).argsort(descending=True).tolist():
        if normals[i, 2] > -0.05:
            grey = int(shade[i])
            pen.polygon([tuple(p) for p in pixels[face.quads[i]].tolist()], fill=(grey, grey, grey), outline=(25, 40, 70))
    return picture.resize((size, size), Image.LANCZOS)


def uv_layout(face: FaceModel, size: int) -> Image.Image:
    """Every quad in the UV square, coloured by its part."""
    colours = np.full((len(face.quads), 3), (200, 150, 130))
    for name, colour in PART_COLOURS.items():
        colours[(face.masks[name] > 0.5)[face.quads].all(dim=1).numpy()] = colour
    picture = Image.new("RGB", (round(size * FINE), round(size * FINE)), (60, 60, 60))
    pen = ImageDraw.Draw(picture)
    corners = face.uv[face.uv_quads] * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
    for quad, colour in zip((corners * size * FINE).tolist(), colours.tolist(), strict=True):
        pen.polygon([tuple(p) for p in quad], fill=tuple(colour), outline=(40, 40, 60))
    return picture.resize((size, size), Image.LANCZOS)


def draw_topology(face: FaceModel) -> None:
    """Wireframes of the full mesh and the proxy, an eye and the mouth close by, and the UV layout."""
    views = ((face, 0, 13.5, 0.5), (face, 65, 13.5, 0.5), (face.proxy, 0, 13.5, 0.5), (face, 25, 4.2, 3.4), (face, 20, 4.2, -2.8))
    save(sheet([wireframe(mesh, 440, *view) for mesh, *view in views] + [uv_layout(face, 440)], 3), "topology.jpg")


def identity(face: FaceModel, **values: float) -> Tensor:
    """Identity weights (K,) by the modes' names."""
    weights = torch.zeros(len(face.identity))
    for name, value in values.items():
        weights[face.identity_names.index(name)] = value
    return weights


def draw_modes(face: FaceModel) -> None:
    """Every named mode at both ends of its use."""
    tiles, labels = [], []
    for name in tqdm(NAMED, "modes"):
        for value in ENDS.get(name, (-2, 2)):
            yaw, half = (70, 13.5) if name in FROM_THE_SIDE else (20, 10.5)
            tiles.append(draw(face, 136, yaw=yaw, identity=identity(face, **{name: value}), half=half, height=0))
            labels.append(f"{name} {value:+}")
    save(sheet(tiles, 12, labels), "modes.jpg")


def draw_ages(face: FaceModel) -> None:
    """A woman and a man from 20 to 80."""
    tiles, labels = [], []
    for sex, seed in ((-1, 2), (1, 5)):
        weights = people.spread(face) * torch.randn(len(face.identity), generator=torch.Generator().manual_seed(seed))
        for years in tqdm(range(20, 81, 10), "ages"):
            aged = weights + 0
            for name, value in (("age", (years - 25) / 10), ("masculine", sex), ("weight", 0.2)):
                aged[face.identity_names.index(name)] = value
            tiles.append(draw(face, 220, yaw=25, identity=people.plausible(face, aged[None])[0], half=10.5, height=0))
            labels.append(str(years))
    save(sheet(tiles, 7, labels), "ages.jpg")


def draw_people_2(face: FaceModel) -> None:
    """Random people of all ages, none chosen."""
    generator = torch.Generator().manual_seed(11)
    weights = people.spread(face) * torch.randn(PEOPLE, len(face.identity), generator=generator)
    weights[:, face.identity_names.index("age")] = 5.5 * torch.rand(PEOPLE, generator=generator)
    weights[:, face.identity_names.index("masculine")] = torch.tanh(1.8 * torch.randn(PEOPLE, generator=generator))
    weights = people.plausible(face, weights)
    skin = 0.8 * torch.randn(PEOPLE, face.albedo.shape[0], generator=generator)
    tiles = [
        draw(face, 230, yaw=(0, 25, -25)[i % 3], identity=weights[i], reflectance=skin[i], half=12, height=0)
        for i in tqdm(range(PEOPLE), "people")
    ]
    save(sheet(tiles, 6), "people2.jpg")


def draw_mouth(face: FaceModel) -> None:
    """Teeth, gums and tongue in a smile, in an open mouth and out."""
    smile = {f"{name}_{side}": 0.85 for name in ("mouthSmile", "mouthUpperUp", "mouthLowerDown") for side in "LR"}
    poses = (smile, {"jawOpen": 0.5}, {"jawOpen": 1.0}, {"tongueOut": 1.0}, {"tongueOut": 1.0, "jawOpen": 0.5})
    tiles = [draw(face, 300, expression=face.expression_weights(pose)[0], half=4.5, height=-3.8) for pose in poses]
    tiles += [draw(face, 300, yaw=50, expression=face.expression_weights(poses[4])[0], half=14, height=-1)]
    save(sheet(tiles, 6), "mouth.jpg")


SHEETS = {
    "mean": draw_mean,
    "people": draw_people,
    "expressions": draw_expressions,
    "combinations": draw_combinations,
    "topology": draw_topology,
}
SHEETS_2 = {"modes": draw_modes, "ages": draw_ages, "people2": draw_people_2, "mouth": draw_mouth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheets", nargs="*", choices=[*SHEETS, *SHEETS_2, []], help="which to draw; all when none is named")
    sheets = parser.parse_args().sheets or (SHEETS | SHEETS_2)
    for edition, drawn in ((None, SHEETS), ("head-2", SHEETS_2)):
        for name in [name for name in sheets if name in drawn]:
            drawn[name](load_face_model(edition))


if __name__ == "__main__":
    main()
