"""What the numbers of a scene mean: the quantities that they decide, as these enter a picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.colour import linear_to_srgb
from models.face import FaceModel
from models.studio import hair, skin, wardrobe
from models.studio.scene import PITCH, YAW, Scene, layout, scene_from_latent

# How large each kind of meaning enters a mapping: after how much of the pictures a linear function of it explains
# (one unit of yaw changes a picture twenty times as much as one of the average meaning), but expressions, which
# change few pixels and are looked at most.
WEIGHT = {"identity": 0.8, "reflectance": 0.8, "expression": 1.0, "light": 1.5, "rotation": 3.0, "turned": 2.0,
          "looks": 1.5, "pose_numbers": 1.0, "light_numbers": 0.6, "look_numbers": 0.6}  # fmt: skip
KNOTS, KNOT_WIDTH = torch.linspace(-2.0, 2.0, 7), 2 / 3  # of yaw and pitch, in spreads


def scene_meaning(latents: Tensor, face: FaceModel) -> dict[str, Tensor]:
    """What scene vectors (N, S) mean, by the names of ``WEIGHT``, each (N, …) in float32.

    The rig's exact parameters, how far the head is turned as a row of bumps, the visible looks, and the
    numbers of pose, light and looks themselves, for what else these decide.
    """
    scene, places = scene_from_latent(latents, face), layout(face)
    parameters = scene.parameters
    rotation = parameters.rotation[:, :2]
    turned = ((rotation / torch.tensor((YAW, PITCH)))[:, :, None] - KNOTS) / KNOT_WIDTH
    return {
        "identity": parameters.identity,
        "reflectance": parameters.reflectance,
        "expression": parameters.expression,
        "light": parameters.light.flatten(1),
        "rotation": rotation,
        "turned": torch.exp(-0.5 * turned.square()).flatten(1),
        "looks": visible_looks(scene),
        "pose_numbers": latents[:, places["pose"]],
        "light_numbers": latents[:, places["light"]],
        "look_numbers": latents[:, places["looks"]],
    }


def visible_looks(scene: Scene) -> Tensor:
    """What N scenes show beyond the rig's parameters (N, V).

    Haircuts (shares of the styles, then their measures), the amounts of grey, beard, moustache, make-up
    and glasses, and the colours of hair, skin, shirt and frames as sRGB.
    """
    looks = {name: values.double().numpy() for name, values in scene.looks.items()}
    reflectance = scene.parameters.reflectance.double().numpy()
    glasses = wardrobe.wears_glasses(looks).astype(float)
    amounts = (hair.greyness(looks), *hair.beard_amounts(looks), hair.make_up(looks), glasses)
    colours = (
        hair.hair_colour(looks), skin.skin_tone(reflectance), wardrobe.shirt_colour(looks),
        glasses[:, None] * wardrobe.frame_colour(looks),
    )  # fmt: skip
    columns = np.stack((*hair.style_shares(looks), *hair.blended_style(looks).values(), *amounts), axis=1)
    shown = linear_to_srgb(torch.from_numpy(np.concatenate(colours, axis=1)))
    return torch.cat((torch.from_numpy(columns), shown), dim=1).float()
