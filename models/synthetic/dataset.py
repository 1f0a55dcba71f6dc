"""A set of pictures on disk: its index, where each picture lies, and the truth beside it.

``00012/012345.png`` (folder = number // 1000) is premultiplied sRGB with its matte; ``012345.npz`` beside it is the
truth. The picture is written last: one that is there is whole. Picture ``number`` is shot ``number % 4`` of person
``number // 4``.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from models.errors import StyleRigError
from models.face import FaceModel
from models.face.alignment import align, ffhq_crop, project_landmarks
from models.face.camera import rotation_matrix
from models.face.harmonics import rotate
from models.face.parameters import RigParameters
from models.io.atomic_write import write_atomic
from models.io.images import encode_image, image_grid, save_image
from models.synthetic.classes import CLASSES, labels
from models.synthetic.person import NUMBERS, latent_size, layout
from models.synthetic.shot import SHOTS, Shot
from models.synthetic.tonemap import develop
from models.synthetic.traits import Person

HEAD = "head-2"  # the face model that stands before the camera
FORMAT = 3
IN_FOLDER = 1000  # pictures in one sub-folder
LARGE_EVERY = 4  # every fourth person is photographed at the larger size
ATTRIBUTES = ("age", "masculine")  # numbers whose sign parts people in two: what linear separability is measured on
SAME = ("format", "size", "large_size", "seed", "head", "latents", "layout")  # what all pictures of a set share


def picture_path(output: Path, number: int) -> Path:
    """Where picture ``number`` lies; its truth has the same name and the ending .npz."""
    return output / f"{number // IN_FOLDER:05d}" / f"{number:06d}.png"


def size_of(person: int, size: int, large_size: int) -> int:
    """The side in pixels of the pictures of person ``person``."""
    return large_size if person % LARGE_EVERY == LARGE_EVERY - 1 else size


def write_index(output: Path, size: int, large_size: int, seed: int, people: int, face: FaceModel) -> None:
    """What a reader needs to know; refuses a folder that was begun with other settings."""
    places = lambda slices: {name: [place.start, place.stop] for name, place in slices.items()}
    index = {
        "format": FORMAT,
        "size": size,
        "large_size": large_size,
        "large_every": LARGE_EVERY,
        "seed": seed,
        "count": people * SHOTS,
        "shots": SHOTS,
        "latents": latent_size(face),
        "layout": places(layout(face)),
        "looks": list(NUMBERS),
        "attributes": {name: [layout(face)["looks"].start + NUMBERS.index(name), 0.0] for name in ATTRIBUTES},
        "parameters": places(RigParameters.slices(face)),
        "head": face.name,
        "identity_names": face.identity_names,
        "expression_names": face.expression_names,
        "classes": list(CLASSES),
    }
    path = output / "index.json"
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key in SAME if old.get(key) != index[key]]
        if different:
            raise StyleRigError(
                f"{output} holds pictures of another set: {', '.join(different)} differ.",
                "Give the settings that the set was begun with, or another --output.",
                code="other_set",
            )
        index["count"] = max(index["count"], old["count"])
    write_atomic(path, json.dumps(index, indent=1).encode())


def write_picture(path: Path, frame: dict[str, np.ndarray], latent: torch.Tensor, person: Person, shot: Shot, face: FaceModel) -> None:
    """The picture after its truth: the picture's file marks it complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = develop(frame["colour"], frame["matte"])
    write_atomic(path.with_suffix(".npz"), truth_bytes(latent, person, shot, face, labels(frame["classes"], picture[..., 3])))
    write_atomic(path, png_bytes(picture))


def truth_bytes(latent: torch.Tensor, person: Person, shot: Shot, face: FaceModel, classes: np.ndarray) -> bytes:
    """The truth of one picture as an .npz."""
    parameters, camera = shot.parameters(person, face), shot.camera(person, face)
    landmarks = project_landmarks(face, parameters, camera)[..., :2]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        latent=latent.numpy(),
        parameters=parameters.vector()[0].numpy(),
        camera=np.array([camera.distance, camera.half_width], np.float32),
        landmarks=landmarks[0].numpy(),
        crop=torch.cat(ffhq_crop(landmarks), dim=1)[0].numpy(),
        aligned=aligned(parameters, face).vector()[0].numpy(),
        body=shot.body.astype(np.float32),
        person=np.array([person.age, person.masculine], np.float32),
        light=np.array(shot.light.kind),
        classes=classes,
    )
    return buffer.getvalue()


def aligned(parameters: RigParameters, face: FaceModel) -> RigParameters:
    """The parameters as they are in the FFHQ crop, whose frame rolls with the face; perspective that of the portrait camera."""
    upright = align(face, parameters)
    roll = torch.zeros(1, 3)
    roll[:, 2] = upright.rotation[:, 2] - parameters.rotation[:, 2]
    return upright.replace(light=rotate(parameters.light, rotation_matrix(roll)))


def png_bytes(picture: np.ndarray) -> bytes:
    """RGBA (H, W, 4) uint8 as PNG; the colour stays premultiplied, which PNG itself cannot say."""
    return encode_image(picture, compress_level=4)


def contact_sheet(output: Path, people: int) -> None:
    """The first people as sheet.jpg."""
    save_image(output / "sheet.jpg", sheet_of(output, people))


def sheet_of(output: Path, people: int, columns: int = 3, side: int = 160, backdrop: float = 92) -> np.ndarray:
    """The first people of a set over grey (H, W, 3) uint8, a person's pictures side by side, ``columns`` people a row."""
    missing = np.full((side, side, 3), backdrop, np.uint8)
    paths = [picture_path(output, number) for number in range(people * SHOTS)]
    tiles = [over(np.asarray(Image.open(path)), side, backdrop) if path.exists() else missing for path in paths]
    return image_grid(tiles, columns * SHOTS, background=(int(backdrop),) * 3)


def over(picture: np.ndarray, side: int, backdrop: float) -> np.ndarray:
    """A premultiplied picture (H, W, 4) uint8 shrunk to ``side`` over a colour of 0–255, (side, side, 3) uint8."""
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    return (small[..., :3] + (1 - small[..., 3:] / 255) * backdrop).clip(0, 255).astype(np.uint8)
