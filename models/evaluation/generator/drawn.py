"""What is measured of pictures that are drawn for it, a batch at a time.

Each part is a function of its kind and number alone, so that other processes can do it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.evaluation.generator.detection import found_faces
from models.evaluation.generator.inception import Inception
from models.evaluation.generator.path_length import SPACES, Step, lengths, steps
from models.evaluation.generator.samples import BATCH, codes, draw, over, random_z
from models.generators import Generator
from models.perception.features import StudioFeatures

SAMPLES, FACES = "samples", "faces"
FACES_PSI = 0.7


@dataclass(frozen=True)
class Amounts:
    """How many pictures are drawn, of which seed. ``size``: pixels to which those that Inception sees are shrunk."""

    samples: int
    pairs: int  # of a path length
    faces: int  # that are looked for
    seed: int
    size: int


@dataclass(eq=False)
class Drawn:
    """Measures a generator's pictures of random z."""

    generator: Generator
    features: StudioFeatures
    inception: Inception | None
    amounts: Amounts

    def parts(self) -> list[tuple[str, int]]:
        """All kinds and numbers."""
        drawn = {SAMPLES: self.amounts.samples, **dict.fromkeys(SPACES, self.amounts.pairs), FACES: self.amounts.faces}
        return [(kind, number) for kind, count in drawn.items() for number in range(-(-count // BATCH))]

    def __call__(self, kind: str, number: int) -> dict[str, Tensor]:
        """Tensors (N, …) of a batch: of "samples" the features, the truth read of them, and what Inception sees; of the "z" or "w" of
        pairs the ``lengths``; of "faces" whether they were found, nothing without OpenCV."""
        if kind == SAMPLES:
            return self.seen(draw(self.generator, codes(self.generator, self.z.split(BATCH)[number])))
        if kind == FACES:
            pictures = draw(self.generator, codes(self.generator, self.z_of_faces.split(BATCH)[number], FACES_PSI))
            found = found_faces(pictures)
            return {} if found is None else {"found": torch.tensor(found)}
        return {"lengths": lengths(self.generator, self.features, kind, self.steps[number])}

    def seen(self, pictures: Tensor) -> dict[str, Tensor]:
        found = {"features": self.features(pictures), "read": self.features.read(pictures)}
        if self.inception is not None:
            size = (self.amounts.size, self.amounts.size)
            shrunk = torch.nn.functional.interpolate(pictures, size, mode="bilinear", antialias=True)
            found["inception"] = self.inception(over(shrunk, 0.5))
        return found

    @cached_property
    def z(self) -> Tensor:
        return random_z(self.generator, self.amounts.samples, self.amounts.seed + 1)

    @cached_property
    def z_of_faces(self) -> Tensor:
        return random_z(self.generator, self.amounts.faces, self.amounts.seed + 3)

    @cached_property
    def steps(self) -> list[Step]:
        return steps(self.generator, self.amounts.pairs, self.amounts.seed)
