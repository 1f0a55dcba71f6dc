"""What a rig makes of a person on a photograph, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.editing.inversion.photo import Photo
from models.face.camera import rotation_matrix
from models.face.harmonics import rotate
from models.io.images import image_grid
from models.rigging.controls import Controls, Portrait
from models.rigging.rig import Rig

TURN, RELIT = math.radians(25), math.radians(70)
SMILE, BLINK = ("mouthSmile_L", "mouthSmile_R"), ("eyeBlink_L", "eyeBlink_R")


def poses(rig: Rig, portrait: Portrait) -> dict[str, Controls]:
    """What is shown, by name: the portrait itself first."""
    yaw, pitch, roll = portrait.parameters.rotation[0].tolist()
    around = torch.tensor([[RELIT, 0.0, 0.0]])
    light = rotate(portrait.parameters.light, rotation_matrix(around))[0].numpy()
    known = lambda names: {name: 1.0 for name in names if name in rig.face.expression_names}
    return {
        "portrait": Controls(),
        "yaw +25": Controls(rotation=(yaw + TURN, pitch, roll)),
        "yaw -25": Controls(rotation=(yaw - TURN, pitch, roll)),
        "smile": Controls(expression=known(SMILE)),
        "blink": Controls(expression=known(BLINK)),
        "speaks": Controls(expression=known(("jawOpen",))),
        "other light": Controls(light=light),
    }


def drawn(rig: Rig, portrait: Portrait, controls: Controls) -> Tensor:
    """The picture (3, R, R) sRGB over the backdrop."""
    return torch.from_numpy(np.array(rig.frame(portrait, controls, passes=("Portrait",))["Portrait"])).movedim(-1, 0)


def square(photo: Photo, size: int) -> Tensor:
    """The whole photograph, with bars, as (3, size, size)."""
    longer = max(photo.pixels.shape[1:])
    height, width = (max(round(size * side / longer), 1) for side in photo.pixels.shape[1:])
    small = torch.nn.functional.interpolate(photo.pixels[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    canvas = torch.zeros(3, size, size)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[:, top : top + height, left : left + width] = small
    return canvas


def draw_sheet(rig: Rig, portrait: Portrait, photos: Sequence[Photo]) -> np.ndarray:
    """(H, W, 3) uint8: the first photograph, then the portrait in several poses."""
    shown = {name: drawn(rig, portrait, controls) for name, controls in poses(rig, portrait).items()}
    size = rig.generator.resolution
    return image_grid([square(photos[0], size), *shown.values()], len(shown) + 1, gap=2, labels=["photo", *shown])
