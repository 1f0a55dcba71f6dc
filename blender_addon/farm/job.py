"""What is known of a render on a farm. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..errors import Text


@dataclass(frozen=True)
class State:
    """How far a job is."""

    text: Text
    ended: bool = False
    failed: bool = False  # at least one frame


class Job(Protocol):
    """A render that other programs do. Methods block, touch nothing of Blender and raise UserError."""

    name: str
    link: str  # a web page about it; empty: there is none

    def look(self) -> State:
        """How far it is now."""

    def cancel(self) -> None:
        """Have it ended; what is drawn stays."""
