"""look --ray: the pictures of a look, made by many processes or machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.worn_look import Worn
from backend.farm.jobs import Job
from backend.farm.weights import digest_of

if TYPE_CHECKING:
    from backend.server.inference import RigLibrary


@dataclass
class LookJob(Job):
    """Pictures that are made of pictures. Paths are absolute; but for ``file`` they mean the same on every machine."""

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
        self.sha256 = digest_of(self.file) or ""

    def looks(self) -> dict[str, Path]:
        return {self.sha256: self.file}

    def rig(self, library: RigLibrary) -> Wearer:
        from models.translation import load_look
        from models.translation.library import library as looks

        here = (digest_of(self.file) or "") == self.sha256
        file = self.file if here else looks().path_of(self.file.stem, self.sha256)
        look = load_look(file, as_tested=self.as_tested, device=library.device)
        worn = Worn(look, self.file.name, self.sha256, self.strength, self.label, self.seed, self.reference)
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
        return f"{self.worn.name} ({self.worn.look.kind})"

    @property
    def weights_hash(self) -> str:
        return self.worn.sha256


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
