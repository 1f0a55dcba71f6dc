"""Weight files of the rig's networks: float16 safetensors with a JSON header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from models.errors import StyleRigError
from models.io.atomic_write import write_atomic

Network = TypeVar("Network", bound=nn.Module)


def save_network(network: nn.Module, path: Path, kind: str, header: dict[str, Any]) -> Path:
    """Write parameters as float16 and buffers (statistics) as float32; ``header`` must be JSON."""
    parameters = {name for name, _ in network.named_parameters()}
    state = {}
    for name, value in network.state_dict().items():
        dtype = torch.float16 if name in parameters else value.dtype
        state[name] = value.detach().to("cpu", dtype).contiguous()
    # One entry only: several are written in an order that changes, and with it the file's hash.
    text = {"stylerig": json.dumps({"format": f"{kind}-1", **header})}
    return write_atomic(path, lambda temporary: save_file(state, temporary, text))


def read_network(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Header and tensors of a file that ``save_network`` wrote; StyleRigError if it cannot be used."""
    if not path.is_file():
        raise StyleRigError(
            f"There is no {kind} network at {path}.",
            "Choose the folder of a finished rig training.",
            code="missing_weights",
        )
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("stylerig", "{}")
            state = {name: file.get_tensor(name) for name in file.keys()}
        header = json.loads(text)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise bad_weights(path, str(error)) from error
    if not isinstance(header, dict) or header.get("format") != f"{kind}-1":
        raise bad_weights(path, f"it does not hold a {kind} network")
    return header, {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def fill_network(network: Network, state: dict[str, torch.Tensor], path: Path) -> Network:
    """Put the tensors in; the network comes in evaluation mode, without gradients."""
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise bad_weights(path, str(error).splitlines()[-1].strip()) from error
    return network.eval().requires_grad_(False)


def channels_last(network: Network) -> Network:
    """The network with the weights of its convolutions as the processor convolves fastest."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack this way of calling
    return network


def bad_weights(path: Path, reason: str) -> StyleRigError:
    return StyleRigError(f"{path} cannot be used: {reason}.", "Copy or train it again.", code="bad_weights")
