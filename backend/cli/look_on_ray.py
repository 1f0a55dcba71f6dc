"""look --ray: the pictures of a look, made by many processes or machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.worn_look import Worn

if TYPE_CHECKING:
    from backend.server.inference import RigLibrary


@dataclass
class LookJob:
    """A ``farm.jobs.Job`` whose pictures are made of pictures. Paths are absolute, and mean the same on every machine."""

    folder: Path
    targets: list[tuple[Path, Path]]  # picture, file to write
    file: Path
    as_tested: bool
    strength: float
    label: str | None
    seed: int | None
    reference: Path | None

    def __post_init__(self) -> None:
        self.numbers = list(range(1, len(self.targets) + 1))

    def rig(self, library: RigLibrary) -> Wearer:
        from models.translation import load_look

        look = load_look(self.file, as_tested=self.as_tested, device=library.device)
        worn = Worn(look, self.file, self.strength, self.label, self.seed, self.reference)
        worn.try_on()
        return Wearer(worn)

    def opened(self, rig: Wearer) -> Callable[[int], LookPicture]:
        return lambda number: LookPicture(*self.targets[number - 1], rig.worn)


@dataclass
class Wearer:
    """What stands in the place of a rig."""

    worn: Worn

    @property
    def name(self) -> str:
        return f"{self.worn.description['look']} ({self.worn.look.kind})"

    @property
    def weights_hash(self) -> str:
        return self.worn.description["sha256"]


@dataclass(frozen=True)
class LookPicture:
    """See ``farm.pictures.Picture``."""

    source: Path
    path: Path
    worn: Worn

    def is_there(self) -> bool:
        from backend.files.images import decodes

        return self.worn.is_there(self.source, self.path) and decodes(self.path)

    def draw(self, _rig: Wearer) -> None:
        self.worn.put_on(self.source, self.path, resume=False)
