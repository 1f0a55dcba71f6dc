"""Panels and operators."""

from __future__ import annotations

from . import operators, panels

CLASSES = (*operators.CLASSES, *panels.CLASSES)
