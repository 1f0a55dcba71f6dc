"""Scores without pictures: what z of a generator that the studio taught means, exactly.

The first numbers of its z are a scene (``studio_v1``), so it is known how old somebody is and whether they smile
before anything is drawn. What the generator draws of it is another matter: it may have learnt an attribute badly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.editing.scores import Scores
from models.errors import StyleRigError
from models.generators import Generator
from models.generators.semantic_mapping.studio_v1 import EXPRESSIONS, LATENT_SIZE, LOOKS, STYLE_FIELDS, STYLES, layout, scene_features

# Columns of ``visible_looks`` up to its colours.
SHOWN = (*STYLES, *STYLE_FIELDS, "grey", "beard", "moustache", "make_up", "glasses")
VISIBLE = ("grey", "beard", "moustache", "make_up", "glasses", "curl", "recede")
NUMBERS = {"age": "age", "dark_hair": "hair_dark", "red_hair": "hair_red", "freckles": "freckles", "stubble": "stubble"}
LENGTHS = ("front", "top", "side", "back")
MIMIC = {"smile": "mouthSmile", "blink": "eyeBlink", "frown": "mouthFrown", "squint": "eyeSquint"}  # mean of both sides


def is_studio(generator: Generator) -> bool:
    """Whether z of this generator is a scene of the studio."""
    return generator.metadata.get("scene_latents") == LATENT_SIZE and generator.z_dim >= LATENT_SIZE


def check_studio(generator: Generator) -> None:
    """Raise StyleRigError unless z of this generator is a scene of the studio."""
    if not is_studio(generator):
        raise StyleRigError(
            "What this generator's z means is not known: the studio did not teach it.",
            "Give a CSV file with scores of its pictures.",
            code="no_scene",
        )


@torch.no_grad()
def studio_scores(z: Tensor) -> Scores:
    """The scores of scenes z (N, ≥ LATENT_SIZE), by attribute.

    Amounts of beard, moustache, make-up and grey are 0–1, glasses 0 or 1, expressions 0–1, yaw and pitch radians, hair's
    length cm and its curl and receding as in ``STYLES``; age, skin (light is positive), dark and red hair, freckles and
    stubble are standard deviations.
    """
    features = scene_features(z)
    looks, expression = features["looks"], features["expression"]
    numbers = z[:, layout()["looks"]]
    columns = {name: numbers[:, LOOKS.index(source)] for name, source in NUMBERS.items()}
    columns |= {name: looks[:, SHOWN.index(name)] for name in VISIBLE}
    columns["hair_length"] = looks[:, [SHOWN.index(name) for name in LENGTHS]].mean(dim=1)
    columns["light_skin"] = features["reflectance"][:, 0]
    for name, stem in MIMIC.items():
        columns[name] = expression[:, [EXPRESSIONS.index(f"{stem}_{side}") for side in "LR"]].mean(dim=1)
    columns["open_mouth"] = expression[:, EXPRESSIONS.index("jawOpen")]
    columns["yaw"], columns["pitch"] = features["rotation"].unbind(1)
    return Scores(tuple(columns), torch.stack(tuple(columns.values()), dim=1).float())
