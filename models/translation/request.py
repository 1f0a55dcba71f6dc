"""What a person asks of a look, in words and numbers, as the network takes it."""

from __future__ import annotations

from typing import Any

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


def styled(look: Look) -> StarGANv2Look:
    """The look, which has styles. Raises StyleRigError."""
    if not isinstance(look, StarGANv2Look):
        raise bad_style(f"a look of the kind {look.kind} has no styles", "Leave the style and the reference out.")
    return look


def style_of_seed(look: Look, seed: int, label: Any) -> Tensor:
    """The style (1, style_dim) of a seed in the domain ``label``. Raises StyleRigError."""
    found = styled(look)
    return found.style(latents_from_seed(seed, 1, found.config.latent_dim), label)
