"""Files of looks: reading the published checkpoints and our own safetensors, and writing our own.

Nothing in a file is run, and no network is made that is larger than the numbers in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from models.errors import StyleRigError
from models.generators.checkpoints.pickles import is_torch_file, read_torch_file
from models.io.atomic_write import write_atomic
from models.io.foreign import START, what_it_is
from models.io.pickles import PickleError, UnknownName
from models.io.regular_file import open_regular
from models.translation.config import LookConfig, StarGANConfig, StarGANv2Config, UNetConfig, read_config
from models.translation.errors import ConfigError, bad_label, bad_look
from models.translation.look import Look, make_look
from models.translation.published import read_published

FORMAT = "look-1"
LARGEST_FILE = 4 << 30
LARGEST_HEADER = 1 << 20
NO_LOOK = "it holds no look, but {}"
READS = ("Looks are *_net_G*.pth of pix2pix, CycleGAN and CUT, *-G.ckpt of StarGAN, *_nets_ema.ckpt of StarGAN v2, "
         "and what `convert` wrote.")  # fmt: skip
CODE_NEVER_RUNS = "A file's own code is never run. Save the generator's state_dict() alone, and choose that."
BSD = "The published code is under a BSD licence; what pictures the weights were trained on has terms of its own."
LICENCES = {  # by kind: what is known of code and published weights
    "pix2pix": BSD,
    "cyclegan": BSD,
    "cut": BSD,
    "stargan": "The published code is under the MIT licence; CelebA and RaFD are for research that is not commercial.",
    "starganv2": "Published code and weights: Creative Commons BY-NC 4.0, not for commercial use.",
}


class Content(NamedTuple):
    """What a file holds: ``header`` is None where it is not our own; ``root`` is its object, of at most ``size`` numbers."""

    header: dict[str, Any] | None
    root: Any
    size: int


class LookFile(NamedTuple):
    config: LookConfig
    state: dict[str, Tensor]
    metadata: dict[str, Any]


def load_look(
    path: str | Path,
    as_tested: bool = False,
    labels: Sequence[str] | None = None,
    dropout: bool | None = None,
    device: str = "cpu",
) -> Look:
    """Read a look; it comes in evaluation mode, without gradients.

    ``as_tested`` makes it compute as the published default test run (see ``Look``). ``labels`` names its attributes or
    domains, which published files do not. ``dropout`` says whether a U-Net was trained with it, which its file does not
    show either (None: as published, with). The file is one of those in docs/looks.md, told by its content.
    Raises StyleRigError when it is missing, damaged, of another kind, or does not fit itself.
    """
    path = Path(path)
    with refusing(path):
        file = read_look(path)
        config = with_dropout(with_labels(file.config, labels), dropout)
        look = filled(path, config, file.state)
    look.metadata, look.as_tested = file.metadata, as_tested
    look.network.to(device)
    return look


def save_look(look: Look, path: str | Path, metadata: dict[str, Any] | None = None, half: bool = False) -> Path:
    """Write ``look`` as safetensors, in float32 or ``half``; returns the path.

    The header holds the format, the configuration and ``metadata`` (None: the look's own), which must be JSON.
    """
    parameters = {name for name, _ in look.network.named_parameters()}
    state = {}
    for name, value in look.network.state_dict().items():
        dtype = torch.float16 if half and name in parameters else value.dtype
        state[name] = value.detach().to("cpu", dtype).contiguous()
        if not torch.isfinite(state[name]).all():
            raise bad_look(path, f"{name} has values that are not numbers or too large")
    header = {"format": FORMAT, "config": look.config.model_dump(), "metadata": look.metadata if metadata is None else metadata}
    return write_atomic(path, save(state, {"stylerig": json.dumps(header)}))  # one entry: several come in an order that changes


def is_look(path: str | Path) -> bool:
    """Whether a file holds a look, whole or broken, or what belongs to one; False for all else, readable or not."""
    path = Path(path)
    try:
        with refusing(path):
            content = read_content(path)
    except StyleRigError:
        return False
    if content.header is not None:
        return content.header.get("format") == FORMAT
    try:
        return read_published(content.root) is not None
    except (PickleError, ValidationError):
        return True


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """What goes wrong while a file is read becomes an error that names it."""
    try:
        yield
    except ConfigError as error:
        raise bad_look(path, error.reason) from error
    except StyleRigError:
        raise
    except UnknownName as error:
        raise bad_look(path, str(error), CODE_NEVER_RUNS) from error
    except PickleError as error:
        raise bad_look(path, str(error), getattr(error, "hint", "")) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise bad_look(path, f"its {'.'.join(map(str, first['loc'])) or 'layout'}: {first['msg']}") from error
    except Exception as error:  # a hostile file may raise anything
        raise bad_look(path, f"it is damaged ({type(error).__name__})") from error


def read_content(path: Path) -> Content:
    """What the file holds, by its first bytes."""
    if not path.exists():
        raise StyleRigError(f"There is no look at {path}.", "Choose a file that exists.", code="missing_look")
    with open_regular(path, LARGEST_FILE) as file:
        start = file.read(START)
        if is_torch_file(start):
            file.seek(0)
            data = file.read()
            return Content(None, read_torch_file(data), len(data))
    foreign = what_it_is(start)
    if foreign is not None:
        raise bad_look(path, f"it is {foreign.what}", foreign.hint)
    if start[8:9] != b"{":
        raise bad_look(path, "it begins like no look's file", READS)
    return read_safetensors(path)


def read_safetensors(path: Path) -> Content:
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get("stylerig")
        state = {name: file.get_tensor(name) for name in file.keys()}
    if text is not None and len(text) > LARGEST_HEADER:
        raise PickleError("its header is longer than any look's")
    header = None if text is None else json.loads(text)
    if header is not None and not isinstance(header, dict):
        raise PickleError("its header is not a table")
    return Content(header, state, sum(value.numel() for value in state.values()))


def read_look(path: Path) -> LookFile:
    """Configuration, state and metadata of a file of any kind that is known."""
    header, root, size = read_content(path)
    if header is not None:
        if header.get("format") != FORMAT:
            raise bad_look(path, f"its format is {str(header.get('format'))[:40]!r}, expected {FORMAT!r}", READS)
        metadata = header.get("metadata")
        return LookFile(read_config(header.get("config")), root, metadata if isinstance(metadata, dict) else {})
    published = read_published(root)
    if published is None:
        raise bad_look(path, NO_LOOK.format(what_else(root)), READS)
    metadata = {
        "source": path.name,
        "kind": f"{published.system}, published layout",
        "sha256": digest(path),
        "licence": f"That of the source, which the file does not name. {LICENCES[published.config.kind]}",
        "notes": published.notes,
    }
    return LookFile(published.config, tensors_of(published.state, size), metadata)


def what_else(root: Any) -> str:
    names = ", ".join(repr(str(name)[:60]) for name in list(root)[:3]) if isinstance(root, dict) else ""
    return f"numbers such as {names}" if names else "something else"


def tensors_of(table: dict[str, Any], most_numbers: int) -> dict[str, Tensor]:
    """Raises PickleError for more than ``most_numbers`` numbers: one storage can stand behind many tensors."""
    numbers = sum(torch.Size(value.shape).numel() for value in table.values())
    if numbers > most_numbers:
        raise PickleError(f"its tensors hold {numbers} numbers, more than the file")
    return {name: value if isinstance(value, Tensor) else value.tensor() for name, value in table.items()}


def digest(path: Path) -> str:
    """SHA-256 of the file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def filled(path: Path, config: LookConfig, state: dict[str, Tensor]) -> Look:
    """The look with its numbers; the network takes no memory of its own before they fit it."""
    with torch.device("meta"):
        look = make_look(config)
    expected = look.network.state_dict()
    for name in set(expected) - set(state):
        if name.endswith(".num_batches_tracked"):  # torch before 0.4.1 did not count them
            state[name] = torch.zeros(())
    check_state(path, expected, state)
    look.network.load_state_dict({name: value.to(expected[name].dtype) for name, value in state.items()}, assign=True)
    return look


def check_state(path: Path, expected: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """Same names, same shapes, only numbers."""
    if missing := sorted(set(expected) - set(state)):
        raise bad_look(path, f"{missing[0]} is missing ({len(missing)} in all)")
    if unknown := sorted(set(state) - set(expected)):
        raise bad_look(path, f"{unknown[0][:80]!r} does not belong to it ({len(unknown)} in all)")
    for name, value in state.items():
        if value.shape != expected[name].shape:
            raise bad_look(path, f"{name} has the shape {tuple(value.shape)}, expected {tuple(expected[name].shape)}")
        if not torch.isfinite(value).all():
            raise bad_look(path, f"{name} has values that are not numbers")


def with_labels(config: LookConfig, labels: Sequence[str] | None) -> LookConfig:
    """The configuration with other names for its attributes or domains."""
    if labels is None:
        return config
    if isinstance(config, StarGANv2Config):
        return renamed(config, "domains", check_names(labels, config.domains))
    if not isinstance(config, StarGANConfig):
        raise bad_label(f"a look of the kind {config.kind} has none to name", "Leave the labels out.")
    names = iter(check_names(labels, config.labels))
    return renamed(config, "label_sets", tuple(tuple(next(names) for _ in old) for old in config.label_sets))


def check_names(labels: Sequence[str], old: tuple[str, ...]) -> tuple[str, ...]:
    if len(labels) != len(old) or len(set(labels)) != len(labels):
        raise bad_label(f"{len(labels)} names are given", f"It takes {len(old)} different ones, in place of {', '.join(old)}.")
    return tuple(labels)


def with_dropout(config: LookConfig, dropout: bool | None) -> LookConfig:
    return renamed(config, "dropout", dropout) if isinstance(config, UNetConfig) and dropout is not None else config


def renamed(config: LookConfig, name: str, value: Any) -> LookConfig:
    return type(config)(**{**config.model_dump(), name: value})
