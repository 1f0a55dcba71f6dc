"""A whole training run: landmarks, samples, reconstruction, RigNet, results page."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from models.errors import StyleRigError
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.generators import Generator, load_generator
from models.generators.cpu import usable_precision
from models.generators.semantic_mapping.scene_edits import knows_scenes
from models.io.atomic_write import write_atomic
from models.perception.face_regressor import Estimator
from models.rigging.rig import hash_files
from models.rigging.rignet import RigNets
from models.training.core.distributed import World
from models.training.rig.calibration import turn_gains
from models.training.rig.config import Stage, TrainingConfig
from models.training.rig.estimators import train_estimator
from models.training.rig.images import HALVES, StudioPictures
from models.training.rig.latent_pool import make_pool
from models.training.rig.loop import Report, wait_for_all
from models.training.rig.reconstruction import measure_reconstruction, train_reconstruction
from models.training.rig.report import write_cards, write_results
from models.training.rig.rignet import Studio, choose_method, train_rignet

EVALUATION_SEED = 7919  # added to the seed for the network that judges


@dataclass
class Run:
    """What all stages of one training share."""

    config: TrainingConfig
    face: FaceModel
    output: Path
    report: Report
    world: World
    precision: str  # of the networks that see pictures: the configuration's where this machine has it

    @classmethod
    def open(cls, config: TrainingConfig, face: FaceModel, output: Path, report: Report, world: World | None = None) -> Run:
        """On the world's device; in several processes each with its share of every batch, and only the first one speaks."""
        config.check()
        world = world or World("cpu")
        output.mkdir(parents=True, exist_ok=True)
        report = report if world.leads else lambda line: None
        precision, notice = usable_precision(config.precision, world.device)
        if notice:
            report(notice)
        return cls(config.shared(world.size), face.to(world.device), output, report, world, precision)

    def estimator(self, name: str, half: str, stage: Stage, seed: int, pictures: Path) -> Estimator:
        source = StudioPictures(pictures, half, parameter_count(self.face), self.world.device)
        key = key_of(stage, seed, self.face.name, self.config.precision, self.world.size)
        return train_estimator(name, source, self.face, stage, seed, self.output, key, self.report, self.world, self.precision)


def train_estimators(run: Run, pictures: Path) -> None:
    """Both networks that read pictures: one for training the rig, one, on other pictures, for judging it."""
    train_landmarks(run, pictures)
    train_judge(run, pictures)


def train_landmarks(run: Run, pictures: Path) -> Estimator:
    return run.estimator("landmarks", HALVES[0], run.config.landmarks, run.config.seed, pictures)


def train_judge(run: Run, pictures: Path) -> Estimator:
    seed = run.config.seed + EVALUATION_SEED
    return run.estimator(f"{run.config.name}-judge", HALVES[1], run.config.evaluation, seed, pictures)


def train_rig(run: Run, generator_path: Path, pictures: Path | None, landmarks: Path | None = None) -> Path:
    """Everything, in order; finished stages are not repeated. Returns the results page.

    ``landmarks`` is a landmark network trained before; without it, and for the judge, ``pictures``
    is the studio's folder.
    """
    start = time.monotonic()
    studio, measured = open_studio(run, generator_path, pictures, landmarks)
    config, report = run.config, run.report
    key = key_of(config.paper, config.joint, config.finish, config.precision, run.world.size, measured["inputs"])
    nets = train_rignet(studio, config, run.output, key, report, run.world)
    nets.turn_gain.copy_(turn_gains(studio, nets, config.seed))
    report(f"rignet: turns are asked for times {[round(gain, 2) for gain in nets.turn_gain.tolist()]}")
    measured["rignet"] = choose_method(studio, nets, config.method, config.seed)
    report(f"rignet: error by method {measured['rignet']}; uses {nets.method}")
    page = run.output / "results.md"
    if run.world.leads:
        write_rig(run, generator_path, studio, nets, measured)
        page = write_results(run.output, studio, nets, measured, (time.monotonic() - start) / 60)
    wait_for_all(run.world)
    return page


