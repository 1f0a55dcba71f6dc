"""Sets of renderings for measurements: the same people, photographed in shots of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

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
Wardrobe = Callable[[Tensor, np.random.Generator, FaceModel], list[tuple[Tensor, Person]]]  # who a latent (P,) is in each of them


@dataclass(frozen=True)
class Series:
    """A set of ``name`` that shows each person in shots of ``kinds``, one after another, as ``shots`` says; all are heads of
    the face model ``head``. With a ``wardrobe`` somebody is someone else in each, as it says."""

    name: str
    kinds: Sequence[str]
    shots: Director
    head: str | None = None
    wardrobe: Wardrobe | None = None

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
                total = len(missing) * len(self.kinds)
                for job, frame in tqdm(photographer.take(jobs), "photographing", total, unit="picture", disable=None):
                    write_picture(picture_path(output, job.number), frame, job.latent, job.person, job.shot, face)
        return output

    def jobs(self, assets: Assets, seed: int, number: int, size: int) -> Iterator[Job]:
        """The pictures of person ``number``."""
        latent = latent_of(seed, number, assets.face)
        person = person_from_latent(latent, assets.face)
        random = np.random.default_rng((seed, number))
        shots = list(zip(self.numbers_of(number), self.shots(person, number, random, assets.face), strict=True))
        if self.wardrobe is None:
            return person_jobs(assets, latent, person, shots, size)
        each = zip(self.wardrobe(latent, random, assets.face), shots, strict=True)
        return chain.from_iterable(person_jobs(assets, *who, [shot], size) for who, shot in each)

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
