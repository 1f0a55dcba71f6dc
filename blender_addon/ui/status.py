"""The backend's state in a few words and what can be done about it."""

from __future__ import annotations

import textwrap
import unicodedata
from pathlib import Path

import bpy

from ..client import backend_manager
from ..settings import PACKAGE, setting
from ..translations import tr

# What the backend is at -> the icon that stands before it.
STARTING, RUNNING, MAKING, MISSING, OFF = "Starting…", "Backend runs", "Setting up…", "No environment", "Backend is off"
STATES = {STARTING: "SORTTIME", RUNNING: "CHECKMARK", MAKING: "SORTTIME", MISSING: "ERROR", OFF: "PAUSE"}
DOWNLOADS = {
    "cpu": "Set Up downloads about 0.3 GB, for the CPU; an NVIDIA GPU is chosen in the preferences.",
    "cuda": "Set Up downloads about 3 GB, for the NVIDIA GPU.",
}


def backend_state() -> str:
    """What the backend is at, one of ``STATES``."""
    backend = backend_manager.BACKEND
    if backend.starting:
        return STARTING
    if backend.running:
        return RUNNING
    if backend_manager.ENVIRONMENT.busy:
        return MAKING
    return MISSING if backend_manager.backend_python() is None else OFF


def draw_backend(layout: bpy.types.UILayout) -> None:
    """One row: the state, and a button."""
    state = backend_state()
    share = f" {backend_manager.ENVIRONMENT.progress.fraction:.0%}" if state == MAKING else ""
    row = layout.split(factor=0.65)
    row.label(text=tr(state) + share, translate=False, icon=STATES[state])
    backend = backend_manager.BACKEND
    idle = not (backend.running or backend.starting)
    if idle and backend_manager.backend_python() is None and not in_preferences():
        draw_set_up(row, layout)
        return
    if idle:
        row.operator("stylerig.start_backend", text="Start")
    else:
        row.operator("stylerig.stop_backend", text="Stop")
    if in_preferences():
        draw_log(row, backend_manager.log_file())


def draw_set_up(row: bpy.types.UILayout, layout: bpy.types.UILayout) -> None:
    """A button that makes the environment at once; that leads to the preferences where something must be chosen or went wrong."""
    attempt = backend_manager.ENVIRONMENT
    if not backend_manager.may_install() or attempt.error is not None or attempt.cancelled:
        row.operator("preferences.addon_show", text="Set Up").module = PACKAGE
        return
    row.operator("stylerig.make_environment", text="Set Up")
    if not backend_manager.preferred_path("wheels"):
        draw_wrapped(layout, bpy.context, tr(DOWNLOADS[setting("device")]), "INFO")


def draw_log(layout: bpy.types.UILayout, log: Path) -> None:
    """A button that opens a log; none where there is no log."""
    if log.is_file():
        layout.operator("wm.path_open", text="Open Log", icon="TEXT").filepath = str(log)


def in_preferences() -> bool:
    """Whether what is drawn is the preferences, where everything can be set up at once."""
    area = bpy.context.area
    return area is not None and area.type == "PREFERENCES"


def draw_wrapped(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str) -> None:
    """A message, in Blender's language already, over as many lines as the region's width asks for."""
    width = context.region.width if context.region else 300
    letters = max(20, int(width / (7 * (context.preferences.system.ui_scale or 1))) - 4)  # no scale without a window
    if any(unicodedata.east_asian_width(letter) == "W" for letter in text):
        letters = letters // 2
    column = layout.column(align=True)
    for line in textwrap.wrap(text, letters):
        column.label(text=line, translate=False, icon=icon)
        icon = "BLANK1"
