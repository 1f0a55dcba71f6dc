"""Our head as one compressed file for each edition: displacements in whole steps of half a micrometre.

Neighbouring vertices move alike, so what is stored is how each differs from the one before, small numbers whose
upper bytes are mostly zero. Whole numbers make the file the same wherever it is built: the last bits of
floating-point results are not.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.errors import StyleRigError
from models.face.model import FaceModel
from models.io.atomic_write import write_atomic

FILES = {edition: Path(__file__).with_name(f"head-{edition}.npz") for edition in (1, 2)}
ALBEDO_FLOOR = 0.22  # of the mean, per channel: the hue of the darkest skin
STEP = {
    "mean": 2e-5,
    "identity": 5e-5,
    "expression": 5e-5,
    "albedo_mean": 2e-5,
    "albedo": 2e-5,
    "uv": 1e-6,
    "eye_centers": 2e-5,
    "identity_eye_centers": 2e-5,
}
MODES = ("identity", "expression", "albedo")  # (K, V, 3): stored as differences
NAMES = ("expression_names", "identity_names", "reflectance_names")
PARTS_STEP = 1e-4  # of masks and groups
HINT = "The file belongs to the project; restore it from the repository, or run python -m models.face.own_head.build."


@lru_cache(maxsize=2)
def load_head(edition: int = 1) -> FaceModel:
    """An edition of our head with its proxy; cached. StyleRigError when its file is missing or damaged."""
    return unpack(read(FILES[edition]))


def pack(face: FaceModel, coarser: Mapping[str, int] = MappingProxyType({})) -> dict[str, np.ndarray]:
    """A face model with a proxy as arrays of whole numbers, by name; ``coarser``: how many times as large the steps of some modes are."""
    arrays = {"names": np.frombuffer(json.dumps({"name": face.name} | {key: getattr(face, key) for key in NAMES}).encode(), np.uint8)}
    for prefix, mesh in (("full", face), ("proxy", face.proxy or face)):
        for key, step in STEP.items():
            values = pack_values(key, getattr(mesh, key).numpy(), step * coarser.get(key, 1))
            arrays |= {f"{prefix}.{key}{tail}": array for tail, array in values.items()}
        for key in ("quads", "uv_quads", "landmarks"):
            arrays[f"{prefix}.{key}"] = getattr(mesh, key).numpy().astype(np.uint16)
        for kind in ("masks", "groups"):
            for name, values in getattr(mesh, kind).items():
                arrays[f"{prefix}.{kind}.{name}"] = whole(values.numpy(), PARTS_STEP).astype(np.uint16)
    return arrays


def pack_values(key: str, values: np.ndarray, step: float) -> dict[str, np.ndarray]:
    """One entry by the tail of its name: "" the whole numbers, for modes as differences, ".steps" the modes' own steps."""
    if key not in MODES:
        return {"": whole(values, step).astype(np.int32)}
    largest = np.abs(values).max(axis=(1, 2)) / step
    steps = step * 2.0 ** np.ceil(np.log2(np.maximum(largest / 32000, 1)))
    return {"": differences(whole(values, steps[:, None, None]).astype(np.int16)), ".steps": steps}


def whole(values: np.ndarray, step: float | np.ndarray) -> np.ndarray:
    """Values as the nearest whole numbers of steps; ValueError when one is no number."""
    if not np.isfinite(values).all():
        raise ValueError("a face model with values that are not finite cannot be stored")
    return np.round(values.astype(float) / step).astype(np.int64)


def differences(modes: np.ndarray) -> np.ndarray:
    """How each vertex differs from the one before, modulo 2^16: lower and upper bytes (2, 3, K, V) of numbers 0, −1, 1, −2 → 0, 1, 2, 3."""
    lines = np.ascontiguousarray(modes.transpose(2, 0, 1))
    change = np.diff(lines, axis=2, prepend=np.zeros((*lines.shape[:2], 1), np.int16))
    folded = ((change << 1) ^ (change >> 15)).view(np.uint16)
    return np.stack((folded & 255, folded >> 8)).astype(np.uint8)


def from_differences(planes: np.ndarray) -> np.ndarray:
    """The inverse of ``differences``: (K, V, 3) int16."""
    folded = planes[0] | (planes[1].astype(np.uint16) << 8)
    change = ((folded >> 1) ^ -(folded & 1)).view(np.int16)
    return np.cumsum(change, axis=2, dtype=np.int16).transpose(1, 2, 0)


def unpack(arrays: dict[str, np.ndarray]) -> FaceModel:
    """The face model, with its proxy, of ``pack``'s arrays."""
    names = json.loads(arrays["names"].tobytes())
    full, proxy = (unpack_mesh(arrays, prefix, names) for prefix in ("full", "proxy"))
    full.proxy = proxy
    return full


def unpack_mesh(arrays: dict[str, np.ndarray], prefix: str, names: dict) -> FaceModel:
    """One of the two meshes."""
    values = {key: unpack_values(arrays, f"{prefix}.{key}", step) for key, step in STEP.items()}
    index = {key: torch.from_numpy(arrays[f"{prefix}.{key}"].astype(np.int64)) for key in ("quads", "uv_quads", "landmarks")}
    parts: dict[str, dict[str, Tensor]] = {
        kind: {key.rpartition(".")[2]: as_floats(array, PARTS_STEP) for key, array in arrays.items() if key.startswith(f"{prefix}.{kind}.")}
        for kind in ("masks", "groups")
    }
    entries: dict[str, Any] = {**values, **index, **parts, **names}
    return FaceModel(
        **entries,
        triangles=split_quads(index["quads"]),
        uv_triangles=split_quads(index["uv_quads"]),
        albedo_floor=ALBEDO_FLOOR,
        scales={"reflectance" if key == "albedo" else key: rms(values[key]) for key in MODES},
    )


def unpack_values(arrays: dict[str, np.ndarray], key: str, step: float) -> Tensor:
    """One entry as float32."""
    steps = arrays.get(f"{key}.steps")
    if steps is None:
        return as_floats(arrays[key], step)
    return torch.from_numpy(np.multiply(from_differences(arrays[key]), steps.astype(np.float32)[:, None, None], order="C"))


def as_floats(array: np.ndarray, step: float) -> Tensor:
    """Whole numbers of steps as float32."""
    return torch.from_numpy((array * step).astype(np.float32))


def split_quads(quads: Tensor) -> Tensor:
    """Triangles (2 Q, 3) of quads (Q, 4)."""
    return torch.from_numpy(split(quads.numpy()))


def split(quads: np.ndarray) -> np.ndarray:
    """Each quad (Q, 4) as two triangles (2Q, 3)."""
    return np.ascontiguousarray(np.concatenate((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]])))


def rms(modes: Tensor) -> Tensor:
    """Root mean square change (K,) per unit of each mode (K, V, 3)."""
    return modes.square().sum(dim=2).mean(dim=1).sqrt()


def fingerprint(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of a packed head's content, however it was compressed."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()


def write(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Store a packed head."""

    def save(temporary: Path) -> None:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]  # no entry is called allow_pickle

    write_atomic(path, save)


def read(path: Path) -> dict[str, np.ndarray]:
    """A packed head; StyleRigError names what cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        raise StyleRigError(f"Our head cannot be read: {path}: {error}", HINT) from error
