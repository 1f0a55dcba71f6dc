"""Seeds in Blender, whose number fields end at 2³¹ − 1: a larger one is held as text beside the number."""

from __future__ import annotations

import re

from ..errors import UserError
from ..protocol import frames

MAX_NUMBER = 2**31 - 1


def seed_of(number: int, text: str) -> int:
    """The seed that a number and a text field hold: the text's, where there is one. Raises UserError."""
    if not text.strip():
        return number
    if not is_seed(text):
        raise UserError("bad_seed", "“{text}” is no seed.", "Give a whole number from 0 to 9223372036854775807.", text=text)
    return int(text)


def fields_of(seed: int) -> tuple[int, str]:
    """What the two fields hold of a seed."""
    return (seed, "") if seed <= MAX_NUMBER else (MAX_NUMBER, str(seed))


def is_seed(text: str) -> bool:
    return bool(re.fullmatch(r"\s*[0-9]{1,19}\s*", text)) and int(text) <= frames.MAX_SEED
