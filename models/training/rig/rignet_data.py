"""What RigNet learns from: samples of the generator, the frozen networks that read and draw them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.colour import over_backdrop
from models.device_rng import DeviceRng
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.generators import Generator
from models.perception.face_regressor import Estimator
from models.rigging.reconstruction import Reconstruction
from models.training.rig.edit_sampling import ACTIVE, sample_target_edits
from models.training.rig.latent_pool import LatentPool
from models.training.rig.losses import part_weights
from models.training.rig.reconstruction import training_rows

BATCH = 16  # images that are drawn at once


@dataclass(eq=False)
class RigNetData:
    """All on one device; the networks are frozen."""

    generator: Generator
    detector: Estimator
    reconstruction: Reconstruction
    face: FaceModel
    pool: LatentPool
    parameters: RigParameters  # of the pool's codes, as the reconstruction estimates them

    @classmethod
    def open(
        cls, generator: Generator, detector: Estimator, reconstruction: Reconstruction, face: FaceModel, pool: LatentPool
    ) -> RigNetData:
        with torch.no_grad():
            parameters = reconstruction(pool.w, face)
        return cls(generator, detector, reconstruction, face, pool, parameters)

    @property
    def weights(self) -> Tensor:
        """Weight (P,) of squared differences of parameters."""
        return part_weights(self.face, self.reconstruction.spread, self.detector.reliability)

    @property
    def active(self) -> Tensor:
        """The expressions (E,) that can be seen in images at all."""
        return self.detector.reliability[RigParameters.slices(self.face)["expression"]] > ACTIVE

    def reconstruct(self, w: Tensor) -> RigParameters:
        return self.reconstruction(w, self.face)

    def portraits(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, R, R) of w (N, L, 512) over the backdrop, 0–1, and their mattes (N, 1, R, R)."""
        colour, alpha = self.generator.foreground(w)
        return over_backdrop(colour, alpha), alpha

    def detect(self, w: Tensor) -> Tensor:
        """Parameters (N, P) that the landmark network regresses from the images of w (N, L, 512)."""
        return torch.cat([self.detector(self.portraits(part)[0])[1] for part in w.split(BATCH)])

    def sample_rows(self, count: int, rng: DeviceRng) -> Tensor:
        """Rows of the pool for training."""
        return rng.randint(0, training_rows(self.pool), count)

    def sample_edits(self, own: RigParameters, rng: DeviceRng) -> tuple[RigParameters, Tensor]:
        """See ``sample_target_edits``."""
        return sample_target_edits(own, self.parameters, self.face, self.active, rng)
