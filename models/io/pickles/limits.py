"""What a pickle may cost: steps, copied bytes, and the size of every value that it makes.

A pickle of a few hundred bytes can hold a value that takes for ever to hash, compare or print (each
list holds the one before it twice), or one so deep that Python's own recursion crashes. Here every
container is measured as it is filled: as the tree that it would be if nothing were shared. What is
refused never exists, so that whoever reads the value may treat it as plain data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# A whole training checkpoint of 1024 x 1024 pictures has about 40,000.
MOST_STEPS = 400_000
SPARE_BYTES = 32 << 20  # what as many short texts take beside their letters
MOST_DEPTH = 100  # a network's snapshot has about 30
MOST_VALUES = 1_000_000


class PickleError(Exception):
    """What is wrong with the data, as the end of a sentence."""


class Budget:
    """Steps and copied bytes that are left for one file, whatever pickles lie within others in it."""

    def __init__(self, size: int):
        """``size``: the file's bytes. A text may be copied and then encoded, and its letters may take four bytes."""
        self.steps = MOST_STEPS
        self.bytes = 6 * size + SPARE_BYTES

    def step(self, count: int = 1) -> None:
        """``count`` is more than one where a single opcode goes through so many values."""
        self.steps -= count
        if self.steps < 0:
            raise PickleError(f"it has more than {MOST_STEPS} pickle opcodes, more steps than such a file needs")

    def copy(self, size: int) -> None:
        self.bytes -= size
        if self.bytes < 0:
            raise PickleError("it unpacks to far more than its own size")


class Measure:
    """One container as a tree: its depth, how many values are in it, and whether another holds it already."""

    __slots__ = ("depth", "held", "value", "values")

    def __init__(self, value: Any):
        self.value = value  # kept, so that no other value can come to have the same id
        self.depth, self.values, self.held = 0, 1, False


class Measures:
    """The measures of all containers that a pickle makes, by identity."""

    def __init__(self) -> None:
        self.known: dict[int, Measure] = {}

    def __contains__(self, value: Any) -> bool:
        return id(value) in self.known

    def add(self, value: Any, parts: Sequence[Any] = ()) -> None:
        """``value`` is new and holds ``parts``."""
        self.known[id(value)] = Measure(value)
        if parts:
            self.fill(value, parts)

    def fill(self, target: Any, parts: Sequence[Any]) -> None:
        """``parts`` come into ``target``, which must not yet lie in anything: its measure would be too small there."""
        own = self.known[id(target)]
        if own.held:
            raise PickleError("its pickle fills something that it has already put into something else")
        for part in parts:
            inner = self.known.get(id(part))
            if inner is None:
                own.values += 1
                continue
            if inner is own:
                raise PickleError("it holds something that contains itself")
            inner.held = True
            own.depth = max(own.depth, inner.depth + 1)
            own.values += inner.values
        if own.depth > MOST_DEPTH:
            raise PickleError(f"it is nested more than {MOST_DEPTH} deep")
        if own.values > MOST_VALUES:
            raise PickleError(f"it holds more than {MOST_VALUES} values, counting what it repeats")
