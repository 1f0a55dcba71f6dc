"""Face model, light, camera and rasteriser: the rig's own geometry."""

from __future__ import annotations

from pathlib import Path

from models.errors import StyleRigError
from models.face.model import FaceModel

__all__ = ["FaceModel", "load_face_model"]


def load_face_model(path: str | Path | None = None) -> FaceModel:
    """The face model at ``path``; None is ours (see ``head.py``)."""
    if path is None or str(path) in ("", "none", "studio"):
        from models.face.head import our_head

        return our_head()
    raise StyleRigError(
        f"{path} is not a face model that this version can read.",
        "Leave the face model out to use the head that ships.",
        code="unknown_face_model",
    )
