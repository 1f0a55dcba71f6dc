"""Directions in a generator's latent space, their file, and moving a code along them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from models.editing.errors import bad_directions
from models.editing.layers import style_layers, ws_places
from models.generators import Generator, progan
from models.generators.stylegan2 import normalize_2nd_moment
from models.io.atomic_write import write_atomic
from models.io.regular_file import UnreadableFile, read_regular

FORMAT = "directions-1"
LARGEST_FILE = 64 << 20  # 4096 directions of the widest w
UNIT = 1e-3  # how far a row's length may be from 1
Name = Annotated[str, Field(min_length=1, max_length=64)]
Amount = Annotated[float, Field(ge=-1000, le=1000)]
Layers = Annotated[tuple[Annotated[int, Field(ge=0, le=4095)], ...], Field(min_length=1)]
LATER = ("row_layers", "units")  # entries that older readers do not know: written only where they say something


class Header(BaseModel):
    """What a file says of its directions.

    ``generator`` is the hash of the weights that they belong to, ``layers`` are those that they move, ``row_layers`` those of
    each where they differ, ``ranges`` how far each may sensibly go, ``units`` what an amount of 1 is in w where it is not 1,
    ``conditions`` what was projected out of all of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal["directions-1"] = "directions-1"
    kind: Literal["sefa", "interfacegan", "attributes"]
    space: Literal["w", "z"] = "w"
    generator: str = Field(pattern="^[0-9a-f]{64}$")
    layers: Layers
    row_layers: tuple[Layers, ...] = ()
    names: tuple[Name, ...]
    ranges: tuple[tuple[Amount, Amount], ...]
    units: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = ()
    conditions: tuple[Name, ...] = ()

    @property
    def each_layers(self) -> tuple[tuple[int, ...], ...]:
        """The layers that each direction moves."""
        return self.row_layers or (self.layers,) * len(self.names)


@dataclass(frozen=True, eq=False)
class Directions:
    """``rows`` (count, D) of length 1 in float32, and ``eigenvalues`` (count,), descending, where SeFa found them."""

    header: Header
    rows: Tensor
    eigenvalues: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def steps(self) -> Tensor:
        """What an amount of 1 adds to w (count, D)."""
        return self.rows * torch.tensor(self.header.units)[:, None] if self.header.units else self.rows


