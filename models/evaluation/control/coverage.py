"""Which rig parameters the generator covers (the paper's Fig. 6), as the reconstruction reads its samples."""

from __future__ import annotations

import numpy as np
import torch

from models.evaluation.control.axes import azimuth
from models.evaluation.control.subjects import renderer_of
from models.face.harmonics import luminance
from models.generators import latents_from_seed
from models.rigging.rig import Rig

SAMPLES = 2000
FIRST_SEED = 500_000
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
TRUNCATIONS = (0.7, 1.0)


def covered(rig: Rig, truncation: float, samples: int = SAMPLES) -> dict[str, np.ndarray]:
    """Parameter -> its value in each sample: yaw, pitch, light, and every expression."""
    z = latents_from_seed(FIRST_SEED, samples, rig.generator.z_dim).to(rig.device)
    codes = (rig.generator.mapping(part, truncation_psi=truncation) for part in z.split(256))
    parts = [renderer_of(rig).reconstruction(w, rig.face).to("cpu") for w in codes]
    rotation = torch.cat([part.rotation for part in parts]).rad2deg().numpy()
    brightness = luminance(torch.cat([part.light for part in parts])).numpy().T
    expression = torch.cat([part.expression for part in parts]).numpy()
    values = {"yaw": rotation[:, 0], "pitch": rotation[:, 1], "light_level": brightness[0], "light_azimuth": azimuth(brightness)}
    return values | dict(zip(rig.face.expression_names, expression.T, strict=True))


def measure_coverage(rig: Rig) -> tuple[dict, dict[float, dict[str, np.ndarray]]]:
    """Percentiles of every parameter by truncation, for JSON, and the values themselves for plots."""
    values = {truncation: covered(rig, truncation) for truncation in TRUNCATIONS}
    figures = {
        str(truncation): {name: [round(float(v), 3) for v in np.percentile(column, PERCENTILES)] for name, column in found.items()}
        for truncation, found in values.items()
    }
    return {"percentiles": list(PERCENTILES), "truncation": figures}, values
