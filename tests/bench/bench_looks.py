"""How long a look takes on a portrait of 256 px: each that ships, and a CycleGAN of 9 blocks in the shipped one's width."""

from __future__ import annotations

import numpy as np

from models.translation.config import ResNetConfig, read_config
from models.translation.library import SHIPPED, LookLibrary
from models.translation.look import Look, make_look
from models.translation.request import put_on, style_of_seed
from tests.bench.timing import milliseconds

SIZE = 256
NINE_BLOCKS = {"kind": "cyclegan", "blocks": 9}


def shortest(look: Look, size: int, repeats: int) -> float:
    """Milliseconds of one frame."""
    shown = np.random.default_rng(0).random((size, size, 3), np.float32)
    label = look.labels[0] if look.labels else look.domains[0] if look.domains else None
    given = {label: 1.0} if look.labels else label
    style = style_of_seed(look, 1, label) if look.domains else None
    return min(milliseconds(lambda _step: put_on(look, shown, 1.0, given, style), repeats))


def run(quick: bool = False) -> dict[str, float]:
    size, repeats = (32, 1) if quick else (SIZE, 15)
    shipped = LookLibrary([SHIPPED])
    looks = {entry.name: shipped.get(entry.name) for entry in shipped.entries() if entry.kind != "cogan"}
    width = next((look.config.width for look in looks.values() if isinstance(look.config, ResNetConfig)), 2 if quick else 12)
    looks["cyclegan_of_9_blocks"] = make_look(read_config(NINE_BLOCKS | {"width": width}))
    return {f"{name}_ms": shortest(look, size, repeats) for name, look in looks.items()}
