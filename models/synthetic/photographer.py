"""One worker: prepares the next shot while its Blender process renders the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
import torch

from models.synthetic.blender.process import CyclesProcess
from models.synthetic.dataset import picture_path, size_of, write_picture
from models.synthetic.message import Assets, make_model, person_message, shot_message, stage_message
from models.synthetic.person import Person, latent_of, person_from_latent
from models.synthetic.shot import SHOTS, Shot, draw_shot


@dataclass
class Job:
    """A picture to take: its number, whose it is, and what to send first; ``dress`` only before a person's first."""

    number: int
    latent: torch.Tensor
    person: Person
    shot: Shot
    dress: dict[str, np.ndarray] | None
    message: dict[str, np.ndarray]


class Photographer:
    """A Blender process with the stage set up, and the folder that its pictures go to."""

    def __init__(self, output: Path, python: str, assets: Assets, worker: int):
        self.output, self.assets = output, assets
        self.process = CyclesProcess(python, stage_message(assets, threads=1), output / f"blender-{worker}.log")

    def shoot(self, people: Iterable[tuple[int, list[int]]], seed: int, size: int, large_size: int, done: Callable[[], None], stop: Event) -> None:
        """Take the pictures of ``people`` (number, numbers of their pictures) until ``stop`` is set; ``done()`` after each."""
        jobs = (job for person, numbers in people for job in self.jobs(person, numbers, seed, size_of(person, size, large_size)))
        try:
            job = next(jobs, None)
            while job and not stop.is_set():
                self.start(job)
                following = next(jobs, None)  # prepared while this one renders
                self.write(job)
                done()
                job = following
        finally:
            self.process.close()

    def jobs(self, number: int, pictures: list[int], seed: int, size: int) -> Iterator[Job]:
        """The pictures of one person; every one follows from ``seed`` and its number alone."""
        latent = latent_of(seed, number, self.assets.face)
        person = person_from_latent(latent, self.assets.face)
        model = make_model(person, self.assets)
        dress = person_message(model, self.assets, size)
        for picture in pictures:
            shot = draw_shot(np.random.default_rng((seed, number, picture % SHOTS)), person, self.assets.face)
            yield Job(picture, latent, person, shot, dress, shot_message(model, shot, self.assets, seed=picture))
            dress = None

    def start(self, job: Job) -> None:
        """Begin to render a picture."""
        if job.dress:
            self.process.send(job.dress)
        self.process.start(job.message)

    def write(self, job: Job) -> None:
        """Fetch the rendered picture and write it with its truth."""
        frame = self.process.finish()
        write_picture(picture_path(self.output, job.number), frame, job.latent, job.person, job.shot, self.assets.face)
