"""What an environment holds: the pins of pyproject.toml, and the versions of what they need in turn. Standard library only."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

CONSTRAINTS = "backend/constraints.txt"  # made by "python build.py lock"


@dataclass(frozen=True)
class Requirements:
    """Lists of pins in the pyproject.toml of ``project``."""

    project: Path  # the folder of pyproject.toml
    extras: tuple[str, ...] = ()  # lists of [project.optional-dependencies]
    base: bool = True  # whether [project] dependencies, which draw portraits, are among them

    def pins(self) -> list[str]:
        """The packages, as "name==version". Raises UserError."""
        try:
            project = tomllib.loads((self.project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            lists = [project["dependencies"]] * self.base + [project["optional-dependencies"][extra] for extra in self.extras]
            pins = list(dict.fromkeys(pin for pins in lists for pin in pins))
            if not pins or (self.base and torch_pin(pins) is None):
                raise LookupError("no pins")
            return pins
        except (OSError, ValueError, LookupError) as error:
            raise UserError(
                "no_payload", "There is no list of packages in {folder}.", "Install the extension again.", folder=self.project
            ) from error

    @property
    def constraints(self) -> Path | None:
        """The file with the versions of what the pins need in turn; None where there is none."""
        path = self.project / CONSTRAINTS
        return path if path.is_file() else None

    def fingerprint(self) -> str:
        """A short text that changes with the pins and the constraints. Raises UserError."""
        constraints = self.constraints.read_text(encoding="utf-8") if self.constraints else ""
        return hashlib.sha256("\n".join([*sorted(self.pins()), constraints]).encode()).hexdigest()[:16]


def torch_pin(pins: list[str]) -> str | None:
    """The pin of torch, which is installed by itself; None without one."""
    return next((pin for pin in pins if pin.startswith("torch==")), None)
