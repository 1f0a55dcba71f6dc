"""Who reads the pictures: the project's judge, or any function that a person names.

Such a function takes pictures (N, H, W, 3) uint8, FFHQ crops over grey, and returns a dictionary of arrays. What it does not return is
not judged:

- ``landmarks`` (N, 68, 2) pixels, x right and y down, in the order of iBUG 300-W
- ``yaw`` and ``pitch`` (N,) degrees, positive to the face's left and down
- ``smile``, ``blink``, ``jaw`` (N,) 0–1
- ``light`` (N,) degrees, positive to the face's left, and ``harmonics`` (N, 9) of its luminance
- ``embedding`` (N, D) of who it is, compared by its cosine
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.colour import over_backdrop
from models.errors import StyleRigError
from models.evaluation.control.judge import load_judge
from models.evaluation.methods.method import EXPRESSIONS, light_azimuth, scalars
from models.face import load_face_model
from models.face.harmonics import luminance
from models.face.parameters import RigParameters, part_sizes
from models.io.images import to_uint8
from models.perception.face_regressor import Estimator
from models.rigging.folders import WEIGHTS
from models.rigging.rig import Rig, hash_files

READ = ("yaw", "pitch", *EXPRESSIONS, "light")
WIDTHS = {"landmarks": (68, 2), "harmonics": (9,), **dict.fromkeys(READ, ())}
BATCH = 16


@dataclass(eq=False)
class Seen:
    """What a judge sees in M pictures, on the processor; a name that it does not read is missing.

    Names as in the module's text, but landmarks (M, 68, 2) are NDC, y up.
    """

    values: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return name in self.values


@dataclass(eq=False)
class Judge:
    """A name, the hash of its file ("" where it has none) and the reading of pictures (M, 3, R, R) 0–1."""

    name: str
    file_hash: str
    read: Callable[[Tensor], Seen]

    def see(self, pictures: list[Tensor]) -> Seen:
        """What it sees in pictures (4, R, R), premultiplied."""
        shown = torch.stack([over_backdrop(each[:3], each[3:]).clamp(0, 1) for each in pictures])
        parts = [self.read(part) for part in shown.split(BATCH)]
        return Seen({name: np.concatenate([part[name] for part in parts]) for name in parts[0].values})

    def check_apart(self, metadata: Mapping[str, Any]) -> None:
        """Raise StyleRigError where a generator's file says that this network taught it."""
        if self.file_hash and metadata.get("taught by") == self.file_hash:
            raise StyleRigError(
                f"{self.name} had part in the training of a method and cannot judge it.",
                "Use the judge, the network of a rig training that takes no part in any.",
                code="bad_judge",
            )


def open_judge(name: str | None, rig: Rig, folder: Path | None = None) -> Judge:
    """The judge of a file, of module:function, or (None) the one beside the rig's weights in ``folder`` (None: those that ship).

    Raises StyleRigError for one that cannot judge.
    """
    if name and ":" in name and not Path(name).exists():
        return foreign_judge(name)
    path = Path(name) if name else (folder or WEIGHTS) / f"{rig.name}-judge.safetensors"
    return Judge(path.name, hash_files([path]), network_reader(load_judge(folder, path, rig)))


def network_reader(network: Estimator) -> Callable[[Tensor], Seen]:
    """A face regressor as a judge; its face model is the one of ours that has as many parameters."""
    known = [face for head in (None, "head-2") if part_sizes(face := load_face_model(head)) == network.sizes]
    if not known:
        raise StyleRigError("The judge reads a face model that is none of ours.", "Use a judge of a rig of ours.", code="bad_judge")
    names = known[0].expression_names

    @torch.no_grad()
    def read(pictures: Tensor) -> Seen:
        seen = network.predict(pictures)
        parameters = RigParameters.from_vector(seen.parameters.cpu(), known[0])
        values = {axis: value for axis, value in scalars(parameters, names).items() if axis in READ}
        values |= {"light": light_azimuth(parameters), "harmonics": luminance(parameters.light)}
        values |= {"landmarks": seen.landmarks.cpu(), "embedding": seen.embedding.cpu()}
        return Seen({axis: value.numpy() for axis, value in values.items()})

    return read


def foreign_judge(name: str) -> Judge:
    """The function that ``name``, as module:function, names. Raises StyleRigError where there is none."""
    module, _, function = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise bad_judge(name, f"it cannot be found ({error})") from error
    finally:
        sys.path.pop(0)
    return Judge(name, "", lambda pictures: checked(name, found(as_arrays(pictures)), pictures.shape))


def as_arrays(pictures: Tensor) -> np.ndarray:
    """(N, H, W, 3) uint8."""
    return np.stack([to_uint8(each) for each in pictures])


def checked(name: str, answer: Any, shape: tuple[int, ...]) -> Seen:
    """What a foreign judge answered for pictures of ``shape``; raises StyleRigError for what is no such answer."""
    if not isinstance(answer, dict):
        raise bad_judge(name, "it does not return a dictionary")
    values = {}
    for key, given in answer.items():
        value = np.asarray(given, dtype=np.float64)
        wanted = WIDTHS.get(key, value.shape[1:] if key == "embedding" and value.ndim == 2 else None)
        if value.shape != (shape[0], *(wanted or ())) or wanted is None or not np.isfinite(value).all():
            raise bad_judge(name, f"{key} is {value.shape} for {shape[0]} pictures, or has values that are not numbers")
        values[key] = value
    if "landmarks" in values:
        half = np.array([shape[3], shape[2]]) / 2
        values["landmarks"] = (values["landmarks"] / half - 1) * np.array([1, -1])
    return Seen(values)


def bad_judge(name: str, reason: str) -> StyleRigError:
    hint = "It takes pictures (N, H, W, 3) uint8 and returns a dictionary of arrays (docs/methods.md)."
    return StyleRigError(f"{name} cannot judge: {reason}.", hint, code="bad_judge")
