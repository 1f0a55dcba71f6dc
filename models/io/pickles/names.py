"""What a file's names may stand for. Nothing here imports or calls what a file names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from models.io.pickles.limits import Budget, PickleError


@dataclass(frozen=True, slots=True)
class Name:
    """A name out of the list, as it lies on the machine's stack."""

    module: str
    name: str


class UnknownName(PickleError):
    """The file names something off the list: ``name``."""

    def __init__(self, module: str, name: str):
        self.name = f"{module}.{name}"[:120]
        super().__init__(f"it names {self.name!r}, which no checkpoint needs")


class Names(Protocol):
    """What the machine asks; each method raises PickleError for what is not allowed."""

    budget: Budget

    def find(self, module: str, name: str) -> Any: ...

    def call(self, function: Any, arguments: tuple) -> Any: ...

    def build(self, target: Any, state: Any) -> None: ...

    def persistent(self, identifier: Any) -> Any: ...


class ListedNames:
    """A closed list: what is called for each name, None for those that are only passed on.

    Beside atoms a call may give only something new, which the machine then measures.
    """

    def __init__(self, budget: Budget, meanings: dict[tuple[str, str], Callable | None] | None = None):
        self.budget = budget
        self.meanings = meanings or {}

    def find(self, module: str, name: str) -> Name:
        if (module, name) not in self.meanings:
            raise UnknownName(module, name)
        return Name(module, name)

    def call(self, function: Any, arguments: tuple) -> Any:
        meaning = self.meanings.get((function.module, function.name)) if isinstance(function, Name) else None
        if meaning is None:
            raise PickleError("it calls something that cannot be called")
        try:
            return meaning(*arguments)
        except TypeError as error:
            raise PickleError(f"it calls {function.name} with other arguments than such files do") from error

    def build(self, target: Any, state: Any) -> None:
        """BUILD fills records, once; the attributes of a table do not matter."""
        if hasattr(type(target), "fill"):
            target.fill(state)
        elif not isinstance(target, dict) or not isinstance(state, dict):
            raise PickleError("it changes something that cannot be changed")

    def persistent(self, identifier: Any) -> Any:
        raise PickleError("it refers to something outside of it")


def shown(value: Any) -> str:
    """A value out of the file, fit for a message."""
    return repr(value)[:60] if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"
