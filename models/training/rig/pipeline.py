"""A whole training: face regressors, samples of the generator, reconstruction, RigNet, results page."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from models.errors import StyleRigError
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.generators import Generator, load_generator
from models.generators.semantic_mapping.scene_edits import knows_scenes
from models.io.atomic_write import write_atomic
from models.perception.face_regressor import Estimator
from models.rigging.rig import hash_files
from models.rigging.rignet import RigNets
from models.training.rig.calibration import rotation_gains
from models.training.rig.config import Stage
from models.training.rig.estimators import train_estimator
from models.training.rig.images import HALVES, StudioImages
from models.training.rig.latent_pool import make_pool
from models.training.rig.reconstruction import measure_reconstruction, train_reconstruction
from models.training.rig.report import write_cards, write_results
from models.training.rig.rignet import choose_method, train_rignet
from models.training.rig.rignet_data import RigNetData
from models.training.rig.run import Run, key_of

JUDGE_SEED = 7919  # added to the seed for the network that judges


def train_estimators(run: Run, images: Path) -> None:
    """Both face regressors: one for training the rig, one, on other images, for judging it."""
    train_landmarks(run, images)
    train_judge(run, images)


def train_landmarks(run: Run, images: Path) -> Estimator:
    return estimator(run, "landmarks", HALVES[0], run.plan.landmarks, run.plan.seed, images)


def train_judge(run: Run, images: Path) -> Estimator:
    return estimator(run, f"{run.plan.name}-judge", HALVES[1], run.plan.judge, run.plan.seed + JUDGE_SEED, images)


def estimator(run: Run, name: str, half: str, stage: Stage, seed: int, images: Path) -> Estimator:
    source = StudioImages(images, half, parameter_count(run.face), run.world.device)
    return train_estimator(run, name, source, stage, seed)


def train_rig(run: Run, generator_path: Path, images: Path | None, landmarks: Path | None = None) -> Path:
    """Everything, in order; finished stages are not repeated. Returns the results page.

    ``landmarks`` is a landmark network trained before; without it, and for the judge, ``images``
    is the studio's folder. Raises Stopped when the process is asked to stop.
    """
    start = time.monotonic()
    data, measured = open_data(run, generator_path, images, landmarks)
    plan = run.plan
    nets = train_rignet(run, data, key_of(plan.paper, plan.joint, plan.finish, plan.precision, run.world.size, measured["inputs"]))
    nets.turn_gain.copy_(rotation_gains(data, nets, plan.seed))
    run.say(f"rignet: turns are asked for times {[round(gain, 2) for gain in nets.turn_gain.tolist()]}")
    measured["rignet"] = choose_method(data, nets, plan.method, plan.seed)
    run.say(f"rignet: error by method {measured['rignet']}; uses {nets.method}")
    page = run.output / "results.md"
    if run.world.is_main:
        write_rig(run, generator_path, data, nets, measured)
        write_results(page, data, nets, measured, (time.monotonic() - start) / 60)
    run.world.barrier()
    return page


def open_data(run: Run, generator_path: Path, images: Path | None, landmarks: Path | None) -> tuple[RigNetData, dict[str, Any]]:
    """All that RigNet learns from, trained as far as it is not yet, and the figures so far."""
    generator = open_generator(run, generator_path)
    detector, measured = open_regressors(run, images, landmarks)
    key = hash_files([generator_path, landmarks or run.output / "landmarks.safetensors"])
    pool = make_pool(run, generator, detector, key_of(run.plan.pool, key))
    measured["inputs"] = key_of(run.plan.pool, run.plan.reconstruction, run.plan.seed, run.world.size, key)
    network = train_reconstruction(run, generator, pool, detector, measured["inputs"])
    measured["reconstruction"] = measure_reconstruction(network, pool, run.face)
    run.say(f"reconstruction: {measured['reconstruction']}")
    return RigNetData.open(generator, detector, network, run.face, pool), measured


def open_generator(run: Run, path: Path) -> Generator:
    """The generator to rig, after everything that can be checked before hours are spent.

    Where the studio did not teach it, the plan becomes the one without exact scenes.
    """
    check_face(run.face)
    generator = load_generator(path, device=run.world.device).fast()
    if run.plan.uses_scenes and not knows_scenes(generator, run.face):
        run.say("This generator was not taught by scenes of this face model: it is rigged without exact pairs.")
        run.plan = run.plan.without_scenes()
    return generator


def open_regressors(run: Run, images: Path | None, landmarks: Path | None) -> tuple[Estimator, dict[str, Any]]:
    """The landmark network, given or trained; the judge is trained too where there are images. And their figures."""
    if images is None:
        if landmarks is None:
            raise no_landmarks()
        return Estimator.load(landmarks).to(run.world.device), {}
    detector = Estimator.load(landmarks).to(run.world.device) if landmarks else train_landmarks(run, images)
    measured = train_judge(run, images).header["measured"]
    return detector, {"judge": {f"landmark_pixels_of_{measured['size']}": measured["landmark_pixels"]}}


def no_landmarks() -> StyleRigError:
    return StyleRigError(
        "Neither images to learn landmarks from nor a landmark network is given.",
        "Give one of the two; python -m models.synthetic renders such images.",
        code="no_landmarks",
    )


def write_rig(run: Run, generator_path: Path, data: RigNetData, nets: RigNets, measured: dict[str, Any]) -> None:
    """Weights, cards and settings: the folder is a whole rig."""
    output, plan = run.output, run.plan
    header: dict[str, Any] = {"config": plan.model_dump(mode="json"), "measured": measured, "generator": hash_files([generator_path])}
    data.reconstruction.save(output / f"{plan.name}-reconstruction.safetensors", header)
    nets.save(output / f"{plan.name}-rignet.safetensors", header)
    copy_generator(generator_path, output / f"{plan.name}-generator.safetensors")
    versions = {"python": sys.version.split()[0], "torch": torch.__version__, "device": run.world.device.type,
                "processes": run.world.size, "precision": run.precision}  # fmt: skip
    record = {**header["config"], "made_with": {**versions, "generator": header["generator"], "face_model": run.face.name}}
    write_atomic(output / "config.json", json.dumps(record, indent=1).encode())
    write_cards(output, plan.name, header["generator"], measured, len(data.pool))


def copy_generator(source: Path, target: Path) -> None:
    """The generator beside the networks, so that the folder is a whole rig."""
    if source.resolve() != target.resolve():
        write_atomic(target, lambda temporary: shutil.copyfile(source, temporary))


def check_face(face: FaceModel) -> None:
    if face.expression.shape[0] == 0:
        raise StyleRigError(f"The face model {face.name} has no expressions.", "Use a face model with expressions.", code="no_expressions")


def parameter_count(face: FaceModel) -> int:
    return RigParameters.slices(face)["translation"].stop
