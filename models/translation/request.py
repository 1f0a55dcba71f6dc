"""What a person asks of a look, in words and numbers, as the network takes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.generators import latents_from_seed
from models.translation.errors import bad_style
from models.translation.look import Look, StarGANv2Look


def label_of(look: Look, text: str | None) -> Any:
    """What a person wrote as ``look`` takes it: a domain's name or number, all the numbers, or attributes and their amounts.

    "Blond_Hair,Young=0.5", "0,1,0.5", "female". None and "" are no label.
    """
    return parse_label(text, bool(look.domains)) if text else None


def parse_label(text: str, is_domain: bool) -> Any:
    words = [word.strip() for word in text.split(",")]
    if is_domain:
        return int(text) if text.isdecimal() else text
    if all(number(word) is not None for word in words):
        return [number(word) for word in words]
    pairs = [(name, amount) for word in words for name, _, amount in [word.rpartition("=") if "=" in word else (word, "", "1")]]
    return {name: amount if number(amount) is None else number(amount) for name, amount in pairs}


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def put_on(look: Look, shown: np.ndarray, strength: float, label: Any = None, style: Tensor | None = None) -> np.ndarray:
    """The look on display colours (H, W, 3), 0 to 1, in its strength. Raises StyleRigError for what does not fit it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # dropout, where a look computes as tested, is the same in every frame
        looked = look.at_own_size(as_tensor(shown), label, style)[0].clamp(-1, 1).movedim(0, -1).numpy() / 2 + 0.5
    return shown + strength * (looked - shown)


def as_tensor(shown: np.ndarray) -> Tensor:
    """Display colours (H, W, 3), 0 to 1, as a network takes them: (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(shown.transpose(2, 0, 1), np.float32))[None] * 2 - 1


def styled(look: Look) -> StarGANv2Look:
    """The look, which has styles. Raises StyleRigError."""
    if not isinstance(look, StarGANv2Look):
        raise bad_style(f"a look of the kind {look.kind} has no styles", "Leave the style and the reference out.")
    return look


def style_of_seed(look: Look, seed: int, label: Any) -> Tensor:
    """The style (1, style_dim) of a seed in the domain ``label``. Raises StyleRigError."""
    found = styled(look)
    return found.style(latents_from_seed(seed, 1, found.config.latent_dim), label)
