"""The surroundings that light people: eight small panoramas and their harmonics.

``environments.npz`` holds Blender's own HDRIs (by Greg Zaal, Poly Haven, CC0), averaged down to
64 x 128 and scaled to a mean luminance of one. Made by

    python -m models.synthetic.environments BLENDER/datafiles/studiolights/world
"""

from __future__ import annotations

import io
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.face.harmonics import LUMINANCE, project_environment
from models.io.atomic_write import write_atomic

NAMES = ("city", "courtyard", "forest", "interior", "night", "studio", "sunrise", "sunset")
FILE = Path(__file__).with_name("environments.npz")
HEIGHT, WIDTH = 64, 128


@lru_cache(maxsize=1)
def panoramas() -> np.ndarray:
    """(8, 64, 128, 3) float32 linear radiance; row 0 is up, the middle column looks along +x of the models."""
    with np.load(FILE, allow_pickle=False) as archive:
        return archive["panoramas"].astype(np.float32)


@lru_cache(maxsize=1)
def environment_harmonics() -> Tensor:
    """(8, 9, 3) coefficients of the panoramas."""
    return torch.stack([project_environment(torch.from_numpy(image)) for image in panoramas()])


def mixed_panorama(weights: np.ndarray, turn: float) -> np.ndarray:
    """One panorama (64, 128, 3): the sum by ``weights`` (8, 3), turned by ``turn`` radians about y.

    A turn by +90° brings what stood at +z to +x; a column further right lies further from +x to +z.
    """
    image = np.einsum("ehwc,ec->hwc", panoramas(), weights)
    columns = -turn / (2 * np.pi) * WIDTH
    whole = int(np.floor(columns))
    share = columns - whole
    return (1 - share) * np.roll(image, whole, axis=1) + share * np.roll(image, whole + 1, axis=1)


def shrink(folder: Path) -> None:
    """Read the HDRIs of a Blender installation and write ``environments.npz``."""
    import OpenEXR

    images = []
    for name in NAMES:
        with OpenEXR.File(str(folder / f"{name}.exr")) as file:
            image = next(iter(file.channels().values())).pixels[..., :3].astype(np.float64)
        height, width = image.shape[:2]
        image = image.reshape(HEIGHT, height // HEIGHT, WIDTH, width // WIDTH, 3).mean(axis=(1, 3))
        polar = np.sin((np.arange(HEIGHT) + 0.5) * np.pi / HEIGHT)[:, None]
        image /= np.average(image @ np.array(LUMINANCE), weights=np.broadcast_to(polar, image.shape[:2]))
        images.append(np.minimum(image, 3000.0))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, panoramas=np.stack(images).astype(np.float16))
    write_atomic(FILE, buffer.getvalue())


if __name__ == "__main__":
    shrink(Path(sys.argv[1]))
