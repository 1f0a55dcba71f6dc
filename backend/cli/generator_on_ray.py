"""evaluate generator --ray: what is measured of drawn pictures, by many processes or machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from backend.farm.jobs import Job

if TYPE_CHECKING:
    from torch import Tensor

    from backend.server.inference import RigLibrary
    from models.evaluation.generator.drawn import Amounts, Drawn
    from models.evaluation.generator.inception import Inception
    from models.generators import Generator
    from models.perception.features import StudioFeatures


@dataclass
class GeneratorJob(Job):
    """The parts of a ``Drawn``, one after the other, as KIND-NNNN.safetensors. Paths are absolute, and mean the same everywhere."""

    folder: Path
    parts: list[tuple[str, int]]
    amounts: Amounts
    generator: Path
    features: Path
    inception: Path | None

    def __post_init__(self) -> None:
        self.numbers = list(range(1, len(self.parts) + 1))

    def rig(self, library: RigLibrary) -> Measurer:
        from models.evaluation.generator.drawn import Drawn
        from models.rigging.rig import hash_files

        files = [self.generator, self.features, *filter(None, [self.inception])]
        networks = load_networks(self.generator, self.features, self.inception, library.device)
        return Measurer(self.generator.name, hash_files(files), Drawn(*networks, self.amounts))

    def opened(self, rig: Measurer) -> Callable[[int], Part]:
        return lambda number: Part(self.path(*self.parts[number - 1]), rig, *self.parts[number - 1])

    def path(self, kind: str, number: int) -> Path:
        return self.folder / f"{kind}-{number:04}.safetensors"

    def measured(self, kind: str, number: int) -> dict[str, Tensor]:
        """A part that is there."""
        from safetensors.torch import load_file

        return load_file(self.path(kind, number))


def load_networks(
    generator: Path, features: Path, inception: Path | None, device: str
) -> tuple[Generator, StudioFeatures, Inception | None]:
    """The generator on ``device``, and on the processor what sees its pictures. Raises StyleRigError for files that cannot be used."""
    import torch

    from models.evaluation.generator.inception import load_inception
    from models.generators import load_generator
    from models.perception.features import load_features

    torch.backends.cudnn.allow_tf32 = False  # its rounding would drown the steps that path length takes
    known = load_inception(inception) if inception else None
    return load_generator(generator, device=device), load_features(features), known


@dataclass(frozen=True, eq=False)
class Measurer:
    """What stands in the place of a rig."""

    name: str
    weights_hash: str
    drawn: Drawn


@dataclass(frozen=True, eq=False)
class Part:
    """See ``farm.pictures.Picture``."""

    path: Path
    rig: Measurer
    kind: str
    number: int

    @cached_property
    def request(self) -> str:
        """A digest of all that the part is made of."""
        from backend.files import recipe

        return recipe.digest({"part": [self.rig.weights_hash, repr(self.rig.drawn.amounts), self.kind, self.number]})

    def is_there(self) -> bool:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                return (file.metadata() or {}).get("request") == self.request
        except (OSError, SafetensorError):
            return False

    def draw(self, rig: Measurer) -> None:
        from safetensors.torch import save

        from models.io.atomic_write import write_atomic

        made = {name: values.contiguous() for name, values in rig.drawn(self.kind, self.number).items()}
        write_atomic(self.path, save(made, {"request": self.request}))
