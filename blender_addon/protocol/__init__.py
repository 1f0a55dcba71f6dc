"""In a checkout, the way to backend/protocol; in the extension's zip the files of that folder lie here instead."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a type checker finds the modules by no path that is made at run time

    def __getattr__(name: str) -> Any: ...


__path__ = [str(Path(__file__).resolve().parents[2] / "backend" / "protocol")]
