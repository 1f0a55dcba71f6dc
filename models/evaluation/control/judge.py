"""The network that judges: who may, and how far it can be trusted."""

from __future__ import annotations

from pathlib import Path

from models.errors import StyleRigError
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.perception.face_regressor import Estimator
from models.rigging.folders import WEIGHTS
from models.rigging.rig import Rig

READABLE = 0.3  # R² from which the judge can tell an expression at all
VARIES = 0.005  # R² from which the training pictures vary it


def load_judge(rig_folder: Path | None, path: Path | None, rig: Rig) -> Estimator:
    """The judge in ``path``, else the one beside the rig's weights, on the rig's device.

    Raises StyleRigError for a network that learned from the rig's half of the pictures.
    """
    path = path or (rig_folder or WEIGHTS) / f"{rig.name}-judge.safetensors"
    judge = Estimator.load(path).to(rig.device)
    if judge.header.get("half") != "evaluation":
        raise StyleRigError(
            f"{path} learned from the pictures that the rig was trained with and cannot judge it.",
            "Use the judge, the network of a rig training that takes no part in it.",
            code="bad_judge",
        )
    return judge


def reading_r2(judge: Estimator, face: FaceModel) -> dict[str, float]:
    """How well the judge itself reads rendered pictures with known truth, by axis."""
    places, values = RigParameters.slices(face), judge.reliability
    result = dict(zip(("yaw", "pitch"), values[places["rotation"]][:2].tolist(), strict=True))
    result |= dict(zip(face.expression_names, values[places["expression"]].tolist(), strict=True))
    light = values[places["light"]].view(9, 3).mean(dim=1)
    result |= {f"light_band_{band}": float(light[band * band : (band + 1) ** 2].mean()) for band in range(3)}
    return {name: round(value, 4) for name, value in result.items()}


def expressions(judge: Estimator, face: FaceModel, least: float) -> list[str]:
    """The expressions that the judge reads with an R² of ``least`` or more."""
    trust = judge.reliability[RigParameters.slices(face)["expression"]].tolist()
    return [name for name, value in zip(face.expression_names, trust, strict=True) if value >= least]
