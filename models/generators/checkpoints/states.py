"""Checkpoints that hold only numbers by name: where the generator's lie, and whose names they are.

Training scripts, inversion and tuning tools (pSp, e4e, ReStyle, HyperStyle, StyleGAN-NADA, JoJoGAN) and
converters all keep the same three networks, rosinality's StyleGAN2 and NVIDIA's 2 and 3, under names with
something before them ("decoder.", "module.") and beside much else. Whatever else is known is refused
by its own name; docs/generators.md lists all of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.generators.checkpoints.pickles import ModuleRecord, TensorRecord
from models.generators.errors import CheckpointError
from models.io.pickles import PickleError, shown

# Where a generator lies in a checkpoint's table, the averaged one first.
PLACES = ("g_ema", "G_ema", "generator_ema", "params_ema", "Gs", "g", "G", "generator", "params", "state_dict",
          "model_state_dict", "model", "net")  # fmt: skip
# A name that each of them has, once.
ROSINALITY, NVIDIA2, NVIDIA3 = "input.input", "synthesis.b4.const", "synthesis.input.freqs"
BETTER = ("ema", "trainable", "tuned")  # before a name, where there are several generators
DEEPEST = 8
MOST_TENSORS = 4096
MOST_NAMES, LONGEST_NAME = 20_000, 300  # HyperStyle's checkpoint has some 3,000
SOURCE = "Use the checkpoint that it was made from, in NVIDIA's or rosinality's layout."
FOREIGN = {  # a name in it -> what it is
    r"(^|\.)res\.\d+\.": "a DualStyleGAN's or a VToonify's, whose pictures need more than the StyleGAN2 within",
    r"(^|\.)progression\.\d+\.": "rosinality's StyleGAN 1 (style-based-gan-pytorch)",
    r"(^|\.)(early_layer\.const|synthesis\.layer0\.)": "GenForce's (InterFaceGAN, SeFa)",
    r"(^|\.)(style_mlp\.\d|style_conv1\.)": "BasicSR's (GFPGAN)",
    r"(^|\.)style_mapping\.\d": "MMGeneration's",
    r"(^|\.)(G|GE)\.(initial_block|initial_conv|blocks\.0\.)": "lucidrains's stylegan2-pytorch",
    r"(?i)(^|\.)g_(synthesis|mapping)\.": "a port's of StyleGAN to PyTorch with names of its own",
    r"(^|\.)(diffusion_model|down_blocks)\.": "a diffusion model's",
}
JUDGES = re.compile(r"(^|\.)(final_linear\.0\.|b4\.fc\.|b4\.out\.|from_rgb|fromrgb)")


def find_generator(root: Any) -> ModuleRecord | dict[str, Any]:
    """The averaged generator in a checkpoint's object: a whole network, or its numbers by name."""
    if isinstance(root, ModuleRecord):
        return root
    if not isinstance(root, dict):
        raise PickleError("it holds no network and no checkpoint of a StyleGAN")
    found = next((root[place] for place in PLACES if is_generator(root.get(place))), None)
    if found is not None or is_generator(root):
        return root if found is None else found
    if any(name in root for name in ("d", "D", "discriminator")):
        raise PickleError("it holds a discriminator only, which judges pictures but makes none")
    for value in root.values():
        if isinstance(value, dict):
            refuse_foreign(value)
    raise PickleError("it holds no StyleGAN generator")


def is_generator(value: Any) -> bool:
    """Whether it may be one: a network, or a table of numbers."""
    return isinstance(value, ModuleRecord) or (
        isinstance(value, dict) and any(isinstance(number, (TensorRecord, Tensor)) for number in value.values())
    )


