"""What the numbers of a scene mean: the quantities that they decide, as these enter a picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.colour import linear_to_srgb
from models.face import FaceModel
from models.studio import hair, skin, wardrobe
from models.studio.scene import Scene, layout, scene_from_latent


def scene_meaning(latents: Tensor, face: FaceModel) -> Tensor:
    """Meanings (N, M) of scene vectors (N, S) in float32: the rig's exact parameters, the visible looks,
    and the numbers of pose, light and looks themselves, for what else these decide.
    """
    scene, places = scene_from_latent(latents, face), layout(face)
    parameters = scene.parameters
    rig = (parameters.identity, parameters.reflectance, parameters.expression, parameters.light.flatten(1), parameters.rotation[:, :2])
    beyond = [latents[:, places[name]] for name in ("pose", "light", "looks")]
    return torch.cat((*rig, visible_looks(scene), *beyond), dim=1)


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
