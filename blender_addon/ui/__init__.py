"""Panels and operators."""

from __future__ import annotations

from . import environment, operators, panels

CLASSES = (*environment.CLASSES, *operators.CLASSES, *panels.CLASSES)


def unregister() -> None:
    environment.unregister()
