"""Sets of renderings for measurements: the same people, photographed in shots of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.data.image_folder import ImageFolder, open_folder
from models.errors import StyleRigError
from models.face import FaceModel, load_face_model
from models.io.atomic_write import write_atomic
from models.synthetic.blender.process import default_python
from models.synthetic.dataset import picture_path, write_index, write_picture
from models.synthetic.message import Assets, prepare
from models.synthetic.person import latent_of, person_from_latent
from models.synthetic.photographer import Job, Photographer, person_jobs
from models.synthetic.shot import Shot
from models.synthetic.traits import Person

Director = Callable[[Person, int, np.random.Generator, FaceModel], list[Shot]]  # the shots of a person of a number


@dataclass(frozen=True)
class Series:
    """A set of ``name`` that shows each person in shots of ``kinds``, one after another, as ``shots`` says; all are heads of
    the face model ``head``."""

    name: str
    kinds: Sequence[str]
    shots: Director
    head: str | None = None

    def numbers_of(self, person: int) -> range:
        """The numbers of the pictures of a person."""
        return range(person * len(self.kinds), (person + 1) * len(self.kinds))

    def photograph(self, output: Path, people: int, size: int, seed: int) -> Path:
        """Render ``people`` with the studio, ``size`` pixels a side; pictures that are there are kept."""
        output.mkdir(parents=True, exist_ok=True)
        face = load_face_model(self.head)
        write_index(output, size, size, seed, people, face)
        index = json.loads((output / "index.json").read_text())
        ours = {self.name: list(self.kinds), "shots": len(self.kinds), "count": people * len(self.kinds)}
        write_atomic(output / "index.json", json.dumps(index | ours, indent=1).encode())
        missing = [n for n in range(people) if not all(picture_path(output, k).exists() for k in self.numbers_of(n))]
        if missing:
            assets = prepare(face)
            jobs = (job for person in missing for job in self.jobs(assets, seed, person, size))
            with Photographer(assets, default_python(), output / "blender.log") as photographer:
                for job, frame in photographer.take(jobs):
                    write_picture(picture_path(output, job.number), frame, job.latent, job.person, job.shot, face)
        return output

    def jobs(self, assets: Assets, seed: int, number: int, size: int) -> Iterator[Job]:
        """The pictures of person ``number``."""
        latent = latent_of(seed, number, assets.face)
        person = person_from_latent(latent, assets.face)
        shots = self.shots(person, number, np.random.default_rng((seed, number)), assets.face)
        return person_jobs(assets, latent, person, zip(self.numbers_of(number), shots, strict=True), size)

    def open(self, folder: Path) -> ImageFolder:
        """A set that was photographed before. Raises StyleRigError for another one."""
        source = open_folder(folder)
        if (source.index or {}).get(self.name) != list(self.kinds):
            raise self.another_set(folder)
        return source

    def another_set(self, folder: Path) -> StyleRigError:
        return StyleRigError(
            f"The pictures in {folder} are not whole sets of {self.name}.",
            f"Choose the folder of a rendering of {self.name} that has finished.",
            code="bad_pictures",
        )
