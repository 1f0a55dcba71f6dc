"""Draws docs/images/light/hdri.jpg: one face under the HDRIs that ship with Blender, as spherical harmonics.

    .venv/bin/python -m docs.pictures.light [--world FOLDER]

Each tile has the HDRI at the bottom and a grey ball under the same nine coefficients beside the face.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import OpenEXR
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from models.colour import linear_to_srgb
from models.face import FaceModel, harmonics, load_face_model
from models.face.alignment import align
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.io.images import image_grid, save_image

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "docs" / "images" / "light" / "hdri.jpg"
TILE, STRIP, BALL, MARGIN = 300, 80, 76, 10  # pixels: the face, the HDRI's height, the ball, space round it
FINE = 2  # drawn so many times as large
COLUMNS = 4
GREY = 0.45  # the ball's albedo
BRIGHTNESS = 1.1  # irradiance / pi on a face seen from the front
NARROW = 2.0  # the backdrop is what lies behind: tan of half its angle is 1 / NARROW
PERSON = 5


def world_folder() -> Path:
    """Blender's HDRIs in the newest bpy environment of this checkout."""
    found = sorted(ROOT.glob(".venv-bpy-*/lib/python*/site-packages/bpy/*/datafiles/studiolights/world"))
    if not found:
        raise SystemExit("No Blender here: run python build.py setup, or name a folder with --world.")
    return found[-1]


def read_hdri(path: Path) -> Tensor:
    """Linear radiance (H, W, 3) of an equirectangular EXR."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = file.channels()
        return torch.from_numpy(np.stack([channels[name].pixels for name in "RGB"], axis=-1).astype(np.float32))


def project(image: Tensor) -> tuple[Tensor, float]:
    """The light (9, 3) of an HDRI, and what it was multiplied by so that faces under all are equally bright."""
    light = harmonics.project_environment(image)
    random = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(500, 3, generator=random), dim=1)
    normals = normals[normals[:, 2] > 0.3]
    received = harmonics.luminance(harmonics.irradiance(light[None], normals[None])).mean() / torch.pi
    exposure = float(BRIGHTNESS / received)
    return light * exposure, exposure


def person(face: FaceModel) -> RigParameters:
    """Somebody who looks a little aside and smiles a little, upright."""
    random = torch.Generator().manual_seed(PERSON)
    parameters = RigParameters.neutral(face)
    expression = parameters.expression.clone()
    for name, value in {"mouthSmile_L": 0.35, "mouthSmile_R": 0.3, "eyeLookIn_L": 0.2, "eyeLookOut_R": 0.2}.items():
        expression[0, face.expression_names.index(name)] = value
    return align(face, parameters.replace(
        identity=0.7 * torch.randn(parameters.identity.shape, generator=random),
        reflectance=0.5 * torch.randn(parameters.reflectance.shape, generator=random),
        expression=expression,
        rotation=torch.tensor([[0.3, 0.03, 0.0]]),
    ))  # fmt: skip


def ball_normals(size: int) -> tuple[Tensor, Tensor]:
    """Normals (H, W, 3) of a ball that fills the frame, and its mask (H, W, 1)."""
    side = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(-side, side, indexing="ij")
    z = (1 - x**2 - y**2).clamp(min=0).sqrt()
    return torch.stack((x, y, z), dim=-1), (z > 0).float().unsqueeze(-1)


def backdrop(light: Tensor, size: int) -> Tensor:
    """The light from behind the head (H, W, 3), as blurred as a surface there would receive it, darkened."""
    side = ((torch.arange(size) + 0.5) / size * 2 - 1) / NARROW
    y, x = torch.meshgrid(-side, side, indexing="ij")
    directions = torch.nn.functional.normalize(torch.stack((x, y, -torch.ones_like(x)), dim=-1), dim=-1)
    return 0.25 * harmonics.irradiance(light[None], directions[None])[0].clamp(min=0) / torch.pi


def shrink(image: Tensor) -> Image.Image:
    """Linear (H, W, 3), ``FINE`` times too large, as an sRGB picture."""
    small = torch.nn.functional.avg_pool2d(image.movedim(-1, 0)[None], FINE)[0].movedim(0, -1)
    return Image.fromarray((255 * linear_to_srgb(small)).round().byte().numpy())


def tile(face: FaceModel, parameters: RigParameters, path: Path) -> Image.Image:
    """The face, the ball and the HDRI of one light."""
    image = read_hdri(path)
    light, exposure = project(image)
    drawn = render(face, parameters.replace(light=light[None]), FINE * TILE)
    colour, mask = drawn["colour"][0], drawn["mask"][0]
    normals, inside = ball_normals(FINE * BALL)
    white = GREY * harmonics.irradiance(light[None], normals[None])[0].clamp(min=0) / torch.pi
    behind = backdrop(light, FINE * TILE)
    picture = colour * mask + behind * (1 - mask)
    place = slice(-FINE * (BALL + MARGIN), -FINE * MARGIN)
    picture[place, place] = white * inside + picture[place, place] * (1 - inside)
    whole = Image.new("RGB", (TILE, TILE + STRIP))
    whole.paste(shrink(picture), (0, 0))
    seen = Image.fromarray((255 * linear_to_srgb(exposure * image)).byte().numpy())
    height = seen.height * TILE // seen.width
    middle = (0, (height - STRIP) // 2, TILE, (height + STRIP) // 2)
    whole.paste(seen.resize((TILE, height), Image.Resampling.LANCZOS).crop(middle), (0, TILE))
    ImageDraw.Draw(whole).text((MARGIN, MARGIN), path.stem, fill="white", stroke_width=1, stroke_fill="black", font_size=16)
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", type=Path, help="a folder of equirectangular EXR files")
    folder = parser.parse_args().world or world_folder()
    face = load_face_model(None)
    tiles = [tile(face, person(face), path) for path in sorted(folder.glob("*.exr"))]
    save_image(OUTPUT, image_grid([np.asarray(one) for one in tiles], COLUMNS), quality=85)
    print(f"{OUTPUT}: {len(tiles)} lights, {OUTPUT.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main()
