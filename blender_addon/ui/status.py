"""The backend's state in a few words and two buttons."""

from __future__ import annotations

import bpy

from ..link import session


def backend_state() -> tuple[str, str]:
    """(text, icon) of the backend's state."""
    backend = session.BACKEND
    if backend.starting:
        return "Starting…", "SORTTIME"
    if backend.running:
        return "Backend runs", "CHECKMARK"
    if session.backend_python() is None:
        return "No environment", "ERROR"
    return "Backend is off", "PAUSE"


def draw_backend(layout: bpy.types.UILayout) -> None:
    """One row: the state, and what can be done about it."""
    text, icon = backend_state()
    row = layout.split(factor=0.65)
    row.label(text=text, icon=icon)
    backend = session.BACKEND
    name = "stylerig.stop_backend" if backend.running or backend.starting else "stylerig.start_backend"
    row.operator(name, text="Stop" if name.endswith("stop_backend") else "Start")
