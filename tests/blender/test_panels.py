"""The sidebar's panels: what is written in them fits their own width, and their links lead into the guide."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock
from urllib.parse import unquote, urlsplit

import bpy
import messages
import pytest

# Letters that fit into the sidebar at the width that Blender gives it, as pictures of it show.
BEFORE_A_SETTING = 13  # to its left
AFTER_A_BOX = {True: 20, False: 29}  # to the right of a check box, with and without room left free for names
ON_A_SLIDER = 24  # beside its value
ON_A_BUTTON = 25
BEFORE_A_MENU = 6  # beside it, where no room is left free
BESIDE_A_PICTURE = 16  # and before a star


class Layout:
    """A layout that notes what is written into it: (text, letters that fit). Nothing in rows, which share their width."""

    def __init__(self, written: list, named: bool = False, alone: bool = True):
        self.__dict__.update(written=written, named=named, alone=alone)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "use_property_split":
            self.__dict__["named"] = value

    def __getattr__(self, name: str):
        return lambda *_arguments, **_options: Layout(self.written, self.named, self.alone and name in ("column", "box"))

    def panel(self, *_arguments, **_options) -> tuple[Layout, Layout]:
        return Layout(self.written, self.named), Layout(self.written, self.named)

    def prop(self, owner: bpy.types.bpy_struct, path: str, text: str | None = None, expand: bool = False, **_options) -> None:
        found = owner.bl_rna.properties.get(path)
        if found is None or text == "" or expand or not self.alone:
            return
        self.written.append((text or found.name, self.room(found)))

    def room(self, prop: bpy.types.Property) -> int:
        if prop.type == "BOOLEAN":
            return AFTER_A_BOX[self.named]
        if self.named:
            return BEFORE_A_SETTING
        return BEFORE_A_MENU if prop.type in ("ENUM", "STRING", "POINTER") else ON_A_SLIDER

    def operator(self, name: str, text: str | None = None, **_options) -> SimpleNamespace:
        kind = getattr(bpy.types, f"STYLERIG_OT_{name.partition('.')[2]}", None)
        if kind is not None and self.alone and text != "":
            self.written.append((text or kind.bl_label, ON_A_BUTTON))
        return SimpleNamespace()


def panels(extension) -> list[type]:
    found = [cls for cls in messages.classes(extension.__name__) if issubclass(cls, bpy.types.Panel)]
    return [cls for cls in found if cls.bl_space_type == "VIEW_3D"]


def test_what_is_written_fits_the_sidebar(extension, part, rig):
    bpy.context.view_layer.objects.active = rig
    bpy.context.scene.render.use_motion_blur = True
    look = rig.stylerig.looks.add()
    look.name, look.kind = "styles", "starganv2"
    written = []
    for cls in panels(extension):
        cls.draw(SimpleNamespace(layout=Layout(written)), bpy.context)
    assert len(written) > 40 and {"Large Seed", "Placement", "Task Frames"} <= {text for text, _ in written}
    assert [text for text, room in written if len(text) > room] == []


def test_who_it_is_can_be_read_beside_the_picture(part, rig):
    """Of seeds that Blender's own number field makes up."""
    bpy.context.view_layer.objects.active, rig.stylerig.portrait = rig, rig.stylerig.portrait.replace('"seed":7', '"seed":2147483647')
    words = []
    layout = MagicMock()
    part("ui.panels").draw_rig(layout, rig)
    for call in layout.mock_calls:
        words += [call.kwargs["text"]] if call[0].endswith("label") else []
    assert "Seed 2147483647" in words and max(map(len, words)) <= BESIDE_A_PICTURE


def test_links_lead_to_headings_of_the_guide(extension, part):
    opened = []
    layout = SimpleNamespace(operator=lambda _name, **_options: opened.append(SimpleNamespace()) or opened[-1])
    for cls in panels(extension):
        if hasattr(cls, "draw_header_preset"):
            cls.draw_header_preset(SimpleNamespace(layout=layout, guide=cls.guide), bpy.context)
    layout.row = lambda: layout
    part("ui.guide").draw_links(layout)
    assert len(opened) >= 10
    for link in (urlsplit(button.url) for button in opened):
        page = Path(unquote(link.path)) if ":" not in link.path else Path(unquote(link.path).lstrip("/"))
        assert Path(extension.__file__).parent / "docs" == page.parent
        assert not link.fragment or link.fragment in re.findall(r'id="([^"]+)"', page.read_text(encoding="utf-8")), link


def test_without_the_guide_there_are_no_links(part, monkeypatch, tmp_path):
    monkeypatch.setattr(part("ui.guide"), "FOLDER", tmp_path)
    layout = SimpleNamespace(operator=lambda *_arguments, **_options: pytest.fail("a link that leads nowhere"))
    layout.row = lambda: layout
    part("ui.guide").draw_links(layout)
