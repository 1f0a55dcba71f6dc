"""Face model, light, camera and rasteriser: the rig's own geometry."""

from __future__ import annotations

from pathlib import Path

from models.face.model import FaceModel
from models.face.own_head.storage import load_head

__all__ = ["FaceModel", "load_face_model"]


def load_face_model(path: str | Path | None = None) -> FaceModel:
    """The face model at ``path``; None or "studio" is ours, which the shipped weights know, "head-2" its second edition.

    Others are an ICT-FaceKit folder, BFM 2009, 2017 and 2019, FLAME and GNM (see ``importers``); their
    ``licence`` and ``notes`` are for the person who chose them. Raises StyleRigError naming file and entry.
    """
    if path is None or str(path) in ("", "none", "studio"):
        return load_head(1)
    if str(path) == "head-2":
        return load_head(2)
    from models.face.importers import import_face_model

    return import_face_model(Path(path))
