"""Every command that the README and the docs name is one that its program takes."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

import build
from backend.cli import main
from backend.cli.doctor import pinned
from models.extras import extras

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "docs" / "pictures").glob("*.py"))]
PROGRAM = r"(?:\.venv/bin/)?python(?:3\.11)? "
ALTERNATIVES = re.compile(r"\S+\|\S+")  # cpu|cuda


class Accepted(BaseException):
    """The program has parsed its arguments; it goes no further."""


def commands(text: str) -> dict[str, bool]:
    """What stands in a text as a line of code of its own, which \\ goes on: True; or is mentioned between backquotes: False."""
    text = text.replace("\\\n", " ").replace("\\|", "|")
    lines = re.findall(rf"^ {{4,}}({PROGRAM}.*?)(?: +#.*)?$", text, re.MULTILINE)
    mentions = re.findall(rf"`({PROGRAM}[^`]+)`", text)
    return {" ".join(command.split()): whole for found, whole in ((mentions, False), (lines, True)) for command in found}


def spoken_out(command: str) -> list[list[str]]:
    """The words after the interpreter, with all that is optional, once for each of alternatives like cpu|cuda; N is a number."""
    command = command.partition(" ")[2].replace("[", "").replace("]", "").replace("…", "")
    found = ALTERNATIVES.search(command)
    if not found:
        return [["3" if word == "N" else word for word in shlex.split(command)]]
    return [words for choice in found[0].split("|") for words in spoken_out(f"- {command.replace(found[0], choice, 1)}")]


def named() -> list:
    found = {}
    for path in TEXTS:
        for command, whole in commands(path.read_text(encoding="utf-8")).items():
            ours = [words for words in spoken_out(command) if words[:2] != ["-m", "pip"]]
            found |= {f"{path.name}: {' '.join(words)}": (words, whole) for words in ours}
    return [pytest.param(*command, id=name) for name, command in found.items()]


def start(program: str, arguments: list[str], whole: bool, monkeypatch) -> None:
    """Run a program of the project until it has parsed its arguments, all of them if the command is ``whole``. Raises Accepted."""
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self, args=None, namespace=None):
        for action in self._actions:
            action.required = action.required and whole
        parse(self, args, namespace)
        raise Accepted

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    if program == "build.py":
        build.parse(arguments)
        raise Accepted
    if program == "backend":
        main.main(arguments)
    elif program.endswith(".py"):
        runpy.run_path(str(ROOT / program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__")


@pytest.mark.parametrize(("words", "whole"), named())
def test_commands_are_accepted(words, whole, monkeypatch, capsys):
    program, *arguments = words[1:] if words[0] == "-m" else words
    if "full_blender" in program and sys.platform == "win32":
        pytest.skip("not for Windows")
    if arguments == ["--help"]:
        assert main.main(arguments) == 0
        return
    try:
        with pytest.raises(Accepted):
            start(program, arguments, whole, monkeypatch)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def test_all_kinds_of_commands_are_found():
    programs = {next(word for word in words.values[0] if word != "-m") for words in named()}
    assert {
        "build.py",
        "backend",
        "models.synthetic",
        "docs.pictures.light",
        "docs/pictures/face.py",
        "tests/blender/full_blender.py",
    } <= programs
    assert spoken_out("python build.py setup [--device cpu|cuda] [--frames N]") == [
        ["build.py", "setup", "--device", device, "--frames", "3"] for device in ("cpu", "cuda")
    ]
    assert commands("`python x.py\nA`\n\n    python y.py \\\n        B   # why\n") == {"python x.py A": False, "python y.py B": True}


def test_every_command_is_in_the_docs():
    text = "\n".join(path.read_text(encoding="utf-8") for path in TEXTS)
    assert [name for name in main.COMMANDS if not re.search(rf"(`|python -m backend ){name}\b", text)] == []


def test_commands_in_messages_exist():
    sources = [
        path for folder in ("backend", "models", "blender_addon") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".json")
    ]
    found = {
        command
        for path in sources
        for command in re.findall(
            r"python (build\.py|-m backend) ((?:train |evaluate |data )?[a-z]+(?:-[a-z]+)*)", path.read_text(encoding="utf-8")
        )
    }
    assert ("build.py", "setup") in found and ("-m backend", "train rig") in found
    for program, command in found:
        if program == "build.py":
            build.parse([command])
        else:
            assert main.split_command(command.split())[0] or command in {"train", "evaluate", "data"}, command


def test_versions_in_docs_are_those_of_the_project():
    pins = dict(pin.split("==") for extra, pins in extras().items() if "blender" not in extra for pin in pins) | pinned()
    found = {pin for path in TEXTS for pin in re.findall(r"\b([\w.-]+)==([\d.]+)", path.read_text(encoding="utf-8"))}
    assert found and dict(found) == {name: pins[name] for name, _ in found}
