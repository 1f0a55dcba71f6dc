"""A look as the command puts it on pictures, in one process or on a farm."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backend import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from backend.files.motion import SteadySequence
    from models.translation import Look

LOOK_TEXT = "StyleRigLook"  # JSON of what was put on a picture


@dataclass
class Worn:
    """A look as it is put on pictures.

    ``name`` and ``sha256`` are of its file; ``label`` is what the person wrote, ``seed`` or ``reference`` say the style.
    """

    look: Look
    name: str
    sha256: str
    strength: float
    label: str | None = None
    seed: int | None = None
    reference: Path | None = None
    sequence: SteadySequence | None = None  # where frames are blended with the one before

    @cached_property
    def description(self) -> dict[str, Any]:
        """What makes the look what it is, as JSON."""
        from models.translation.files import digest

        steady = self.sequence and self.sequence.amount
        more = {
            "steady": steady,
            "seed": self.seed,
            "reference": self.reference and digest(self.reference),
            "as_tested": self.look.as_tested or None,
        }
        return {"look": self.name, "kind": self.look.kind, "sha256": self.sha256, "strength": self.strength,
                "label": self.label, **{name: value for name, value in more.items() if value is not None}}  # fmt: skip

    @cached_property
    def parsed_label(self) -> Any:
        from models.translation.request import label_of

        return label_of(self.look, self.label)

    @cached_property
    def style(self) -> Tensor | None:
        """Raises StyleRigError where the look has no styles, or the domain is missing or unknown."""
        from models.translation.request import as_tensor, style_of_seed, styled

        if self.reference is not None:
            return styled(self.look).style_of(as_tensor(reference_picture(self.reference)), self.parsed_label)
        return None if self.seed is None else style_of_seed(self.look, self.seed, self.parsed_label)

    def try_on(self) -> None:
        """See that label and style fit the look before any work is done. Raises StyleRigError."""
        self.answer(np.full((1, 1, 3), 0.5, np.float32))

    def answer(self, shown: np.ndarray) -> np.ndarray:
        """The look on display colours (H, W, 3), 0 to 1, in its strength."""
        from models.translation.request import put_on

        return put_on(self.look, shown, self.strength, self.parsed_label, self.style)

    def request(self, source: Path) -> str:
        """A digest of all that the picture is made from."""
        from models.translation.files import digest

        return request_digest(self.description, digest(source), self.sequence.request if self.sequence else "")

    def is_there(self, source: Path, target: Path) -> bool:
        """Whether ``target`` says that it was made from the same."""
        from backend.files.images import request_of

        return request_of(target) == self.request(source)

    def put_on(self, source: Path, target: Path, resume: bool) -> bool:
        """Make one picture; True where it was there already."""
        from backend.files.pictures import read_picture
        from backend.protocol import image_texts

        request = self.request(source)
        if resume and self.is_there(source, target):
            self.passed(source, target, request)
            return True
        picture = read_picture(source)
        texts = {
            image_texts.SOFTWARE: f"StyleRig {__version__}",
            LOOK_TEXT: image_texts.compact(self.description),
            image_texts.REQUEST: request,
        }
        looked = self.answer(picture.shown)
        if self.sequence:
            looked = self.sequence.blended(source, picture.shown, looked)
        picture.write(target, looked, texts)
        self.passed(source, target, request)
        return False

    def passed(self, source: Path, target: Path, request: str) -> None:
        if self.sequence:
            self.sequence.passed(source, target, request)


def request_digest(look: dict[str, Any], picture: str, before: str) -> str:
    """Of all that a picture is made from: of a steady one, the frame ``before`` too."""
    parts = [__version__, look, picture, *([before] if before else [])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def reference_picture(path: Path) -> np.ndarray:
    """Its display colours. Raises StyleRigError for one that shows nothing at all."""
    from backend.files.pictures import check_shows_something, read_picture

    shown = read_picture(path).shown
    check_shows_something(path, shown)
    return shown
