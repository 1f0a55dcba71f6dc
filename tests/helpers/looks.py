"""Looks of hardly any weights, in a folder of their own that the library reads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from models.translation import library, make_look, save_look
from models.translation.config import ResNetConfig, StarGANConfig, StarGANv2Config

CONFIGS = {
    "painting": ResNetConfig(width=2, blocks=1),
    "attributes": StarGANConfig(width=2, blocks=1, label_sets=(("black hair", "beard"),)),
    "styles": StarGANv2Config(image_size=32, width=2, max_width=4, downs=2, hidden=4, style_dim=4, domains=("young", "old")),
}


def write_look(folder: Path, name: str, seed: int = 1) -> Path:
    """One of CONFIGS with random weights."""
    torch.manual_seed(seed)
    look = make_look(CONFIGS[name])
    for parameter, values in look.network.named_parameters():
        if "mapping_network" in parameter or ".fc." in parameter:
            values.mul_(5)  # else hardly anything would be seen of a style
    return save_look(look, folder / f"{name}.safetensors")


@contextlib.contextmanager
def library_in(folder: Path) -> Iterator[Path]:
    """Within, a person's looks are those in ``folder``, which begins with all of CONFIGS."""
    before = os.environ.get(library.FOLDER_VARIABLE)
    os.environ[library.FOLDER_VARIABLE] = str(folder)
    library.library.cache_clear()
    try:
        for name in CONFIGS:
            write_look(folder, name)
        yield folder
    finally:
        os.environ.pop(library.FOLDER_VARIABLE)
        if before is not None:
            os.environ[library.FOLDER_VARIABLE] = before
        library.library.cache_clear()
