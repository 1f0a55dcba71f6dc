"""Training the reconstruction network F: w -> p, on samples of the generator, through the rasteriser."""

from __future__ import annotations

import torch
from torch import Tensor

from models.device_rng import DeviceRng
from models.face import FaceModel
from models.face.alignment import project_landmarks
from models.face.parameters import RigParameters
from models.generators import Generator
from models.generators.semantic_mapping.scene_edits import draw_scenes
from models.perception.face_regressor import LANDMARKS, Estimator
from models.rigging.reconstruction import Reconstruction
from models.training.core.trainer import Progress
from models.training.rig.config import ReconstructionSettings
from models.training.rig.latent_pool import LatentPool
from models.training.rig.losses import landmark_term, parameter_term, part_weights, photometric_term, prior_term
from models.training.rig.run import RigTask, Run

LINEAR_SAMPLES = 6000  # scenes for the linear path
HELD_OUT = 0.04  # last samples of the pool


def training_rows(pool: LatentPool) -> int:
    """Samples before this number are for training, the others are held out."""
    return max(1, int(len(pool) * (1 - HELD_OUT)))


class ReconstructionTask(RigTask):
    """Photometric and landmark terms, the regulariser, the landmark network as teacher, exact scenes."""

    network: Reconstruction
    stage: ReconstructionSettings

    def __init__(self, run: Run, network: Reconstruction, generator: Generator, pool: LatentPool, detector: Estimator):
        super().__init__(run, network, run.plan.reconstruction)
        self.generator, self.pool, self.face = generator, pool, run.face
        self.weights = part_weights(run.face, network.spread, detector.reliability)
        self.exact_weights = part_weights(run.face, network.spread, torch.ones_like(network.spread))

    def batch(self, progress: Progress, rng: DeviceRng) -> tuple[Tensor, bool]:
        """Rows of the pool, and whether they are rendered."""
        rendered = self.stage.photometric > 0 and progress.steps % self.stage.render_every == 0
        return rng.randint(0, training_rows(self.pool), self.count), rendered

    def losses(self, batch: tuple[Tensor, bool], rng: DeviceRng) -> dict[str, Tensor]:
        (rows, rendered), stage, pool, face = batch, self.stage, self.pool, self.face
        parameters = self.network(pool.w[rows], face)
        terms = {
            "landmark": stage.landmark * landmark_term(face, parameters, pool.landmarks[rows]),
            "prior": stage.prior * prior_term(parameters),
        }
        if stage.teacher:
            terms["teacher"] = stage.teacher * parameter_term(parameters.vector(), pool.parameters[rows], self.weights)
        if stage.scenes:
            w, labels = draw_scenes(self.generator, face, self.count, rng)
            terms["scenes"] = stage.scenes * parameter_term(self.network(w, face).vector(), labels.vector(), self.exact_weights)
        if rendered:
            few = stage.render_batch
            terms["photometric"] = stage.photometric * photometric_term(face, parameters[:few], pool.images(rows[:few]))
        return terms


def train_reconstruction(run: Run, generator: Generator, pool: LatentPool, detector: Estimator, key: str) -> Reconstruction:
    """Train, then freeze."""
    settings = run.plan.reconstruction
    network = start_network(pool, detector, run.face, settings, run.plan.seed)
    if settings.linear:
        fit_linear(network, generator, pool, run.face, settings)
    run.trainer("reconstruction", ReconstructionTask(run, network, generator, pool, detector), settings, key).run()
    return network.eval().requires_grad_(False)


def start_network(pool: LatentPool, detector: Estimator, face: FaceModel, settings: ReconstructionSettings, seed: int) -> Reconstruction:
    """An untrained network with the statistics of the pool's codes and of the studio's people."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Reconstruction.create(face, *pool.w.shape[1:], hidden=settings.hidden, linear=settings.linear)
    network.to(pool.w.device)
    network.w_mean.copy_(pool.w[pool.plain].mean(dim=0))
    network.w_scale.copy_(pool.w.std(dim=(0, 2)).unsqueeze(1).expand_as(network.w_scale) + 1e-6)
    regressed = slice(LANDMARKS, LANDMARKS + sum(detector.sizes.values()))
    network.set_statistics(detector.mean[regressed], detector.spread[regressed])
    return network


def fit_linear(network: Reconstruction, generator: Generator, pool: LatentPool, face: FaceModel, settings: ReconstructionSettings) -> None:
    """The linear path, from what the landmark network reads and from exact scenes where there are any."""
    rows = training_rows(pool)
    codes, wanted = [pool.w[:rows]], [pool.parameters[:rows]]
    if settings.scenes:
        w, truth = draw_scenes(generator, face, LINEAR_SAMPLES, DeviceRng(0))
        codes, wanted = [*codes, w], [*wanted, truth.vector()]
    network.fit_linear(torch.cat(codes), torch.cat(wanted))


def held_out(pool: LatentPool) -> Tensor:
    """Plain samples that are not for training; others where none of these is plain."""
    held = pool.rows(min(training_rows(pool), len(pool) - 1))
    plain = held[pool.plain[held]]
    return plain if len(plain) else held


@torch.no_grad()
def measure_reconstruction(network: Reconstruction, pool: LatentPool, face: FaceModel) -> dict[str, float]:
    """Errors on samples held out: landmarks in pixels of a 128² picture, photometric RMS in sRGB."""
    rows = pool.rows(training_rows(pool))
    if len(rows) == 0:
        rows = pool.rows()
    parameters = network(pool.w[rows], face)
    pixels = landmark_distance(face, parameters, pool.landmarks[rows]) * 64
    few = rows[:32]
    photometric = photometric_term(face, network(pool.w[few], face), pool.images(few))
    return {"landmark_pixels_of_128": round(pixels, 3), "photometric_rms": round(float(photometric) ** 0.5, 4)}


def landmark_distance(face: FaceModel, parameters: RigParameters, landmarks: Tensor) -> float:
    """Mean distance in NDC between projected and given landmarks."""
    return float((project_landmarks(face, parameters)[..., :2] - landmarks).norm(dim=-1).mean())
