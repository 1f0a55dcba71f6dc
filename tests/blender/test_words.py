"""Names and tooltips as Blender writes them, and the interface in other languages."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

import bpy
import messages
import pytest

from backend.project.blender import EXTENSION

LANGUAGES = ("de", "ja")
SMALL = {"a", "an", "the", "and", "or", "nor", "but", "of", "to", "as", "at", "by", "in", "on", "for", "from", "with", "per"}
UPPER = re.compile(r"^[A-Z0-9(.“]")
# How Blender spells: American English.
BRITISH = re.compile(r"\b\w*(colour|grey|centre|behaviour|favour|initialis|normalis|licence)\w*\b", re.IGNORECASE)
ROOM = 3  # times as long as the English a label may be before it is cut off


@pytest.fixture(scope="module")
def shown(extension, part) -> set[str]:
    """Every message of the interface."""
    package = Path(extension.__file__).parent
    return messages.of_classes(EXTENSION) | messages.of_source(package) | messages.of_tables(part)


@pytest.fixture(scope="module", params=LANGUAGES)
def table(request, part) -> dict[str, str]:
    """Message -> translation of one language."""
    return json.loads((part("translations").FOLDER / f"{request.param}.json").read_text(encoding="utf-8"))


def title_case(name: str) -> bool:
    words = name.split()
    inner = all(UPPER.match(word) or word.lower() in SMALL for word in words[1:-1])
    return all(UPPER.match(word) for word in (words[0], words[-1])) and inner


def test_title_case_is_told_apart():
    assert title_case("Set Up Sequence Output") and title_case("From Scene") and title_case("Python 3.11") and title_case("3D Views")
    assert not title_case("Set up Compositor") and not title_case("new Portrait") and not title_case("Light preset")


def named() -> dict[str, str]:
    """Where a name stands -> the name, for all that is registered."""
    found = {}
    for cls in messages.classes(EXTENSION):
        if not issubclass(cls, bpy.types.PropertyGroup | bpy.types.AddonPreferences | bpy.types.UIList):
            found[cls.__name__] = cls.bl_label
        for prop in messages.properties(cls):
            found[f"{cls.__name__}.{prop.identifier}"] = prop.name
            for item in prop.enum_items_static if prop.type == "ENUM" else ():
                found[f"{cls.__name__}.{prop.identifier} {item.identifier}"] = item.name
    return found


def described() -> dict[str, str]:
    """Where a tooltip stands -> the tooltip, for operators, properties and enum items."""
    found = {}
    for cls in messages.classes(EXTENSION):
        if issubclass(cls, bpy.types.Operator):
            found[cls.__name__] = messages.operator_rna(cls).description
        for prop in messages.properties(cls):
            found[f"{cls.__name__}.{prop.identifier}"] = prop.description
            for item in prop.enum_items_static if prop.type == "ENUM" else ():
                found[f"{cls.__name__}.{prop.identifier} {item.identifier}"] = item.description
    return found


def test_names_are_in_title_case():
    assert len(named()) > 80
    assert [place for place, name in named().items() if not name or not title_case(name)] == []


def test_tooltips_are_there_and_end_without_a_full_stop():
    assert len(described()) > 80
    wrong = {place: text for place, text in described().items() if not text or text.endswith(".") or not UPPER.match(text)}
    assert wrong == {}
    assert {place: text for place, text in described().items() if text == named().get(place)} == {}  # says no more than the name


def test_operators_are_named_alike():
    for cls in messages.classes(EXTENSION):
        if issubclass(cls, bpy.types.Operator):
            assert cls.bl_idname.startswith("stylerig.") and cls.__name__ == f"STYLERIG_OT_{cls.bl_idname.partition('.')[2]}"
        if issubclass(cls, bpy.types.Panel):
            assert cls.__name__.startswith("STYLERIG_PT_")


def test_words_are_spelled_as_blender_does(shown):
    assert sorted(text for text in shown if BRITISH.search(text)) == []


def test_every_message_stands_in_every_language(shown, table):
    """A new message goes into each file of blender_addon/locale, with an empty text where it is not translated yet."""
    assert sorted(shown - table.keys()) == []
    assert sorted(table.keys() - shown) == []  # gone from the interface
    assert list(table) == sorted(table)


def test_what_is_filled_in_stays(table):
    def places(text: str) -> set:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    for text, translated in table.items():
        if translated:
            assert places(translated) == places(text), text
            assert translated == translated.strip() and translated.endswith("…") == text.endswith("…"), text
            assert len(translated) <= ROOM * len(text) + 10, text


def test_blender_knows_the_translations(part):
    """The wheel of bpy has no languages to switch to: what is registered is looked at instead."""
    tables = part("translations").tables()
    assert set(tables) == set(LANGUAGES)
    assert tables["de"]["Operator", "New Portrait"] == tables["de"]["*", "New Portrait"] == "Neues Porträt"


def test_errors_are_translated_before_they_are_filled_in(part, monkeypatch):
    errors, translations = part("errors"), part("translations")
    problem = errors.UserError("no_pose", "There is no pose named “{name}”.", "Choose one of the list.", name="Grin")
    assert str(problem) == translations.tr_error(problem) == "There is no pose named “Grin”. Choose one of the list."
    german = {text: words for (_, text), words in translations.tables()["de"].items()}
    assert problem.translated(lambda text: german.get(text, text)) == "Es gibt keine Pose namens „Grin“. Eine aus der Liste wählen."
    assert translations.tr_error(errors.UserError("x", "What {the backend} said.")) == "What {the backend} said."
    assert translations.tr("") == ""
    assert translations.tr("With {name}", name="A") == translations.tr(errors.Text("With {name}", name="A")) == "With A"


def test_no_words_are_put_together_before_they_are_translated(extension):
    assert messages.formatted(Path(extension.__file__).parent) == []


@pytest.mark.parametrize(
    "call",
    [
        'UserError("x", f"The mesh {name} has no UV map.")',
        'UserError("x", "It is full.", f"Connect {name} by hand.")',
        'tr("%d pixels" % size)',
        'self.report({"ERROR"}, "{} pixels".format(size))',
        'layout.label(text="Size: " + size)',
        'Text("It is {where}.", where="in the folder")',
        'UserError("x", "No {what}." if what else f"None of {what}.")',
        'hint = "Choose another."; raise UserError("x", "It is full.", hint)',
    ],
)
def test_words_that_are_put_together_are_found(tmp_path, call):
    (tmp_path / "part.py").write_text(f"def f():\n    {call}\n", encoding="utf-8")
    assert messages.formatted(tmp_path) == ["part.py:2"]


@pytest.mark.parametrize(
    "call", ['label(text=f"{tr(a)}  {minutes}:{seconds:02}")', 'tr("{n} of {m}", n=f"{n:.1f}", m=name)', "tr(STATES[a])"]
)
def test_what_is_put_together_of_whole_texts_is_fine(tmp_path, call):
    (tmp_path / "part.py").write_text(f"{call}\n", encoding="utf-8")
    assert messages.formatted(tmp_path) == []
