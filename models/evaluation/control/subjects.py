"""The portraits that are edited, the people they are compared with, and what the judge reads of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.colour import over_backdrop
from models.errors import StyleRigError
from models.evaluation.control.judge import READABLE, expressions
from models.face import FaceModel
from models.face.alignment import align
from models.face.harmonics import luminance
from models.face.parameters import RigParameters
from models.generators import latents_from_seed
from models.perception.face_regressor import Estimator
from models.rigging.controls import Portrait
from models.rigging.frame_renderer import FrameRenderer
from models.rigging.rig import Rig

POPULATION = 96  # codes whose readings give the standard deviation of each axis
BATCH = 16
FIRST_SEED = 100_000  # portraits that nothing was trained on


@dataclass(eq=False)
class Reading:
    """What the judge sees in M pictures, on the processor."""

    values: dict[str, np.ndarray]  # axis -> (M,)
    embedding: np.ndarray  # (M, D) who it is
    vector: Tensor  # (M, P) rig parameters

    @classmethod
    def of(cls, judge: Estimator, images: Tensor, face: FaceModel, names: list[str]) -> Reading:
        """Pictures (M, 3, H, W) sRGB 0–1, read for pose, light and the expressions ``names``."""
        seen = judge.predict(images)
        return cls.of_vector(seen.parameters.cpu(), face, names, seen.embedding.cpu())

    @classmethod
    def of_vector(cls, vector: Tensor, face: FaceModel, names: list[str], embedding: Tensor | None = None) -> Reading:
        """The same of rig parameters (M, P)."""
        embedding = vector[:, :0] if embedding is None else embedding
        parameters = RigParameters.from_vector(vector, face)
        brightness = luminance(parameters.light)
        values = {"yaw": parameters.rotation[:, 0].rad2deg(), "pitch": parameters.rotation[:, 1].rad2deg()}
        values |= {name: parameters.expression[:, face.expression_names.index(name)] for name in names}
        values |= {f"light_{number}": brightness[:, number] for number in range(9)}
        return cls({name: value.numpy() for name, value in values.items()}, embedding.numpy(), vector)

    @classmethod
    def joined(cls, parts: list[Reading]) -> Reading:
        values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
        return cls(values, np.concatenate([part.embedding for part in parts]), torch.cat([part.vector for part in parts]))


def renderer_of(rig: Rig) -> FrameRenderer:
    """The rig's renderer. Raises StyleRigError where the generator is steered by maps: there is no editing of w to measure."""
    if isinstance(rig.renderer, FrameRenderer):
        return rig.renderer
    raise StyleRigError(
        f'The model "{rig.name}" is steered by maps; what is evaluated here is how a rig edits a latent.',
        "Choose the folder of a rig with RigNet weights.",
        code="no_reconstruction",
    )


class Subjects:
    """A rig that edits w, its judge and N portraits. Aligned crops are judged, before they are moved into their place."""

    def __init__(self, rig: Rig, judge: Estimator, portraits: int, truncation: float, method: str | None = None):
        self.rig, self.judge, self.face, self.renderer = rig, judge, rig.face, renderer_of(rig)
        self.method = method or self.renderer.networks.method
        self.seeds, self.truncation = range(FIRST_SEED, FIRST_SEED + portraits), truncation
        self.w = self.codes(portraits, FIRST_SEED, truncation)
        self.own = self.renderer.reconstruction(self.w, rig.face)
        self.readable = expressions(judge, rig.face, READABLE)
        self.before = self.readings(self.w)
        others = self.codes(POPULATION, FIRST_SEED + portraits, 1.0)
        self.others = self.renderer.reconstruction(others, rig.face)
        self.population = self.readings(others)
        self.stds = {name: float(values.std()) for name, values in self.population.values.items()}

    def codes(self, count: int, seed: int, truncation: float) -> Tensor:
        """w of ``count`` seeds from ``seed`` on."""
        generator = self.rig.generator
        z = torch.cat([latents_from_seed(seed + i, 1, generator.z_dim) for i in range(count)])
        return generator.mapping(z.to(self.rig.device), truncation_psi=truncation)

    def portrait(self, row: int) -> Portrait:
        """One of them as the rig's own portrait."""
        return self.rig.new_portrait(self.seeds[row], self.truncation)

    def readings(self, w: Tensor) -> Reading:
        """What the judge sees in the crops of codes (M, L, 512)."""
        return Reading.joined([Reading.of(self.judge, self.crops(part), self.face, self.readable) for part in w.split(BATCH)])

    def crops(self, w: Tensor) -> Tensor:
        """Pictures (M, 3, R, R) over the neutral backdrop."""
        colour, alpha = self.renderer.synthesize(w, "exact")
        return over_backdrop(colour, alpha)

    def edited(self, **parts: Tensor) -> Tensor:
        """Codes of all portraits after an edit."""
        wanted = align(self.face, self.own.replace(**parts))
        return self.renderer.networks(self.w, self.own, wanted, self.renderer.reconstruction, self.face, self.method)

    def request(self, **parts: Tensor) -> Reading:
        """Readings after an edit of all portraits."""
        return self.readings(self.edited(**parts))

    def changes(self, found: list[Reading]) -> dict[str, np.ndarray]:
        """Axis -> what ``found`` (K readings) differs by from the portraits themselves, (N, K)."""
        return {name: np.stack([reading.values[name] - before for reading in found], axis=1) for name, before in self.before.values.items()}
