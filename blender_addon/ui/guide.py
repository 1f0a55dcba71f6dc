"""Links to the guide that the extension brings along."""

from __future__ import annotations

from pathlib import Path

import bpy

FOLDER = Path(__file__).parents[1] / "docs"
PAGES = (("User Guide", "user-guide"), ("Troubleshooting", "troubleshooting"))


def draw_links(layout: bpy.types.UILayout) -> None:
    """A button for each page that a person may look for; none when run from the sources, which have no pages."""
    row = layout.row()
    for text, name in PAGES:
        draw_link(row, name, text=text, icon="HELP")


def draw_link(layout: bpy.types.UILayout, place: str, **options: object) -> None:
    """A button that opens ``place``, a page of the guide or "page#heading", in the browser."""
    page, mark, heading = place.partition("#")
    path = FOLDER / f"{page}.html"
    if path.is_file():
        layout.operator("wm.url_open", **options).url = path.as_uri() + mark + heading
