"""The extension's one kind of error: its texts are translated before anything is filled in."""

from __future__ import annotations

import pytest

from tests.helpers.addon_modules import addon_module

errors = addon_module("errors")
GERMAN = {
    "{program} cannot be used: {reason}.": "{program} ist nicht verwendbar: {reason}.",
    "it is Python {version}": "es ist Python {version}",
    "Choose another.": "Wähle ein anderes.",
}


@pytest.fixture
def error():
    reason = errors.Text("it is Python {version}", version="3.10")
    return errors.UserError("wrong_python", "{program} cannot be used: {reason}.", "Choose another.", program="/bin/py", reason=reason)


def test_an_error_reads_in_english(error):
    assert str(error) == "/bin/py cannot be used: it is Python 3.10. Choose another."
    assert (error.code, error.message, error.hint) == ("wrong_python", "/bin/py cannot be used: it is Python 3.10.", "Choose another.")


def test_templates_are_translated_before_they_are_filled(error):
    assert error.translated(GERMAN.__getitem__) == "/bin/py ist nicht verwendbar: es ist Python 3.10. Wähle ein anderes."


def test_a_text_without_values_keeps_its_braces():
    assert str(errors.UserError("x", "What {the backend} said.")) == "What {the backend} said."


def test_a_value_is_never_taken_for_a_template():
    assert str(errors.UserError("x", "It says: {message}", message="{no} {place} %s")) == "It says: {no} {place} %s"


def test_message_and_hint_may_have_values_of_their_own():
    error = errors.UserError("x", errors.Text("{name} is full.", name="a"), errors.Text("Empty {name}.", name="b"))
    assert str(error) == "a is full. Empty b."


def test_texts_are_equal_by_what_they_say():
    text = errors.Text("{name} is full.", name="a")
    assert text == errors.Text("{name} is full.", name="a")
    assert text != errors.Text("{name} is full.", name="b") and text != errors.Text("a is full.") and text != "a is full."
