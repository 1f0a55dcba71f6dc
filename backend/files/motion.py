"""How a picture moves, by the passes Vector or UV of EXRs: Blender's, and the backend's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backend.files.pictures import bad_picture, read_exr, read_picture
from models.errors import StyleRigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

LAYERS = {"Vector": ("X", "Y"), "UV": ("U", "V")}


@dataclass(frozen=True)
class Motion:
    """``vectors`` (H, W, 2) as Blender has them, or ``uv`` (H, W, 2); row 0 is the top."""

    vectors: np.ndarray | None
    uv: np.ndarray | None

    def flow_from(self, before: Motion) -> np.ndarray | None:
        """The flow (see ``models.translation.steady``) from this frame to the one before; None where they do not fit."""
        from models.translation.steady import flow_from_uv, flow_from_vectors

        if self.vectors is not None:
            return flow_from_vectors(self.vectors)
        same = self.uv is not None and before.uv is not None and self.uv.shape == before.uv.shape
        return flow_from_uv(self.uv, before.uv) if same and self.uv is not None and before.uv is not None else None


def read_motion(path: Path) -> Motion:
    """The passes of an EXR. Raises StyleRigError where it has neither."""
    if path.suffix.lower() != ".exr" or not path.is_file():
        raise no_motion(path)
    try:
        parts = read_exr(path).parts
    except StyleRigError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise bad_picture(path, "it is no whole EXR", "Render it again.") from error
    vectors, uv = (layer_of(parts, name) for name in LAYERS)
    if vectors is None and uv is None:
        raise no_motion(path)
    return Motion(vectors, uv)


def layer_of(parts: Iterable[Any], layer: str) -> np.ndarray | None:
    """Two channels of a layer (H, W, 2), whatever view layer it is of; None where it is not there."""
    for part in parts:
        for name in part.channels:
            group = name.removesuffix(LAYERS[layer][0])
            if group != name and group.endswith(f"{layer}.") and group + LAYERS[layer][1] in part.channels:
                return np.stack([part.channels[group + letter].pixels for letter in LAYERS[layer]], axis=2).astype(np.float32)
    return None


def no_motion(path: Path) -> StyleRigError:
    return StyleRigError(
        f"{path} does not say how the picture moves: it has no pass Vector or UV.",
        "Render EXRs with one of them, or give their folder with --motion: files of the same names.",
        code="no_motion",
    )


@dataclass
class SteadySequence:
    """A sequence that is made steady by ``amount``, 0 to 1. ``folder`` has EXRs of the pictures' names; None: the pictures are EXRs.

    What was made is read back from its file, so that a sequence that goes on is the same as one that was never stopped.
    """

    amount: float
    folder: Path | None = None
    before: tuple[Path, Path] | None = None  # the picture before, and what was made of it
    request: str = ""  # digest of all that that one was made from

    def motion_of(self, picture: Path) -> Motion:
        return read_motion(self.folder / f"{picture.stem}.exr" if self.folder else picture)

    def blended(self, source: Path, shown: np.ndarray, looked: np.ndarray) -> np.ndarray:
        """What the look made of a picture (H, W, 3), with its share of the frame before. Raises StyleRigError."""
        from models.translation.steady import Steadier

        if self.before is None:
            return looked
        flow = self.motion_of(source).flow_from(self.motion_of(self.before[0]))
        if flow is not None and flow.shape[:2] != shown.shape[:2]:
            raise StyleRigError(
                f"The motion of {source} has {flow.shape[1]} x {flow.shape[0]} pixels, the picture {shown.shape[1]} x {shown.shape[0]}.",
                "Render both in one size.",
                code="no_motion",
            )
        steadier = Steadier(self.amount)
        steadier.keep(*(read_picture(path).shown for path in self.before))
        return steadier.frame(shown, looked, flow)

    def passed(self, source: Path, target: Path, request: str) -> None:
        """A frame is there."""
        self.before, self.request = (source, target), request
