"""What goes into a frame and what comes out: a portrait, controls, named arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.editing.directions import Directions
from models.editing.inversion.offsets import Offsets
from models.errors import StyleRigError
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.rigging.looks import MASKS, MOST_LOOKS, LookUse
from models.seeds import LARGEST_SEED

LARGEST_SCALE = 8.0
DISTANCES = (40.0, 600.0)  # cm from the camera to the middle of a whole head, as generators are taught
LARGEST_AMOUNT = 1000.0  # of an attribute


@dataclass(frozen=True, eq=False)
class Portrait:
    """A person: the latent code and what the rig reads from it. Nothing else is kept anywhere.

    ``directions`` are attributes of this portrait beside those that its model comes with, ``offsets`` what was added to the
    generator's weights for a person on a photograph.
    """

    model: str
    weights_hash: str
    seed: int
    truncation: float
    w: np.ndarray  # (L, 512) float32
    parameters: RigParameters  # N = 1
    directions: Directions | None = None
    offsets: Offsets | None = None


@dataclass(frozen=True, eq=False)
class Controls:
    """The artist's request; None, or a name that is missing, keeps the portrait's own value.

    ``rotation`` is (yaw, pitch, roll) in radians, ``expression`` weights 0–1 by name, ``light`` (9, 3)
    in the world frame. ``translation`` is in frame widths, x right and y up, from where the aligned
    portrait stands; ``scale`` is relative to it. ``distance`` is that of the camera in cm from the middle of a whole head;
    a generator of FFHQ crops has only its own. ``attributes`` are amounts by name, 0 the portrait's own; each goes as far as
    its direction says. ``looks`` are put on the finished portrait in their order.
    """

    rotation: tuple[float, float, float] | None = None
    expression: Mapping[str, float] = field(default_factory=dict)
    light: np.ndarray | None = None
    translation: tuple[float, float] | None = None
    scale: float = 1.0
    distance: float | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)
    looks: Sequence[LookUse] = ()

    def check(self, face: FaceModel) -> None:
        """Raise StyleRigError for names the face does not have and for values out of bounds."""
        unknown = sorted(set(self.expression) - set(face.expression_names))
        if unknown:
            raise bad_controls(f"the face has no expression called {', '.join(map(repr, unknown[:3]))}")
        check_numbers("expression", list(self.expression.values()), None, 100.0)
        check_numbers("attributes", list(self.attributes.values()), None, LARGEST_AMOUNT)
        if self.rotation is not None:
            check_numbers("rotation", self.rotation, (3,), 10.0)
        if self.light is not None:
            check_numbers("light", self.light, (9, 3), 1e4)
        if self.translation is not None:
            check_numbers("translation", self.translation, (2,), 100.0)
        check_numbers("scale", self.scale, (), LARGEST_SCALE)
        if self.scale < 1 / LARGEST_SCALE:
            raise bad_controls(f"the scale {self.scale} is not between {1 / LARGEST_SCALE} and {LARGEST_SCALE}")
        check_numbers("distance", self.distance or DISTANCES[0], (), DISTANCES[1])
        if self.distance is not None and self.distance < DISTANCES[0]:
            raise bad_controls(f"the distance {self.distance} is not between {DISTANCES[0]} and {DISTANCES[1]} cm")
        check_looks(self.looks)


class Frame(dict):
    """Name -> float32 array (H, W, C), row 0 at the top.

    ``placement`` is (yaw, pitch, roll, x, y, z): radians and cm, where the head stands in the world
    of the portrait camera in this frame.
    """

    def __init__(self, arrays: dict[str, np.ndarray], placement: tuple[float, ...]):
        super().__init__(arrays)
        self.placement = placement


def check_looks(looks: Sequence[LookUse]) -> None:
    if len(looks) > MOST_LOOKS:
        raise bad_controls(f"there are {len(looks)} looks, more than {MOST_LOOKS}")
    for use in looks:
        check_numbers(f"the look {use.name!r}", [use.strength, *(use.style or ())], None, LARGEST_AMOUNT)
        if not 0 <= use.strength <= 1:
            raise bad_controls(f"the strength {use.strength} of the look {use.name!r} is not between 0 and 1")
        if use.mask not in MASKS:
            raise bad_controls(f"the mask of the look {use.name!r} is one of {', '.join(MASKS)}, not {use.mask!r}")
        if use.seed is not None and not 0 <= use.seed <= LARGEST_SEED:
            raise bad_controls(f"the seed of the look {use.name!r} is out of bounds")


def check_numbers(name: str, values: Any, shape: tuple[int, ...] | None, largest: float) -> None:
    """Raise StyleRigError unless ``values`` are numbers of this shape within ±largest."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise bad_controls(f"{name} is not made of numbers") from error
    if shape is not None and array.shape != shape:
        raise bad_controls(f"{name} has the shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all() or (np.abs(array) > largest).any():
        raise bad_controls(f"{name} has values that are not finite or beyond ±{largest:g}")


def bad_controls(reason: str) -> StyleRigError:
    return StyleRigError(f"The controls cannot be used: {reason}.", "Correct the values.", code="bad_controls")
