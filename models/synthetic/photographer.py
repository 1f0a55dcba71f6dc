"""Taking pictures: the next shot is prepared while the Blender process renders the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.synthetic.blender.process import CyclesProcess
from models.synthetic.matte import matte
from models.synthetic.message import Assets, make_model, person_message, shot_message, stage_message
from models.synthetic.person import latent_of, person_from_latent
from models.synthetic.shot import SHOTS, Shot, draw_shot
from models.synthetic.traits import Person


@dataclass
class Job:
    """A picture to take: its number, whose it is, and what to send; ``dress`` only before a person's first."""

    number: int
    latent: torch.Tensor
    person: Person
    shot: Shot
    dress: dict[str, np.ndarray] | None
    message: dict[str, np.ndarray]


def person_jobs(assets: Assets, latent: torch.Tensor, person: Person, shots: Iterable[tuple[int, Shot]], size: int) -> Iterator[Job]:
    """Pictures (number, shot) of one person, ``size`` pixels a side."""
    model = make_model(person, assets)
    dress: dict[str, np.ndarray] | None = person_message(model, assets, size)
    for number, shot in shots:
        yield Job(number, latent, person, shot, dress, shot_message(model, shot, assets, seed=number))
        dress = None


def set_jobs(assets: Assets, seed: int, number: int, pictures: list[int], size: int) -> Iterator[Job]:
    """``pictures`` of person ``number`` of the set ``seed``; each follows from seed and number alone."""
    latent = latent_of(seed, number, assets.face)
    person = person_from_latent(latent, assets.face)
    draw = lambda picture: draw_shot(np.random.default_rng((seed, number, picture % SHOTS)), person, assets.face)
    return person_jobs(assets, latent, person, [(picture, draw(picture)) for picture in pictures], size)


class Photographer:
    """A Blender process with the stage set up; use it in a ``with`` statement."""

    def __init__(self, assets: Assets, python: str, log: Path):
        self.stage = stage_message(assets, threads=1)
        self.process = CyclesProcess(python, self.stage, log)

    def __enter__(self) -> Photographer:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close()

    def take(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, dict[str, np.ndarray]]]:
        """Each job with its frame (see ``CyclesProcess.finish``), and its ``matte`` (H, W), drawn from the geometry."""
        jobs, dress = iter(jobs), {}
        job = next(jobs, None)
        while job:
            if job.dress:
                dress = job.dress
                self.process.send(dress)
            self.process.start(job.message)
            drawn = matte(self.stage, dress, job.message)
            following = next(jobs, None)  # prepared while this one renders
            yield job, self.process.finish() | {"matte": drawn}
            job = following
