"""Checkpoints of the published code, told by the names of their numbers: configuration and state of each.

pix2pix, CycleGAN and CUT (``*_net_G*.pth``), StarGAN (``*-G.ckpt``) and StarGAN v2 (``*_nets_ema.ckpt``). Nothing but
numbers is in them: what they were trained for, and with dropout or without, is told by names and shapes as far as it goes.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from torch import Tensor

from models.generators.checkpoints.pickles import TensorRecord
from models.io.pickles import PickleError, shown
from models.translation.config import LookConfig, Norm, ResNetConfig, StarGANConfig, StarGANv2Config, UNetConfig
from models.translation.starganv2 import HighPass

Table = dict[str, Any]
MOST_NAMES = 20_000
OLD_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
DISCRIMINATORS = (
    ({"model.0.weight", "model.11.weight"}, "pix2pix's or CycleGAN's"),
    ({"net.0.weight", "net.5.weight"}, "pix2pix's or CycleGAN's"),
    ({"main.0.weight", "conv1.weight", "conv2.weight"}, "StarGAN's"),
)
CELEBA = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
RAFD = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
LABEL_SETS = {5: (CELEBA,), 8: (RAFD,), 15: (CELEBA, RAFD)}  # by a label's size: CelebA, RaFD, both with their mask
DOMAINS = {2: ("female", "male"), 3: ("cat", "dog", "wild")}  # of CelebA-HQ and AFHQ
GUESSED = "The file does not name its {}; those of the published training are taken: {}."
NO_MASKS = ("The file lacks `fan`, the network that finds the parts of a face: masks are left out, "
            "so that a face's own lines are not carried over as published.")  # fmt: skip


class Published(NamedTuple):
    """What a checkpoint holds: ``state`` under our networks' names, which are the published ones."""

    system: str
    config: LookConfig
    state: Table
    notes: list[str]


def read_published(root: Any) -> Published | None:
    """What the object of a checkpoint is; None where it is nothing of this kind.

    Raises PickleError for a discriminator, or for a look whose numbers do not fit together.
    """
    if not isinstance(root, dict) or len(root) > MOST_NAMES:
        return None
    if isinstance(root.get("generator"), dict) and {"mapping_network", "style_encoder"} & set(root):
        return read_starganv2(root)
    table = numbers_of(root)
    if "model.model.0.weight" in table:
        return read_unet(table)
    if "model.1.weight" in table and any(".conv_block." in name for name in table):
        return read_resnet(table)
    if "main.0.weight" in table and "main.9.main.0.weight" in table:
        return read_stargan(table)
    for names, whose in DISCRIMINATORS:
        if names <= set(table):
            raise PickleError(f"it holds {whose} discriminator only, which judges pictures but makes none")
    return None


def numbers_of(root: Table) -> Table:
    """The tensors by name, without what DataParallel puts before every name."""
    table = {str(name): value for name, value in root.items() if is_numbers(value)}
    if table and all(name.startswith("module.") for name in table):
        return {name.removeprefix("module."): value for name, value in table.items()}
    return table


def is_numbers(value: Any) -> bool:
    return isinstance(value, (TensorRecord, Tensor))


def shape(table: Table, name: str, dimensions: int = 4) -> tuple[int, ...]:
    """The shape of a number that has to be there. Raises PickleError."""
    if name not in table:
        raise PickleError(f"{name} is missing")
    found = tuple(table[name].shape)
    if len(found) != dimensions or 0 in found:
        raise PickleError(f"{name} has the shape {found}")
    return found


def matches(pattern: str, table: Table) -> list[int]:
    """The sorted numbers that ``pattern``'s group finds in names."""
    found = (re.fullmatch(pattern, name) for name in table)
    return sorted({int(match[1]) for match in found if match and len(match[1]) < 4})


def norm_before(table: Table, convolution: str, norm: str) -> Norm:
    """Which norm stands behind a convolution: only a batch norm has weights, and only before an instance norm is a bias."""
    if f"{norm}.weight" in table:
        return "batch"
    return "instance" if f"{convolution}.bias" in table else "none"


def without_statistics(table: Table, norm: str) -> Table:
    """Before 2019 instance norms kept statistics, which the published code since leaves out."""
    if norm == "batch":
        return table
    return {name: value for name, value in table.items() if name.rpartition(".")[2] not in OLD_STATISTICS}


