"""Generator files: which kind a file is, reading it, and writing our own.

Our own are safetensors whose header holds the configuration as JSON: float16 for the studio
generator, float32 for what was converted, so that conversion changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.errors import StyleRigError
from models.generators.config import GeneratorConfig, ProGANConfig, StyleGAN1Config, StyleGAN2Config
from models.generators.errors import ConfigError, bad_file
from models.generators.generator import Config, Generator
from models.generators.nvidia import read_nvidia
from models.generators.pickles import is_torch_file, read_pickle, read_torch_file
from models.generators.rosinality import KIND as ROSINALITY
from models.generators.rosinality import read_rosinality
from models.generators.stylegan3_config import StyleGAN3Config
from models.generators.tensorflow import is_tensorflow, read_tensorflow
from models.io.atomic_write import write_atomic
from models.io.pickles import PickleError

FORMAT = "stylerig-generator-1"
# "kind" in the header's configuration; the studio generator's has none.
KINDS = {None: GeneratorConfig, "stylegan2": StyleGAN2Config, "stylegan3": StyleGAN3Config,
         "stylegan1": StyleGAN1Config, "progan": ProGANConfig}  # fmt: skip
EXACT = ("mapping.w_avg", "mapping.mean", "mapping.spread")  # stay float32 in the studio generator's file
LARGEST_PICKLE = 2 << 30
LICENCES = {  # what NVIDIA's own models come under, by the beginning of the kind
    "ProGAN": "NVIDIA's own models: Creative Commons BY-NC 4.0, not for commercial use.",
    "StyleGAN 1": "NVIDIA's own models: Creative Commons BY-NC 4.0, not for commercial use.",
    "StyleGAN": "NVIDIA's own models: NVIDIA Source Code License, not for commercial use.",
}


def save_generator(generator: Generator, path: str | Path, metadata: dict[str, Any]) -> Path:
    """Write ``generator`` whole, in float16 (studio; means and spreads as float32) or float32; returns the path."""
    kind = next(name for name, config in KINDS.items() if type(generator.config) is config)
    state = {}
    for name, value in generator.state_dict().items():
        exact = kind is not None or name in EXACT
        state[name] = value.detach().to("cpu", torch.float32 if exact else torch.float16).contiguous()
        if not torch.isfinite(state[name]).all():
            raise bad_file(path, f"{name} has values that are not numbers or too large")
    config = generator.config.to_json() | ({} if kind is None else {"kind": kind})
    header = {"format": FORMAT, "config": json.dumps(config), "metadata": json.dumps(metadata)}
    return write_atomic(path, save(state, header))


def load_generator(path: str | Path, precision: str = "float32", device: str = "cpu") -> Generator:
    """Read a generator; it comes in evaluation mode, without gradients.

    The file is one that ``Generator.save`` wrote, a pickle of NVIDIA's stylegan2-ada-pytorch or
    stylegan3 repository, a TensorFlow pickle of NVIDIA's ProGAN, StyleGAN or StyleGAN2, or a checkpoint of rosinality's
    stylegan2-pytorch; it is told by its content, and no code in it is run.
    Raises StyleRigError when the file is missing, damaged, of another kind, does not fit
    its own configuration, or holds a network that cannot be run here.
    """
    path = Path(path)
    if not path.is_file():
        raise StyleRigError(
            f"There is no generator at {path}.", "Choose a generator file that exists.", code="missing_generator"
        )
    try:
        config, state, metadata = read_pickled(path) if is_pickle(path) else read_own(path)
        generator = make_generator(path, config, state)
    except ConfigError as error:
        raise bad_file(path, error.reason) from error
    generator.metadata = metadata
    return generator.eval().requires_grad_(False).to(device).set_precision(precision)


def is_pickle(path: Path) -> bool:
    """Told from safetensors, which may begin with the same two bytes but go on with a header."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error
    is_safetensors = start[4:9] == b"\0\0\0\0{"
    return is_torch_file(start) or (start[:1] == b"\x80" and not is_safetensors)


def read_pickled(path: Path) -> tuple[Config, dict[str, Tensor], dict[str, Any]]:
    """Configuration, state and metadata of a checkpoint of NVIDIA's or rosinality's."""
    try:
        size = path.stat().st_size
        if size > LARGEST_PICKLE:
            raise PickleError(f"it has {size} bytes, more than any StyleGAN")
        data = path.read_bytes()
        kind, config, state = parse_pickled(data)
    except StyleRigError:
        raise
    except PickleError as error:
        raise bad_file(path, str(error)) from error
    except Exception as error:  # a hostile file may raise anything
        raise bad_file(path, f"it is damaged ({type(error).__name__})") from error
    licence = next(text for family, text in LICENCES.items() if kind.startswith(family))
    licence = f"That of the source, which the file does not name. {licence}"
    digest = hashlib.sha256(data).hexdigest()
    return config, state, {"source": path.name, "kind": kind, "sha256": digest, "licence": licence}


def parse_pickled(data: bytes) -> tuple[str, Config, dict[str, Tensor]]:
    """What kind of checkpoint ``data`` is, its configuration and its state."""
    if is_torch_file(data[:16]):
        return ROSINALITY, *read_rosinality(read_torch_file(data), len(data))
    root = read_pickle(data)
    if is_tensorflow(root):
        family, config, state = read_tensorflow(root, len(data))
        return f"{family}, NVIDIA's TensorFlow pickle", config, state
    family, config, state = read_nvidia(root, len(data))
    return f"{family}, NVIDIA's PyTorch pickle", config, state


def read_own(path: Path) -> tuple[Config, dict[str, Tensor], dict[str, Any]]:
    """Configuration, state and metadata of a file that ``save_generator`` wrote."""
    header, state = read_tensors(path)
    if header.get("format") != FORMAT:
        raise bad_file(path, "it is a safetensors file of another kind")
    values = parse_json(path, header, "config")
    kind = values.pop("kind", None) if isinstance(values, dict) else None
    if not isinstance(kind, str | None) or kind not in KINDS:
        raise bad_file(path, "its configuration is of an unknown kind")
    return KINDS[kind].from_json(values), state, parse_json(path, header, "metadata")


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a safetensors file, the tensors as float32."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            return header, {name: file.get_tensor(name).float() for name in file.keys()}
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise bad_file(path, str(error) or type(error).__name__) from error


def parse_json(path: Path, header: dict[str, str], name: str) -> Any:
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
        if not torch.isfinite(value).all():
            raise bad_file(path, f"{name} has values that are not numbers")
