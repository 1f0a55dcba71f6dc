"""What the eye sees of a person's looks: the quantities that the numbers of a scene decide."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.colour import linear_to_srgb
from models.studio import hair, skin, wardrobe
from models.studio.scene import Scene


def visible_looks(scene: Scene) -> Tensor:
    """What N scenes show beyond the rig's parameters (N, V), as it enters a picture.

    Haircuts (shares of the styles, then their measures), colours of hair, skin, shirt and frames as sRGB,
    and the amounts of grey, beard, make-up and glasses.
    """
    looks = {name: values.double().numpy() for name, values in scene.looks.items()}
    reflectance = scene.parameters.reflectance.double().numpy()
    glasses = wardrobe.wears_glasses(looks).astype(float)[:, None]
    grey = hair.greyness(looks)[:, None]
    cheek, lip = hair.beard_amounts(looks)
    amounts = np.stack((cheek, lip, hair.make_up(looks)), axis=1)
    parts = (
        hair.style_shares(looks).T, np.stack(list(hair.blended_style(looks).values()), axis=1), grey, amounts, glasses,
        display(hair.hair_colour(looks)), display(skin.skin_tone(reflectance)), display(wardrobe.shirt_colour(looks)),
        glasses * display(wardrobe.frame_colour(looks)),
    )  # fmt: skip
    return torch.from_numpy(np.concatenate(parts, axis=1)).float()


def display(linear: np.ndarray) -> np.ndarray:
    """Linear colours as sRGB."""
    return linear_to_srgb(torch.from_numpy(linear)).numpy()
