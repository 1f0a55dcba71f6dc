"""A whole training run: landmarks, samples, reconstruction, RigNet, results page."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from pathlib import Path


from models.errors import StyleRigError
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.files import write_atomic
from models.generators import Generator, load_generator
from models.stylerig.estimator import Estimator
from models.stylerig.reconstruction import Reconstruction
from models.stylerig.rig import hash_files
from models.stylerig.rignet import RigNets
from models.stylerig.training.config import TrainingConfig
from models.stylerig.training.estimators import train_estimator
from models.stylerig.training.loop import Report
from models.stylerig.training.pictures import HALVES, StudioPictures
from models.stylerig.training.pool import make_pool
from models.stylerig.training.reconstruction import measure_reconstruction, train_reconstruction
from models.stylerig.training.results import write_cards, write_results
from models.stylerig.training.rignet import Studio, choose_method, train_rignet
from models.stylerig.training.scenes import check_scenes

EVALUATION_SEED = 7919  # added to the seed for the network that judges


def train_estimators(config: TrainingConfig, face: FaceModel, pictures: Path, output: Path, report: Report) -> None:
    """Both networks that read pictures: one for training the rig, one, on other pictures, for judging it."""
    train_landmarks(config, face, pictures, output, report)
    train_judge(config, face, pictures, output, report)


def train_landmarks(config: TrainingConfig, face: FaceModel, pictures: Path, output: Path, report: Report) -> Estimator:
    half = StudioPictures(pictures, HALVES[0], parameter_count(face))
    key = key_of(config.landmarks, config.seed, face.name)
    return train_estimator("landmarks", half, face, config.landmarks, config.seed, output, key, report)


def train_judge(config: TrainingConfig, face: FaceModel, pictures: Path, output: Path, report: Report) -> Estimator:
    half = StudioPictures(pictures, HALVES[1], parameter_count(face))
    seed = config.seed + EVALUATION_SEED
    key = key_of(config.evaluation, seed, face.name)
    return train_estimator(f"{config.name}-judge", half, face, config.evaluation, seed, output, key, report)


def train_rig(generator_path: Path, face: FaceModel, pictures: Path | None, output: Path, config: TrainingConfig,
              report: Report, landmarks: Path | None = None) -> Path:
    """Everything, in order; finished stages are not repeated. Returns the results page.

    ``landmarks`` is a landmark network trained before; without it, and for the judge, ``pictures``
    is the studio's folder.
    """
    start = time.monotonic()
    generator = open_generator(generator_path, face, config)
    output.mkdir(parents=True, exist_ok=True)
    detector, measured = open_readers(config, face, pictures, landmarks, output, report)
    key = hash_files([generator_path, landmarks or output / "landmarks.safetensors"])
    pool = make_pool(generator, detector, config.pool, output, config.seed, key_of(config.pool, key), report)
    key = key_of(config.pool, config.reconstruction, key)
    reconstruction = train_reconstruction(
        generator, pool, detector, face, config.reconstruction, config.seed, output, key, report
    )
    measured["reconstruction"] = measure_reconstruction(reconstruction, pool, face)
    report(f"reconstruction: {measured['reconstruction']}")
    studio = Studio.open(generator, detector, reconstruction, face, pool)
    nets = train_rignet(studio, config, output, key_of(config.paper, config.gated, config.finish, key), report)
    measured["rignet"] = choose_method(studio, nets, config.method, config.seed)
    report(f"rignet: error by method {measured['rignet']}; uses {nets.method}")
    write_rig(output, generator_path, config, reconstruction, nets, measured, len(pool))
    return write_results(output, studio, nets, measured, (time.monotonic() - start) / 60)


def open_generator(path: Path, face: FaceModel, config: TrainingConfig) -> Generator:
    """The generator to rig, after everything that can be checked before hours are spent."""
    check_face(face)
    generator = load_generator(path).fast()
    if config.reconstruction.scenes or config.gated.scenes or config.finish.scenes:
        check_scenes(generator, face)
    return generator


def open_readers(config: TrainingConfig, face: FaceModel, pictures: Path | None, landmarks: Path | None, output: Path,
                 report: Report) -> tuple[Estimator, dict]:
    """The landmark network, given or trained; the judge is trained too where there are pictures. And their figures."""
    if landmarks is None and pictures is None:
        raise StyleRigError(
            "Neither pictures to learn landmarks from nor a landmark network is given.",
            "Give --studio DIR (made by python -m models.studio) or --landmarks FILE.",
            code="no_landmarks",
        )
    detector = Estimator.load(landmarks) if landmarks else train_landmarks(config, face, pictures, output, report)
    if pictures is None:
        return detector, {}
    judge = train_judge(config, face, pictures, output, report)
    return detector, {"judge": {"landmark_pixels_of_128": judge.header["measured"]["landmark_pixels"]}}


def write_rig(output: Path, generator_path: Path, config: TrainingConfig, reconstruction: Reconstruction, nets: RigNets,
              measured: dict, samples: int) -> None:
    """Weights, cards and settings: the folder is a whole rig."""
    header = {"config": dataclasses.asdict(config), "measured": measured, "generator": hash_files([generator_path])}
    reconstruction.save(output / f"{config.name}-reconstruction.safetensors", header)
    nets.save(output / f"{config.name}-rignet.safetensors", header)
    copy_generator(generator_path, output / f"{config.name}-generator.safetensors")
    write_atomic(output / "config.json", json.dumps(dataclasses.asdict(config), indent=1).encode())
    write_cards(output, config.name, header["generator"], measured, samples)


def copy_generator(source: Path, target: Path) -> None:
    """The generator beside the networks, so that the folder is a whole rig."""
    if source.resolve() != target.resolve():
        write_atomic(target, lambda temporary: shutil.copyfile(source, temporary))


def check_face(face: FaceModel) -> None:
    if face.expression.shape[0] == 0:
        raise StyleRigError(
            f"The face model {face.name} has no expressions.", "Use a face model with expressions.", code="no_expressions"
        )


def parameter_count(face: FaceModel) -> int:
    return RigParameters.slices(face)["translation"].stop


def key_of(*parts) -> str:
    """A short name for settings and inputs; another name means that a state does not belong to them."""
    values = [dataclasses.asdict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


