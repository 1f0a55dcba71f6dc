"""Portraits by value as JSON. Standard library only.

A portrait is some 40 kB of text, and every request and every picture's recipe holds it: writing it takes
longer than all the rest of them.
"""

from __future__ import annotations

from functools import cached_property

from ..protocol import image_texts


class Portrait(dict):
    """A portrait that nobody changes any more: its text is written once."""

    @cached_property
    def text(self) -> str:
        """As JSON."""
        return image_texts.compact(self)


def text_of(value: dict) -> str:
    """The same of a dict that may hold a ``Portrait``."""
    parts = (
        f"{image_texts.compact(name)}:{part.text if isinstance(part, Portrait) else image_texts.compact(part)}"
        for name, part in value.items()
    )
    return f"{{{','.join(parts)}}}"
