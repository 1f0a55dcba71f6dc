"""Generator files: which kind a file is, reading it, and writing our own.

Our own are safetensors whose header holds the configuration as JSON: float16 for the studio's
generators, float32 for what was converted, so that conversion changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.errors import StyleRigError
from models.generators.checkpoints.nvidia_state import KIND2, KIND3, read_stylegan2_state, read_stylegan3_state
from models.generators.checkpoints.nvidia_torch import is_nvidia, read_nvidia
from models.generators.checkpoints.pickles import (
    ModuleRecord,
    TensorRecord,
    is_torch_file,
    read_pickle,
    read_torch_file,
)
from models.generators.checkpoints.rosinality import KIND as ROSINALITY
from models.generators.checkpoints.rosinality import read_rosinality
from models.generators.checkpoints.states import (
    NVIDIA2,
    NVIDIA3,
    find_generator,
    generator_state,
    tensors_of,
    whole_network,
)
from models.generators.checkpoints.tensorflow import is_tensorflow, read_tensorflow
from models.generators.config import GeneratorConfig, ProGANConfig, StyleGAN1Config, StyleGAN2Config
from models.generators.disco import DiscoConfig
from models.generators.errors import ConfigError, bad_file
from models.generators.generator import Config, Generator
from models.generators.guided import GuidedConfig
from models.generators.stylegan3_config import StyleGAN3Config
from models.io.atomic_write import write_atomic
from models.io.foreign import START, what_it_is
from models.io.pickles import PickleError, UnknownName
from models.io.regular_file import UnreadableFile, open_regular

FORMAT = "stylerig-generator-1"
# "kind" in the header's configuration; the unguided studio generator's has none.
KINDS: dict[str | None, type[GeneratorConfig] | type[StyleGAN3Config]] = {None: GeneratorConfig, "guided": GuidedConfig, "disco": DiscoConfig, "stylegan2": StyleGAN2Config, "stylegan3": StyleGAN3Config,
         "stylegan1": StyleGAN1Config, "progan": ProGANConfig}  # fmt: skip
HALF = (None, "guided", "disco")  # kinds of ours, kept as float16 but for EXACT
EXACT = ("mapping.w_avg", "mapping.mean", "mapping.spread", "mapping.std")
LARGEST_FILE = 4 << 30  # an encoder's checkpoint with its optimiser has two or three
LARGEST_JSON = 1 << 20
LICENCES = {  # what NVIDIA's own models come under, by the beginning of the kind
    "ProGAN": "NVIDIA's own models: Creative Commons BY-NC 4.0, not for commercial use.",
    "StyleGAN 1": "NVIDIA's own models: Creative Commons BY-NC 4.0, not for commercial use.",
    "StyleGAN": "NVIDIA's own models: NVIDIA Source Code License, not for commercial use.",
}


def save_generator(generator: Generator, path: str | Path, metadata: dict[str, Any] | None = None) -> Path:
    """Write ``generator`` whole, in float16 (ours; means and deviations as float32) or float32; returns the path.

    The header holds its configuration and ``metadata`` (None: the generator's own).
    """
    kind = next(name for name, config in KINDS.items() if type(generator.config) is config)
    state = {}
    for name, value in generator.state_dict().items():
        exact = kind not in HALF or name in EXACT
        state[name] = value.detach().to("cpu", torch.float32 if exact else torch.float16).contiguous()
        if not all_finite(state[name]):
            raise bad_file(path, f"{name} has values that are not numbers or too large")
    config = generator.config.to_json() | ({} if kind is None else {"kind": kind})
    header = {"format": FORMAT, "config": json.dumps(config), "metadata": json.dumps(generator.metadata if metadata is None else metadata)}
    return write_atomic(path, save(state, header))


def load_generator(path: str | Path, precision: str = "float32", device: str | torch.device = "cpu") -> Generator:
    """Read a generator; it comes in evaluation mode, without gradients.

    The file is one that ``save_generator`` wrote, a pickle of NVIDIA's stylegan2-ada-pytorch or
    stylegan3 repository, a TensorFlow pickle of NVIDIA's ProGAN, StyleGAN or StyleGAN2, or a checkpoint with a
    generator of rosinality's stylegan2-pytorch or of NVIDIA's in it (docs/generators.md lists them); it is told
    by its content, and no code in it is run.
    Raises StyleRigError when the file is missing, damaged, of another kind, does not fit
    its own configuration, or holds a network that cannot be run here.
    """
    path = Path(path)
    try:
        config, state, metadata = read_file(path)
        generator = make_generator(path, config, state)
    except ConfigError as error:
        raise bad_file(path, error.reason) from error
    generator.metadata = metadata
    return generator.eval().requires_grad_(False).to(device).set_precision(precision)


def read_file(path: Path) -> tuple[Config, dict[str, Tensor], dict[str, Any]]:
    """Configuration, state and metadata of a file of any kind that is known."""
    if not os.path.exists(path):  # pathlib's own raises where a folder may not be searched
        raise StyleRigError(f"There is no generator at {path}.", "Choose a generator file that exists.", code="missing_generator")
    try:
        with open_regular(path, LARGEST_FILE) as file:
            start = file.read(START)
            if is_pickle(start):
                file.seek(0)
                return read_pickled(path, file.read())
    except UnreadableFile as error:
        unpacked = path.is_dir() and any((place / "data.pkl").is_file() for place in (path, *path.glob("*/")))
        hint = "Choose the .pt file itself, not what was unpacked from it." if unpacked else ""
        raise bad_file(path, error.reason, hint) from error
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error
    foreign = what_it_is(start)
    if foreign is not None:
        raise bad_file(path, f"it is {foreign.what}", foreign.hint)
    if start[8:9] != b"{":
        raise bad_file(path, "it begins like no generator's file")
    return read_safetensors(path)


def is_pickle(start: bytes) -> bool:
    """Told from safetensors, which may begin with the same two bytes but go on with a header."""
    is_safetensors = start[4:9] == b"\0\0\0\0{"
    return is_torch_file(start) or (start[:1] == b"\x80" and not is_safetensors)


def read_pickled(path: Path, data: bytes) -> tuple[Config, dict[str, Tensor], dict[str, Any]]:
    """Configuration, state and metadata of a checkpoint of NVIDIA's or of torch's."""
    try:
        root = read_torch_file(data) if is_torch_file(data[:16]) else read_pickle(data)
        kind, config, state, notes = read_checkpoint(root, len(data))
    except StyleRigError:
        raise
    except UnknownName as error:
        hint = "A file's own code is never run. Save the generator's state_dict() alone, and choose that."
        raise bad_file(path, str(error), hint) from error
    except PickleError as error:
        raise bad_file(path, str(error), getattr(error, "hint", "")) from error
    except Exception as error:  # a hostile file may raise anything
        raise bad_file(path, f"it is damaged ({type(error).__name__})") from error
    return config, state, source_of(path, kind, hashlib.sha256(data).hexdigest(), notes)


def source_of(path: Path, kind: str, digest: str, notes: list[str]) -> dict[str, Any]:
    """The metadata of what came from another program's file."""
    licence = next(text for family, text in LICENCES.items() if kind.startswith(family))
    licence = f"That of the source, which the file does not name. {licence}"
    return {"source": path.name, "kind": kind, "sha256": digest, "licence": licence} | ({"notes": notes} if notes else {})


def read_checkpoint(root: Any, most_numbers: int) -> tuple[str, Config, dict[str, Tensor], list[str]]:
    """What kind of checkpoint ``root`` is, its configuration, its state, and what the user should know of it."""
    config: Config
    if is_tensorflow(root):
        family, config, state = read_tensorflow(root, most_numbers)
        return f"{family}, NVIDIA's TensorFlow pickle", config, state, []
    found = find_generator(root)
    if isinstance(found, ModuleRecord):
        if is_nvidia(found):
            family, config, state = read_nvidia(found, most_numbers)
            return f"{family}, NVIDIA's PyTorch pickle", config, state, []
        found = whole_network(found)
    average = root.get("latent_avg", found.get("latent_avg")) if isinstance(root, dict) else None
    family, theirs = generator_state({name: value for name, value in found.items() if name != "latent_avg"}, most_numbers)
    if family == NVIDIA2:
        return KIND2, *read_stylegan2_state(theirs)
    if family == NVIDIA3:
        return KIND3, *read_stylegan3_state(theirs)
    return ROSINALITY, *read_rosinality(theirs, tensor_or_none(average, most_numbers))


def tensor_or_none(value: Any, most_numbers: int) -> Tensor | None:
    is_tensor = isinstance(value, (TensorRecord, Tensor))
    return tensors_of({"": value}, most_numbers)[""] if is_tensor else None


def read_safetensors(path: Path) -> tuple[Config, dict[str, Tensor], dict[str, Any]]:
    """Configuration, state and metadata of a file that ``save_generator`` wrote, or of another's numbers."""
    header, state = read_tensors(path)
    if header.get("format") != FORMAT:
        return read_others_tensors(path, state)
    values = parse_json(path, header, "config")
    kind = values.pop("kind", None) if isinstance(values, dict) else None
    if not isinstance(kind, str | None) or kind not in KINDS:
        raise bad_file(path, "its configuration is of an unknown kind")
    return KINDS[kind].from_json(values), state, parse_json(path, header, "metadata")


def read_others_tensors(path: Path, state: dict[str, Tensor]) -> tuple[Config, dict[str, Tensor], dict[str, Any]]:
    numbers = sum(value.numel() for value in state.values())
    try:
        kind, config, state, notes = read_checkpoint(state, numbers)
    except PickleError as error:
        raise bad_file(path, f"it is a safetensors file of another kind: {error}", getattr(error, "hint", "")) from error
    with path.open("rb") as file:
        return config, state, source_of(path, kind, hashlib.file_digest(file, "sha256").hexdigest(), notes)


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a safetensors file, the tensors as float32."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            return header, {name: file.get_tensor(name).float() for name in file.keys()}
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise bad_file(path, f"it ends early or is damaged ({error or type(error).__name__})") from error


def parse_json(path: Path, header: dict[str, str], name: str) -> Any:
    if len(header.get(name, "")) > LARGEST_JSON:
        raise bad_file(path, f"its header's {name} is longer than any generator's")
    try:
        return json.loads(header.get(name, ""))
    except (ValueError, RecursionError) as error:
        raise bad_file(path, f"its header's {name} is not JSON") from error


def make_generator(path: Path, config: Config, state: dict[str, Tensor]) -> Generator:
    """The network with its state; a small file cannot ask for a large network."""
    numbers = sum(value.numel() for value in state.values())
    if config.size > 2 * numbers + 1_000_000:
        raise bad_file(path, f"it has {numbers} numbers, but its configuration asks for {config.size}")
    generator = Generator(config)
    check_state(path, generator.state_dict(), state)
    generator.load_state_dict(state)
    return generator


def check_state(path: Path, expected: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """Same names, same shapes, only numbers."""
    if missing := sorted(set(expected) - set(state)):
        raise bad_file(path, f"{missing[0]} is missing ({len(missing)} in all)")
    if unknown := sorted(set(state) - set(expected)):
        raise bad_file(path, f"{unknown[0][:80]!r} does not belong to it ({len(unknown)} in all)")
    for name, value in state.items():
        if value.shape != expected[name].shape:
            shapes = f"{tuple(value.shape)}, expected {tuple(expected[name].shape)}"
            raise bad_file(path, f"{name} has the shape {shapes}")
        if not all_finite(value):
            raise bad_file(path, f"{name} has values that are not numbers")


def all_finite(value: Tensor) -> bool:
    """Whether a tensor of floats holds only finite numbers, in one pass over it: a NaN is its own smallest and largest number."""
    return not value.numel() or bool(torch.isfinite(torch.stack(value.aminmax())).all())