def generator_state(table: dict[str, Any], most_numbers: int) -> tuple[str, dict[str, Tensor]]:
    """Whose names (ROSINALITY, NVIDIA2 or NVIDIA3) and the generator's numbers by them, out of a table of numbers."""
    prefix, family = find_names(table)
    records = {str(name).removeprefix(prefix): value for name, value in table.items() if str(name).startswith(prefix)}
    if not all(isinstance(value, (TensorRecord, Tensor)) for value in records.values()):
        raise PickleError("it holds no StyleGAN generator: one of its numbers is not a tensor")
    return family, tensors_of(records, most_numbers)


def tensors_of(records: Mapping[str, TensorRecord | Tensor], most_numbers: int) -> dict[str, Tensor]:
    """As float32. Raises PickleError for more than ``most_numbers`` numbers: one storage can stand behind many tensors."""
    numbers = sum(torch.Size(value.shape).numel() for value in records.values())
    if numbers > most_numbers:
        raise PickleError(f"its tensors hold {numbers} numbers, more than the file")
    return {name: value if isinstance(value, Tensor) else value.tensor() for name, value in records.items()}


def whole_network(module: ModuleRecord) -> dict[str, TensorRecord]:
    """The numbers by name of a network of rosinality's, or of one that holds it, that was saved as an object."""
    records = parameters_of(module)
    if not any(name.endswith(ROSINALITY) for name in records):
        judges = ", which judges pictures but makes none" if "Discriminator" in module.class_name else ""
        raise PickleError(f"its network is a {shown(module.class_name)}, no generator of a StyleGAN{judges}")
    return records


def parameters_of(module: ModuleRecord) -> dict[str, TensorRecord]:
    """All parameters and buffers of a whole network by their full names."""
    records: dict[str, TensorRecord] = {}
    collect(module, "", records, DEEPEST)
    return records


def collect(module: ModuleRecord, prefix: str, records: dict[str, TensorRecord], depth: int) -> None:
    for name, value in {**module.part("_parameters"), **module.part("_buffers")}.items():
        if value is None:
            continue
        if not isinstance(value, TensorRecord):
            raise PickleError(f"{shown(prefix + name)} is not a tensor")
        if len(records) >= MOST_TENSORS:
            raise PickleError(f"it has more than {MOST_TENSORS} tensors")
        records[prefix + name] = value
    for name, inner in module.part("_modules").items():
        if inner is None:
            continue
        if not isinstance(inner, ModuleRecord) or not depth:
            raise PickleError(f"{shown(prefix + name)} is not a module of a StyleGAN")
        collect(inner, f"{prefix}{name}.", records, depth - 1)


def find_names(table: dict[str, Any]) -> tuple[str, str]:
    """What stands before the generator's names in a table, and whose names they are."""
    refuse_foreign(table)
    found = [(str(name).removesuffix(family), family) for name in table for family in (ROSINALITY, NVIDIA2, NVIDIA3)
             if str(name) == family or str(name).endswith(f".{family}")]  # fmt: skip
    better = [(prefix, family) for prefix, family in found if any(word in prefix for word in BETTER)]
    found = better if len(better) == 1 else found
    if len(found) > 1:
        names = ", ".join(shown(prefix) for prefix, _ in found[:4])
        raise CheckpointError(f"it holds {len(found)} generators ({names})", "Save the one that is meant by itself.")
    if not found:
        if any(JUDGES.search(str(name)) for name in table):
            raise PickleError("it holds a discriminator only, which judges pictures but makes none")
        names = ", ".join(shown(name) for name in list(table)[:3])
        raise CheckpointError(f"it holds no StyleGAN generator, but numbers such as {names}", SOURCE)
    return found[0]


def refuse_foreign(table: dict[str, Any]) -> None:
    if len(table) > MOST_NAMES:
        raise PickleError(f"it holds a table of more than {MOST_NAMES} names")
    names = [str(name)[:LONGEST_NAME] for name in table]
    for pattern, whose in FOREIGN.items():
        if any(re.search(pattern, name) for name in names):
            raise CheckpointError(f"its numbers are {whose}", SOURCE)