def open_studio(run: Run, generator_path: Path, pictures: Path | None, landmarks: Path | None) -> tuple[Studio, dict]:
    """All that RigNet learns from, trained as far as it is not yet, and the figures so far."""
    generator = open_generator(run, generator_path)
    config, face, output, report, world = run.config, run.face, run.output, run.report, run.world
    detector, measured = open_readers(run, pictures, landmarks)
    key = hash_files([generator_path, landmarks or output / "landmarks.safetensors"])
    pool = make_pool(generator, detector, config.pool, output, config.seed, key_of(config.pool, key), report, world)
    measured["inputs"] = key = key_of(config.pool, config.reconstruction, config.seed, world.size, key)
    network = train_reconstruction(generator, pool, detector, face, config.reconstruction, config.seed, output, key, report, world)
    measured["reconstruction"] = measure_reconstruction(network, pool, face)
    report(f"reconstruction: {measured['reconstruction']}")
    return Studio.open(generator, detector, network, face, pool, run.precision), measured


def open_generator(run: Run, path: Path) -> Generator:
    """The generator to rig, after everything that can be checked before hours are spent.

    Where the studio did not teach it, the settings become those without exact scenes.
    """
    check_face(run.face)
    generator = load_generator(path, device=run.world.device).fast()
    if run.config.uses_scenes and not knows_scenes(generator, run.face):
        run.report("This generator was not taught by scenes of this face model: it is rigged without exact pairs.")
        run.config = run.config.without_scenes()
    return generator


def open_readers(run: Run, pictures: Path | None, landmarks: Path | None) -> tuple[Estimator, dict]:
    """The landmark network, given or trained; the judge is trained too where there are pictures. And their figures."""
    if landmarks is None and pictures is None:
        raise StyleRigError(
            "Neither pictures to learn landmarks from nor a landmark network is given.",
            "Give one of the two; python -m models.synthetic renders such pictures.",
            code="no_landmarks",
        )
    detector = Estimator.load(landmarks).to(run.world.device) if landmarks else train_landmarks(run, pictures)
    if pictures is None:
        return detector, {}
    judge = train_judge(run, pictures)
    return detector, {"judge": {f"landmark_pixels_of_{judge.header['measured']['size']}": judge.header["measured"]["landmark_pixels"]}}


def write_rig(run: Run, generator_path: Path, studio: Studio, nets: RigNets, measured: dict) -> None:
    """Weights, cards and settings: the folder is a whole rig."""
    output, config = run.output, run.config
    header = {"config": dataclasses.asdict(config), "measured": measured, "generator": hash_files([generator_path])}
    studio.reconstruction.save(output / f"{config.name}-reconstruction.safetensors", header)
    nets.save(output / f"{config.name}-rignet.safetensors", header)
    copy_generator(generator_path, output / f"{config.name}-generator.safetensors")
    versions = {"python": sys.version.split()[0], "torch": torch.__version__, "device": run.world.device.type,
                "processes": run.world.size, "precision": run.precision}  # fmt: skip
    record = {**header["config"], "made_with": {**versions, "generator": header["generator"], "face_model": run.face.name}}
    write_atomic(output / "config.json", json.dumps(record, indent=1).encode())
    write_cards(output, config.name, header["generator"], measured, len(studio.pool))


def copy_generator(source: Path, target: Path) -> None:
    """The generator beside the networks, so that the folder is a whole rig."""
    if source.resolve() != target.resolve():
        write_atomic(target, lambda temporary: shutil.copyfile(source, temporary))


def check_face(face: FaceModel) -> None:
    if face.expression.shape[0] == 0:
        raise StyleRigError(f"The face model {face.name} has no expressions.", "Use a face model with expressions.", code="no_expressions")


def parameter_count(face: FaceModel) -> int:
    return RigParameters.slices(face)["translation"].stop


def key_of(*parts) -> str:
    """A short name for settings and inputs; another name means that a state does not belong to them."""
    values = [dataclasses.asdict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
