"""What a command orders: pictures by their numbers. A job holds plain values only, so that it can go to another process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from backend.farm.pictures import Picture
from backend.farm.shot import InShot, landmarks_of
from backend.files import recipe
from backend.protocol.frames import SHOT_PASSES
from models.errors import StyleRigError

if TYPE_CHECKING:
    from backend.server import schema
    from backend.server.inference import RigLibrary
    from models.editing.directions import Directions
    from models.rigging import Portrait, Rig


class Job(Protocol):
    """``numbers`` are the pictures' own, in the order in which they are drawn."""

    folder: Path
    numbers: list[int]

    def looks(self) -> dict[str, Path]:
        """The looks that it needs: SHA-256 of a file -> the file here. Raises StyleRigError for one that is not."""
        return {}

    def rig(self, library: RigLibrary) -> Any:
        """The rig that draws it, or another thing with ``name`` and ``weights_hash``. Raises StyleRigError when it is not here."""

    def opened(self, rig: Any) -> Callable[[int], Any]:
        """The picture of a number. Raises StyleRigError before the first one for a job that does not fit the rig."""


@dataclass
class RigFileJob(Job):
    """Frames of a rig file: frame n becomes frame_000n.png, or .exr."""

    rig_file: schema.RigFile
    folder: Path
    kind: str  # png or exr
    numbers: list[int]  # from 1 on

    def __post_init__(self) -> None:
        """Name looks by their hashes: on another machine another file may have that name."""
        from backend.farm.timeline import with_hashes

        self.rig_file = with_hashes(self.rig_file)

    def looks(self) -> dict[str, Path]:
        from backend.farm.timeline import all_controls
        from models.translation.library import known_digest, library

        worn = [use for controls in all_controls(self.rig_file, self.numbers) for use in controls.looks if use.strength > 0]
        files = [library().path_of(name, sha256) for name, sha256 in dict.fromkeys((use.name, use.sha256) for use in worn)]
        return {known_digest(file): file for file in files}

    def rig(self, library: RigLibrary) -> Rig:
        from backend.server import schema

        asked = self.rig_file.portrait
        return library.of_weights(asked.weights_hash if isinstance(asked, schema.Portrait) else None, asked.model)

    def opened(self, rig: Rig) -> Callable[[int], Picture]:
        from backend.farm.timeline import Timeline, all_controls
        from backend.server import serialization
        from models.editing.sliders import check_attributes

        frames, camera, motion = self.rig_file.frames, self.rig_file.camera, self.rig_file.motion
        asked = all_controls(self.rig_file, self.numbers)
        for controls in asked:
            serialization.check_expressions(controls.expression, rig.face)
        portrait = read_portrait(self.rig_file, rig)
        check_attributes(rig.directions_for(portrait), [name for controls in asked for name in controls.attributes])
        self.looks()  # raises for one that is not here
        if camera is None and (lost := [name for name in self.rig_file.output.passes if name in SHOT_PASSES]):
            raise StyleRigError(
                f"{lost[0]} is a pass of a camera's picture, and this rig file has none.", "Leave it out of the passes.", code="bad_option"
            )
        whole = serialization.portrait_to_schema(portrait, rig)
        output, landmarks = self.rig_file.output, landmarks_of(portrait, whole, rig) if camera else None
        of_exr = (output.passes, output.compression, output.cryptomatte) if self.kind == "exr" else ([],)
        timeline = Timeline(self.rig_file, motion, whole.parameters) if motion else None

        def picture(number: int) -> Picture:
            in_shot = InShot(camera.at(number, with_around="Vector" in of_exr[0]), landmarks) if camera else None
            path = self.folder / f"frame_{number:04}.{self.kind}"
            still = replace(Picture(path, portrait, whole, frames[number - 1], output.size, *of_exr), in_shot=in_shot)
            return replace(still, motion=timeline.of_frame(number)) if timeline else still

        return picture


def read_portrait(rig_file: schema.RigFile, rig: Rig) -> Portrait:
    """The file's portrait, or a new one from its seed. Raises StyleRigError for one of other weights."""
    from backend.server import schema, serialization

    asked = rig_file.portrait
    if isinstance(asked, schema.Portrait):
        return serialization.portrait_from_schema(asked, rig)
    return rig.new_portrait(seed=asked.seed, truncation=asked.truncation)


@dataclass
class SampleJob(Job):
    """Portraits of seeds: person_SEED.png; with ``interpolate`` those between them, frame_NNNN.png."""

    folder: Path
    seeds: list[int]
    model: str | None
    truncation: float
    interpolate: int | None  # frames from one seed to the next
    share: list[str]  # components that all take from ``source``
    source: int  # a seed
    attributes: dict[str, float]
    directions: Path | None  # of further attributes
    size: int | None

    def __post_init__(self) -> None:
        if self.interpolate is not None and (self.interpolate < 1 or len(self.seeds) < 2):
            raise StyleRigError(
                "There is nothing to interpolate.", "Give two seeds or more, and --interpolate 1 or more.", code="bad_option"
            )
        self.numbers = list(range(1, len(self.steps()) + 1))

    def steps(self) -> list[tuple[str, int, int, float]]:
        """File name, the seeds to go from and to, and how far: 0 to 1."""
        if self.interpolate is None:
            return [(f"person_{seed}", seed, seed, 0.0) for seed in self.seeds]
        ways = [(first, last, step / self.interpolate) for first, last in pairwise(self.seeds) for step in range(self.interpolate)]
        ways.append((self.seeds[-2], self.seeds[-1], 1.0))
        return [(f"frame_{number:04}", *way) for number, way in enumerate(ways, 1)]

    def rig(self, library: RigLibrary) -> Rig:
        return library.named(self.model)

    def opened(self, rig: Rig) -> Callable[[int], Picture]:
        from backend.server import serialization
        from models.editing.sliders import check_attributes
        from models.rigging.applications import between, taken_from

        directions = read_directions(self.directions, rig)
        person = functools.lru_cache(maxsize=2)(lambda seed: rig.new_portrait(seed, self.truncation))
        controls = replace(taken_from(person(self.source), self.share, rig.face), attributes=self.attributes)
        check_attributes(rig.directions_for(replace(person(self.source), directions=directions)), list(self.attributes))
        steps, asked = self.steps(), recipe.controls_to_schema(controls)

        def picture(number: int) -> Picture:
            name, first, last, way = steps[number - 1]
            drawn = person(first) if self.interpolate is None else between(rig, person(first), person(last), way)
            portrait = replace(drawn, directions=directions)
            whole = serialization.portrait_to_schema(portrait, rig)
            return Picture(self.folder / f"{name}.png", portrait, whole, asked, self.size, [])

        return picture


def read_directions(path: Path | None, rig: Rig) -> Directions | None:
    """The directions of a file for portraits of a rig. Raises StyleRigError where they do not fit."""
    from models.editing.directions import load_directions
    from models.editing.sliders import check_usable

    if path is None:
        return None
    found = load_directions(path, rig.generator)
    check_usable(found, path)
    return found
