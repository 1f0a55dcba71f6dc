"""Training F: w -> p on samples of the generator, through the rasteriser."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from models.face import FaceModel
from models.face.alignment import project_landmarks
from models.generators import Generator
from models.generators.semantic_mapping.scene_edits import draw_scenes
from models.perception.face_regressor import LANDMARKS, Estimator
from models.rigging.reconstruction import Reconstruction
from models.training.core.distributed import World
from models.training.core.random import Draws
from models.training.rig.config import ReconstructionSettings
from models.training.rig.latent_pool import Pool
from models.training.rig.loop import Loop, Report
from models.training.rig.losses import landmark_term, parameter_term, part_weights, photometric_term, prior_term

LINEAR_SAMPLES = 6000  # scenes for the linear path
HELD_OUT = 0.04  # last samples of the pool


def training_rows(pool: Pool) -> int:
    """Samples before this number are for training, the others are held out."""
    return max(1, int(len(pool) * (1 - HELD_OUT)))


def train_reconstruction(
    generator: Generator,
    pool: Pool,
    detector: Estimator,
    face: FaceModel,
    settings: ReconstructionSettings,
    seed: int,
    folder: Path,
    key: str,
    report: Report,
    world: World,
) -> Reconstruction:
    """Train, then freeze: photometric and landmark terms, the regulariser, the landmark network as teacher."""
    network = start_network(pool, detector, face, settings, seed)
    if settings.linear:
        fit_linear(network, generator, pool, face, settings)
    weights = part_weights(face, network.spread, detector.reliability)
    exact_weights = part_weights(face, network.spread, torch.ones_like(network.spread))
    loop = Loop("reconstruction", folder, network, settings, seed, key, report, world)
    rows = training_rows(pool)

    def step(number: int, random: Draws) -> dict[str, Tensor]:
        picked = random.whole(0, rows, settings.batch)
        parameters = network(pool.w[picked], face)
        terms = {
            "landmark": settings.landmark * landmark_term(face, parameters, pool.landmarks[picked]),
            "prior": settings.prior * prior_term(parameters),
        }
        if settings.teacher:
            terms["teacher"] = settings.teacher * parameter_term(parameters.vector(), pool.parameters[picked], weights)
        if settings.scenes:
            w, truth = draw_scenes(generator, face, settings.batch, random)
            exact = parameter_term(network(w, face).vector(), truth.vector(), exact_weights)
            terms["scenes"] = settings.scenes * exact
        if settings.photometric and number % settings.render_every == 0:
            few = settings.render_batch
            images = pool.images(picked[:few])
            terms["photometric"] = settings.photometric * photometric_term(face, parameters[:few], images)
        return terms

    loop.run(step)
    return network.eval().requires_grad_(False)


def start_network(pool: Pool, detector: Estimator, face: FaceModel, settings: ReconstructionSettings, seed: int):
    """An untrained network with the statistics of the pool's codes and of the studio's people."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Reconstruction.create(face, *pool.w.shape[1:], hidden=settings.hidden, linear=settings.linear)
    network.to(pool.w.device)
    network.w_mean.copy_(pool.w[pool.plain].mean(dim=0))
    network.w_scale.copy_(pool.w.std(dim=(0, 2)).unsqueeze(1).expand_as(network.w_scale) + 1e-6)
    places = slice(LANDMARKS, LANDMARKS + sum(detector.sizes.values()))
    network.set_statistics(detector.mean[places], detector.spread[places])
    return network


def fit_linear(network: Reconstruction, generator: Generator, pool: Pool, face: FaceModel, settings: ReconstructionSettings) -> None:
    """The linear path, from what the landmark network reads and from exact scenes where there are any."""
    rows = training_rows(pool)
    codes, wanted = [pool.w[:rows]], [pool.parameters[:rows]]
    if settings.scenes:
        w, truth = draw_scenes(generator, face, LINEAR_SAMPLES, Draws(0))
        codes, wanted = [*codes, w], [*wanted, truth.vector()]
    network.fit_linear(torch.cat(codes), torch.cat(wanted))


def held_out(pool: Pool) -> Tensor:
    """Plain samples that are not for training; others where none of these is plain."""
    held = pool.rows(min(training_rows(pool), len(pool) - 1))
    plain = held[pool.plain[held]]
    return plain if len(plain) else held


@torch.no_grad()
def measure_reconstruction(network: Reconstruction, pool: Pool, face: FaceModel) -> dict[str, float]:
    """Errors on samples held out: landmarks in pixels of a 128² picture, photometric RMS in sRGB."""
    rows = pool.rows(training_rows(pool))
    if len(rows) == 0:
        rows = pool.rows()
    parameters = network(pool.w[rows], face)
    pixels = landmark_distance(face, parameters, pool.landmarks[rows]) * 64
    few = rows[:32]
    photometric = photometric_term(face, network(pool.w[few], face), pool.images(few))
    return {"landmark_pixels_of_128": round(pixels, 3), "photometric_rms": round(float(photometric) ** 0.5, 4)}


def landmark_distance(face: FaceModel, parameters, landmarks: Tensor) -> float:
    """Mean distance in NDC between projected and given landmarks."""
    return float((project_landmarks(face, parameters)[..., :2] - landmarks).norm(dim=-1).mean())