def generator_hash(generator: Generator) -> str:
    """SHA-256 over names and values of the weights: the same whatever file they came from, and on every device."""
    digest = hashlib.sha256()
    for name, value in sorted(generator.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(memoryview(value.detach().cpu().contiguous().numpy()).cast("B") if value.numel() else b"")
    return digest.hexdigest()


def save_directions(directions: Directions, path: str | Path) -> Path:
    """Write a safetensors file; raises StyleRigError where it cannot be written."""
    tensors = {"directions": directions.rows.float().cpu().contiguous()}
    if directions.eigenvalues is not None:
        tensors["eigenvalues"] = directions.eigenvalues.float().cpu().contiguous()
    header = directions.header.model_dump()
    header = {name: value for name, value in header.items() if value or name not in LATER}
    # One entry only: several are written in an order that changes, and with it the file's hash.
    return write_atomic(path, save(tensors, {"stylerig": json.dumps(header)}))


def load_directions(path: str | Path, generator: Generator | None = None) -> Directions:
    """Read a file that ``save_directions`` wrote, on the processor.

    Raises StyleRigError when it is missing, damaged, not finite, or, where ``generator`` is given, belongs to another.
    """
    try:
        data = read_regular(path, LARGEST_FILE)
    except UnreadableFile as error:
        raise bad_directions(path, error.reason, error.hint) from error
    return read_directions(data, path, generator)


def read_directions(data: bytes, name: str | Path, generator: Generator | None = None) -> Directions:
    """The same of a file's bytes; errors call it ``name``."""
    text, tensors = read_tensors(data, name)
    try:
        header = Header.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise bad_directions(name, f"its header is wrong ({f'{place}: ' if place else ''}{first['msg']})") from error
    directions = Directions(header, tensors.get("directions", torch.empty(0)), tensors.get("eigenvalues"))
    check_directions(directions, name, generator)
    return directions


def check_directions(directions: Directions, name: str | Path, generator: Generator | None = None) -> None:
    """Raise StyleRigError, which calls them ``name``, for directions that cannot be used, or not with ``generator``."""
    if reason := problem(directions):
        raise bad_directions(name, reason)
    if generator is not None:
        check_generator(name, directions, generator)


def read_tensors(data: bytes, name: str | Path) -> tuple[str, dict[str, Tensor]]:
    """The header's text and the tensors of a safetensors file's bytes."""
    try:
        tensors = load(data)
        size = int.from_bytes(data[:8], "little")
        text = json.loads(data[8 : 8 + size]).get("__metadata__", {}).get("stylerig", "")
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise bad_directions(name, f"it is no safetensors file, or damaged ({error or type(error).__name__})") from error
    return text, tensors


def problem(directions: Directions) -> str:
    """What is wrong with numbers and shapes, or ""."""
    rows, values, header = directions.rows, directions.eigenvalues, directions.header
    if rows.dtype != torch.float32 or rows.dim() != 2 or 0 in rows.shape:
        return "it has no table of directions (count, w_dim) in float32"
    if values is not None and (values.dtype != torch.float32 or values.shape != rows.shape[:1]):
        return f"its eigenvalues are not {len(rows)} numbers in float32, one for each direction"
    if (values is None) != (header.kind != "sefa"):
        return "eigenvalues belong to SeFa's directions, and only to those"
    if not torch.isfinite(rows).all() or (values is not None and not torch.isfinite(values).all()):
        return "it has values that are not numbers"
    if ((rows.double().norm(dim=1) - 1).abs() > UNIT).any():
        return "not all of its directions have the length 1"
    if len(header.names) != len(rows) or len(header.ranges) != len(rows):
        return f"it has {len(rows)} directions, but {len(header.names)} names and {len(header.ranges)} ranges"
    if any(low >= high for low, high in header.ranges):
        return "a range ends before it begins"
    if any(list(layers) != sorted(set(layers)) for layers in (header.layers, *header.row_layers)):
        return "its layers are not ascending"
    if any(extra and len(extra) != len(rows) for extra in (header.row_layers, header.units)):
        return f"it has {len(rows)} directions, but layers or units for another number"
    if any(set(layers) - set(header.layers) for layers in header.row_layers):
        return "a direction moves a layer that the file does not name"
    return ""


def check_generator(path: str | Path, directions: Directions, generator: Generator) -> None:
    """Raise StyleRigError unless the directions were found in this generator."""
    width = generator.w_dim if directions.header.space == "w" else generator.z_dim
    if directions.rows.shape[1] != width:
        raise bad_directions(
            path, f"they have {directions.rows.shape[1]} numbers each, this generator's {directions.header.space} {width}", OTHER
        )
    if directions.header.generator != generator_hash(generator):
        raise bad_directions(path, "they belong to another generator", OTHER)
    count = len(style_layers(generator.synthesis))
    if directions.header.layers[-1] >= count:
        raise bad_directions(path, f"they move layer {directions.header.layers[-1]}, but this generator has {count}")


OTHER = "Choose the generator that they were made for, or make directions for this one."


def move(generator: Generator, w: Tensor, directions: Directions, amounts: Tensor | Sequence[float]) -> Tensor:
    """w (N, num_ws, w_dim) moved by ``amounts`` ((N or 1, count), or (count,) for all) on the directions' layers, after truncation.

    ProGAN's w is normalised, and is again afterwards. Raises ValueError for directions in Z, where there are no layers.
    """
    if directions.header.space != "w":
        raise ValueError("directions in Z move z, before the mapping network")
    amounts = torch.as_tensor(amounts, dtype=w.dtype, device=w.device).reshape(-1, len(directions))
    where = torch.stack([places_of(generator, layers) for layers in directions.header.each_layers]).to(w)
    moved = w + torch.einsum("nc,cl,cd->nld", amounts, where, directions.steps.to(w))
    if isinstance(generator.synthesis, progan.SynthesisNetwork):
        return normalize_2nd_moment(moved[:, 0])[:, None]
    return moved


def places_of(generator: Generator, layers: Sequence[int]) -> Tensor:
    """Which of w's places (num_ws,) an edit of ``layers`` moves: 1 there, else 0."""
    where = torch.zeros(generator.num_ws)
    where[ws_places(generator.synthesis, layers, generator.num_ws)] = 1.0
    return where
