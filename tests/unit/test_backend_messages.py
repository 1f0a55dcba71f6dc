"""The backend's errors in the extension: known by their words, which the backend still says, and open to translation."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.helpers.addon_modules import addon_module

messages = addon_module("client.backend_messages")
ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = [(code, template) for code, templates in messages.MESSAGES.items() for template in templates]


def shape(value: ast.expr) -> str:
    """A text of the source with {} where something is filled in."""
    if isinstance(value, ast.JoinedStr):
        return "".join(shape(part) for part in value.values)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else "{}"


@pytest.fixture(scope="module")
def said() -> set[str]:
    """All texts of the backend and the models."""
    sources = [path for package in ("backend", "models") for path in (ROOT / package).rglob("*.py")]
    nodes = (node for path in sources for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return {shape(node) for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant)}


@pytest.mark.parametrize(("code", "template"), TEMPLATES)
def test_the_backend_still_says_it(said, code, template):
    assert code in said
    assert re.sub(r"{\w+}", "{}", template) in said


@pytest.mark.parametrize(("code", "template"), TEMPLATES)
def test_what_was_filled_in_is_taken_out_again(code, template):
    values = {name: f"a {{{name}}} of (1.5)" for name in re.findall(r"{(\w+)}", template)}
    found = messages.recognised(code, template.format(**values))
    assert found.template == template and found.values == values


def test_an_error_reads_as_the_backend_wrote_it_and_can_be_translated():
    error = messages.backend_error({"code": "busy", "message": "5 requests are waiting already.", "hint": "Wait for answers first."})
    assert (error.code, str(error)) == ("busy", "5 requests are waiting already. Wait for answers first.")
    german = {"{count} requests are waiting already.": "{count} Anfragen warten bereits."}
    assert error.message_text.translated(lambda text: german.get(text, text)) == "5 Anfragen warten bereits."


@pytest.mark.parametrize("code", ["busy", "a code of a later version"])
def test_what_is_not_known_is_shown_as_it_is(code):
    error = messages.backend_error({"code": code, "message": "It {failed} at 100%.", "hint": ""})
    assert (error.code, str(error)) == (code, "It {failed} at 100%.")


@pytest.mark.parametrize("answer", [{}, {"code": "busy"}, [], None, "busy"])
def test_another_answer_is_no_error_of_the_backend(answer):
    with pytest.raises((LookupError, TypeError)):
        messages.backend_error(answer)
