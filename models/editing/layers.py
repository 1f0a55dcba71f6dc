"""The layers that w steers: which weights take it, and where in w (N, num_ws, w_dim) each layer reads.

A layer is a convolution of the synthesis network that takes a style, coarse ones first: number 0 is b4.conv1 in
StyleGAN2 (guided or not), b4.conv0 in StyleGAN 1, L0 in StyleGAN3. ProGAN has one, its first convolution. toRGB and
StyleGAN3's Fourier features have no number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from models.editing.errors import bad_layers
from models.generators import progan, stylegan3

LONGEST = 1000  # characters of a choice of layers


@dataclass(frozen=True, eq=False)
class StyleLayer:
    """``name`` of the module in the synthesis network, ``weight`` (K, w_dim) by which it takes w, ``place`` of its w."""

    name: str
    weight: Tensor
    place: int


def style_layers(synthesis: Any) -> list[StyleLayer]:
    """The layers of a generator's synthesis network, coarse ones first."""
    modules: dict[str, Any] = dict(synthesis.named_modules())
    if isinstance(synthesis, progan.SynthesisNetwork):
        return [StyleLayer("b4.conv0", modules["b4.conv0"].weight.flatten(0, 1), 0)]
    first = 0
    if isinstance(synthesis, stylegan3.SynthesisNetwork):
        first = 1  # w 0 places the Fourier features
        names = [name for name in synthesis.layer_names if not modules[name].config.to_rgb]
    else:
        candidates = (f"b{size}.{name}" for size in synthesis.block_resolutions for name in ("conv0", "conv1"))
        names = [name for name in candidates if name in modules]
    return [StyleLayer(name, modules[name].affine.weight, place) for place, name in enumerate(names, first)]


def ws_places(synthesis: nn.Module, layers: Sequence[int], num_ws: int) -> list[int]:
    """Where in w (N, num_ws, w_dim) an edit of ``layers`` takes place: everywhere for all of them, which is an edit in W."""
    known = style_layers(synthesis)
    return list(range(num_ws)) if len(layers) == len(known) else [known[layer].place for layer in layers]


def parse_layers(text: str, count: int) -> tuple[int, ...]:
    """The numbers that ``text`` names of ``count`` layers, ascending: "all", or numbers and inclusive ranges as in "0-1,4".

    Raises StyleRigError for anything else, and for layers that the generator lacks.
    """
    if text.strip() == "all":
        return tuple(range(count))
    if len(text) > LONGEST:
        raise bad_layers(f"the choice has {len(text)} characters")
    chosen: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,4})(?:\s*-\s*([0-9]{1,4}))?\s*", part)
        if not found:
            raise bad_layers(f"{part.strip()!r} is neither a number nor a range")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise bad_layers(f"the range {first}-{last} runs backwards")
        if last >= count:
            raise bad_layers(f"there is no layer {last}; this generator has {count}, from 0 to {count - 1}")
        chosen.update(range(first, last + 1))
    return tuple(sorted(chosen))
