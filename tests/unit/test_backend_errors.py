"""Statuses and commands are the upper layers' words: the models' errors have codes, and every code in the tables is in use."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path

import httpx
import pytest

from backend.cli import main
from backend.cli.hints import COMMANDS, hint_of
from backend.server.app import create_app
from backend.server.errors import STATUS, status_of
from backend.server.inference import rig_library
from models.errors import StyleRigError

ROOT = Path(__file__).resolve().parents[2]
ABOVE = re.compile(r"-m backend|build\.py")  # commands of the layers above the models


def error_calls(folder: str) -> list[tuple[str, ast.Call]]:
    """Where errors are made in the sources of a folder."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        found += [(f"{path.relative_to(ROOT)}:{call.lineno}", call) for call in calls if "rror" in ast.unparse(call.func)]
    return found


def texts(call: ast.Call) -> str:
    return " ".join(node.value for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def codes() -> set[str]:
    calls = [call for folder in ("models", "backend") for _, call in error_calls(folder)]
    return {word.value.value for call in calls for word in call.keywords if word.arg == "code" and isinstance(word.value, ast.Constant)}


def test_the_models_name_no_command_of_the_layers_above():
    calls = error_calls("models")
    assert len(calls) > 50
    assert [place for place, call in calls if ABOVE.search(texts(call))] == []


def test_every_code_in_the_tables_is_an_errors():
    assert set(STATUS) | set(COMMANDS) <= codes()


@pytest.mark.parametrize(
    ("code", "status"), [("other_weights", 409), ("busy", 429), ("unknown_model", 404), ("error", 400), ("anything", 400)]
)
def test_statuses_go_by_the_code(code, status):
    assert status_of(StyleRigError("Wrong.", code=code)) == status


def test_a_hint_ends_with_the_command():
    plain, known = StyleRigError("Wrong.", "Do right."), StyleRigError("Wrong.", "Train them.", code="missing_features")
    assert hint_of(plain) == "Do right."
    assert hint_of(known) == "Train them. `python -m backend train features --data DIR --output FILE` trains them."
    assert not hint_of(StyleRigError("Wrong."))


@pytest.mark.parametrize("code", sorted(COMMANDS))
def test_commands_in_hints_exist(code):
    for command in re.findall(r"`python -m backend ([a-z ]+)", COMMANDS[code]):
        assert main.split_command(command.split())[0]


def test_the_terminal_shows_the_command_too(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("models.rigging.folders.WEIGHTS", tmp_path)
    assert main.main(["sample", "--seeds", "1", "--output", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert "finished rig training. `python -m backend train rig` trains a rig." in capsys.readouterr().err


def test_clients_over_http_read_no_commands():
    def loader(device):
        raise StyleRigError("There are no weights.", "Reinstall StyleRig.", code="missing_weights")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(rig_library(loader), "token"))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8123") as client:
            return await client.get("/v1/models", headers={"Authorization": "Bearer token"})

    answer = asyncio.run(ask())
    assert answer.json()["error"] == {"code": "missing_weights", "message": "There are no weights.", "hint": "Reinstall StyleRig."}
