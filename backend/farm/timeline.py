"""What a rig file says of any time: what it knows, and between what it knows the mixture of both."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.files import recipe
from backend.protocol import exposure
from backend.server import schema

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SAME_TIME = 1e-5  # frames
DISTANCE = 120.0  # cm, of a camera that nobody has put anywhere


@dataclass(frozen=True)
class State:
    """What is asked for at a time."""

    time: float  # frames of the file, which begin with 1
    controls: schema.Controls
    sight: schema.Sight | None


class Timeline:
    """A rig file with motion: what its shutter sees of each frame."""

    def __init__(self, rig_file: schema.RigFile, motion: schema.Motion, own: schema.Parameters):
        """``own``: what controls leave to the portrait."""
        self.motion, self.own = motion, own
        sights = rig_file.camera.sights if rig_file.camera else [None] * len(rig_file.frames)
        frames = zip(rig_file.frames, sights, strict=True)
        states = [State(number, controls, sight) for number, (controls, sight) in enumerate(frames, 1)]
        for number, each in enumerate(motion.moments, 1):
            states += [State(number + moment.time, moment.controls, moment.sight) for moment in each]
        self.states = sorted(states, key=lambda state: state.time)
        self.times = [state.time for state in self.states]

    def of_frame(self, number: int) -> schema.Motion | None:
        """The motion with the moments of one frame alone: when portraits are drawn, and with what. None without blur."""
        motion = self.motion
        times = exposure.offsets(motion.samples, motion.shutter, motion.position, motion.curve)
        states = [self.at(number + time) for time in times]
        moments = [schema.Moment(time=time, controls=one.controls, sight=one.sight) for time, one in zip(times, states, strict=True)]
        return motion.model_copy(update={"moments": [moments]}) if moments else None

    def at(self, time: float) -> State:
        """The state at a time; before the first and after the last one that is known nothing moves."""
        after = min(bisect.bisect_left(self.times, time), len(self.times) - 1)
        before = max(after - 1, 0)
        nearest = self.states[min((before, after), key=lambda one: abs(self.times[one] - time))]
        if abs(nearest.time - time) < SAME_TIME or not self.times[before] < time < self.times[after]:
            return nearest
        way = (time - self.times[before]) / (self.times[after] - self.times[before])
        return between(self.states[before], self.states[after], way, self.own)


def between(one: State, other: State, way: float, own: schema.Parameters) -> State:
    """The state ``way`` (0 to 1) from one to the other."""
    controls, sight = one.controls, one.sight
    if controls != other.controls:
        controls = controls_between(controls, other.controls, way, own)
    if sight is not None and other.sight is not None and sight != other.sight:
        sight = sight_between(sight, other.sight, way)
    return State(mixed(one.time, other.time, way), controls, sight)


def controls_between(one: schema.Controls, other: schema.Controls, way: float, own: schema.Parameters) -> schema.Controls:
    """Controls mixed: what one of them leaves to the portrait is the portrait's ``own``, looks are those of the nearer one."""
    rotations = (one.rotation or own.rotation, other.rotation or own.rotation)
    turns = [math.remainder(last - first, 2 * math.pi) for first, last in zip(*rotations, strict=True)]
    distances = None if one.distance is other.distance is None else (one.distance or DISTANCE, other.distance or DISTANCE)
    return schema.Controls(
        rotation=[first + way * turn for first, turn in zip(rotations[0], turns, strict=True)],
        expression=mixed_names(one.expression, other.expression, way, own.expression),
        light=mixed(one.light or own.light, other.light or own.light, way),
        translation=mixed(one.translation or [0.0, 0.0], other.translation or [0.0, 0.0], way),
        scale=mixed(one.scale, other.scale, way),
        distance=distances and mixed(*distances, way),
        attributes=mixed_names(one.attributes, other.attributes, way, {}),
        looks=(one if way < 0.5 else other).looks,
    )


def sight_between(one: schema.Sight, other: schema.Sight, way: float) -> schema.Sight:
    """A camera and a head that turn and go straight from one place to the other."""
    first, last = (np.linalg.inv(np.reshape(seen.camera, (4, 4))) for seen in (one, other))
    return schema.Sight(
        camera=flat(np.linalg.inv(placed_between(first, last, way))),
        projection=mixed(one.projection, other.projection, way),
        near=mixed(one.near, other.near, way),
        head=flat(placed_between(np.reshape(one.head, (4, 4)), np.reshape(other.head, (4, 4)), way)),
        rig=flat(turned_between(np.reshape(one.rig, (3, 3)), np.reshape(other.rig, (3, 3)), way)),
    )


def placed_between(one: np.ndarray, other: np.ndarray, way: float) -> np.ndarray:
    """Matrices (4, 4) of a turn, a scale and a place, mixed."""
    result = mixed_array(one, other, way)
    result[:3, :3] = turned_between(one[:3, :3], other[:3, :3], way)
    return result


def turned_between(one: np.ndarray, other: np.ndarray, way: float) -> np.ndarray:
    """Matrices (3, 3) mixed so that what turns does not shrink meanwhile."""
    (turn, stretch), (last_turn, last_stretch) = parts_of(one), parts_of(other)
    turned, _ = parts_of(mixed_array(turn, last_turn, way))
    return turned @ mixed_array(stretch, last_stretch, way)


def parts_of(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The turn and the stretch (3, 3) whose product a matrix is."""
    left, lengths, right = np.linalg.svd(matrix)
    return left @ right, right.T @ np.diag(lengths) @ right


def mixed_array(one: ArrayLike, other: ArrayLike, way: float) -> np.ndarray:
    return np.asarray((1 - way) * np.asarray(one) + way * np.asarray(other))


def mixed(one: ArrayLike, other: ArrayLike, way: float) -> Any:
    """Numbers or lists of lists of them, mixed."""
    return mixed_array(one, other, way).tolist()


def mixed_names(one: Mapping[str, float], other: Mapping[str, float], way: float, own: Mapping[str, float]) -> dict[str, float]:
    """Numbers by name, mixed."""
    first, last = ({name: numbers.get(name, own.get(name, 0.0)) for name in {**one, **other}} for numbers in (one, other))
    return {name: mixed(first[name], last[name], way) for name in first}


def flat(matrix: np.ndarray) -> list[float]:
    return [float(number) for number in matrix.reshape(-1)]


def all_controls(rig_file: schema.RigFile, numbers: Sequence[int]) -> list[schema.Controls]:
    """What these frames ask for; with motion blur those around them count too, so then it is what all ask for."""
    if rig_file.motion is None:
        return [rig_file.frames[number - 1] for number in numbers]
    return rig_file.frames + [moment.controls for each in rig_file.motion.moments for moment in each]


def with_hashes(rig_file: schema.RigFile) -> schema.RigFile:
    """The same with looks by their hashes."""
    changed: dict[str, object] = {"frames": [recipe.with_hashes(controls) for controls in rig_file.frames]}
    if rig_file.motion is not None:
        moments = [
            [moment.model_copy(update={"controls": recipe.with_hashes(moment.controls)}) for moment in each]
            for each in rig_file.motion.moments
        ]
        changed["motion"] = rig_file.motion.model_copy(update={"moments": moments})
    return rig_file.model_copy(update=changed)