def read_unet(table: Table) -> Published:
    width, inputs = shape(table, "model.model.0.weight")[:2]
    levels, inside = 1, "model.model.1.model"
    while f"{inside}.1.weight" in table:
        levels, inside = levels + 1, f"{inside}.3.model"
    norm = norm_before(table, "model.model.1.model.1", "model.model.1.model.2")
    outputs = shape(table, "model.model.3.weight")[1]
    config = UNetConfig(width=width, inputs=inputs, outputs=outputs, levels=levels, norm=norm)
    return Published("pix2pix", config, without_statistics(table, norm), [])


def read_resnet(table: Table) -> Published:
    width, inputs = shape(table, "model.1.weight")[:2]
    blocks = matches(r"model\.(\d+)\.conv_block\.1\.weight", table)
    filters = matches(r"model\.(\d+)\.filt", table)
    if not blocks:
        raise PickleError("its blocks are missing")
    last = max(matches(r"model\.(\d+)\.bias", table), default=0)
    norm = norm_before(table, "model.1", "model.2")
    down, up = any(index < blocks[0] for index in filters), any(index > blocks[-1] for index in filters)
    config = ResNetConfig(
        kind="cut" if down or up else "cyclegan",
        width=width,
        inputs=inputs,
        outputs=shape(table, f"model.{last}.weight")[0],
        blocks=len(blocks),
        norm=norm,
        dropout=f"model.{blocks[0]}.conv_block.5.weight" not in table,
        antialias_down=down,
        antialias_up=up,
    )
    return Published("CUT" if down or up else "CycleGAN", config, without_statistics(table, norm), [])


def read_stargan(table: Table) -> Published:
    width, inputs = shape(table, "main.0.weight")[:2]
    if inputs <= 3:
        raise PickleError(f"its first layer takes {inputs} channels, none of them for a label")
    size = inputs - 3
    sets = LABEL_SETS.get(size, (tuple(f"label {index}" for index in range(size)),))
    config = StarGANConfig(width=width, blocks=len(matches(r"main\.(\d+)\.main\.0\.weight", table)), label_sets=sets)
    notes = [GUESSED.format("labels", ", ".join(config.labels))] if size in LABEL_SETS else []
    return Published("StarGAN", config, table, notes)


def read_starganv2(root: Table) -> Published:
    tables = {name: numbers_of(root[name]) if isinstance(root.get(name), dict) else {}
              for name in ("generator", "mapping_network", "style_encoder", "fan")}  # fmt: skip
    maker, mapping, encoder, fan = tables.values()
    image_size = 4 * 2 ** len(matches(r"shared\.(\d+)\.conv1\.weight", encoder))
    downs = len(matches(r"encode\.(\d+)\.conv1\.weight", maker)) - 2
    high_pass = high_pass_of(maker, bool(fan) or downs == math.log2(image_size) - 3)
    domains = len(matches(r"unshared\.(\d+)\.0\.weight", mapping))
    config = StarGANv2Config(
        image_size=image_size,
        width=shape(maker, "from_rgb.weight")[0],
        max_width=max(shape(table, name)[0] for table in (maker, encoder) for name in table if name.endswith("conv2.weight")),
        downs=downs,
        style_dim=shape(mapping, "unshared.0.6.weight", 2)[0],
        latent_dim=shape(mapping, "shared.0.weight", 2)[1],
        hidden=shape(mapping, "shared.0.weight", 2)[0],
        domains=DOMAINS.get(domains, tuple(f"domain {index}" for index in range(domains))),
        high_pass=high_pass,
        masks=bool(fan) and high_pass > 0,
        fan_width=shape(fan, "l0.weight")[1] if fan and high_pass else 256,
    )
    if high_pass:
        maker.setdefault("hpf.filter", HighPass(high_pass).filter)
    state = {f"{part}.{name}": value for part, table in tables.items() for name, value in table.items()}
    if not config.masks:
        state = {name: value for name, value in state.items() if not name.startswith("fan.")}
    notes = [GUESSED.format("domains", ", ".join(config.domains))] if domains in DOMAINS else []
    return Published("StarGAN v2", config, state, notes + ([NO_MASKS] if high_pass and not fan else []))


def high_pass_of(maker: Table, likely: bool) -> float:
    """What the high-pass filter is divided by. Older files lack the filter, which was divided by 1 then."""
    if "hpf.filter" not in maker:
        return 1.0 if likely else 0.0
    shape(maker, "hpf.filter", 2)
    value = maker["hpf.filter"]
    middle = float((value if isinstance(value, Tensor) else value.tensor())[1, 1])
    if not 0 < middle < math.inf:
        raise PickleError(f"the middle of its high-pass filter is {shown(middle)}")
    return 8 / middle
