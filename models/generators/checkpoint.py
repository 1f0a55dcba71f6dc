"""Generator files: float16 safetensors whose header holds the configuration as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.errors import StyleRigError
from models.files import write_atomic
from models.generators.config import GeneratorConfig
from models.generators.generator import Generator

FORMAT = "stylerig-generator-1"


def save_generator(generator: Generator, path: str | Path, metadata: dict[str, Any]) -> Path:
    """Write ``generator`` as float16 (the average of w as float32); returns the path."""
    state = {}
    for name, value in generator.state_dict().items():
        dtype = torch.float32 if name == "mapping.w_avg" else torch.float16
        state[name] = value.detach().to("cpu", dtype).contiguous()
        if not torch.isfinite(state[name]).all():
            raise bad_file(path, f"{name} has values that are not numbers or too large")
    header = {
        "format": FORMAT,
        "config": json.dumps(generator.config.to_json()),
        "metadata": json.dumps(metadata),
    }
    return write_atomic(path, save(state, header))


def load_generator(path: str | Path, precision: str = "float32", device: str = "cpu") -> Generator:
    """Read a generator that ``Generator.save`` wrote; it comes in evaluation mode, without gradients.

    Raises StyleRigError when the file is missing, damaged, of another kind, or does not fit
    its own configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise StyleRigError(
            f"There is no generator at {path}.", "Choose a generator file that exists.", code="missing_generator"
        )
    header, state = read_tensors(path)
    if header.get("format") != FORMAT:
        raise bad_file(path, "it is a safetensors file of another kind")
    config = GeneratorConfig.from_json(parse_json(path, header, "config"))
    generator = Generator(config)
    check_state(path, generator.state_dict(), state)
    generator.load_state_dict(state)
    generator.metadata = parse_json(path, header, "metadata")
    return generator.eval().requires_grad_(False).to(device).set_precision(precision)


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


def check_state(path: Path, expected: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """Same names, same shapes, only numbers."""
    if missing := sorted(set(expected) - set(state)):
        raise bad_file(path, f"{missing[0]} is missing ({len(missing)} in all)")
    if unknown := sorted(set(state) - set(expected)):
        raise bad_file(path, f"{unknown[0]} does not belong to it ({len(unknown)} in all)")
    for name, value in state.items():
        if value.shape != expected[name].shape:
            shapes = f"{tuple(value.shape)}, expected {tuple(expected[name].shape)}"
            raise bad_file(path, f"{name} has the shape {shapes}")
        if not torch.isfinite(value).all():
            raise bad_file(path, f"{name} has values that are not numbers")


def bad_file(path: str | Path, reason: str) -> StyleRigError:
    return StyleRigError(
        f"{path} is not a generator that can be used: {reason}.",
        "Choose another file, or copy or train it again.",
        code="bad_generator",
    )
