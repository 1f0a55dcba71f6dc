"""Finding the Python that an environment is made with. Standard library only."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from ..errors import Text, UserError
from .child_process import WINDOWS, clean_environment, hidden

VERSIONS = ("3.13", "3.12", "3.11")  # that the backend runs on, the preferred first; as requires-python in pyproject.toml
CHECK = (
    "import sys, struct, json, importlib.util as u; "
    "print(json.dumps(['%d.%d.%d' % sys.version_info[:3], sys.base_prefix, struct.calcsize('P'), "
    "[name for name in ('venv', 'ensurepip') if u.find_spec(name) is None]]))"
)
CHECK_SECONDS = 30
SHOWN = 3  # programs that an error names
# Places that installers use and that are not on the PATH of a program started from a menu; {} is the version.
USUAL_FOLDERS = (
    "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/homebrew/opt/python@{}/bin", "/opt/local/bin",
    "/Library/Frameworks/Python.framework/Versions/{}/bin",
)  # fmt: skip
INSTALL_STEPS = {  # sys.platform -> how one gets a Python there
    "linux": "Install one with the system's packages (Debian and Ubuntu: sudo apt install python3 python3-venv) and try again, "
    "or choose its program in the preferences.",
    "darwin": "Install one from https://www.python.org/downloads/ or with Homebrew (brew install python@3.13) and try again, "
    "or choose its program in the preferences.",
    "win32": "Install one from https://www.python.org/downloads/ and try again, or choose its program in the preferences.",
}


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs and can make environments."""

    program: Path
    version: str  # "3.11.7"
    prefix: Path  # where it is installed

    @property
    def minor(self) -> str:
        """The version without its last number: "3.11"."""
        return self.version.rpartition(".")[0]


def find(
    versions: tuple[str, ...] = VERSIONS, given: Path | None = None, preferred: Path | None = None, host: Path | None = None
) -> Interpreter:
    """A 64-bit Python with venv, of the first of ``versions`` that there is.

    ``given``: this program and no other. ``preferred``: taken if it will do. ``host``: folder of the
    host program's own Python, which is never used. Raises UserError.
    """
    if given is not None:
        return examine_given(given, versions, host)
    known: dict[Path, Interpreter | Text] = {}
    for candidate, wanted in in_order(versions, preferred):
        if candidate not in known:
            known[candidate] = examine(candidate, host)
        found = known[candidate]
        if isinstance(found, Interpreter) and found.minor in wanted:
            return found
    raise UserError(
        "no_python",
        "There is no usable Python {versions} on this computer. Looked at {programs}."
        if known
        else "There is no usable Python {versions} on this computer.",
        INSTALL_STEPS.get(sys.platform, INSTALL_STEPS["linux"]),
        versions=in_words(versions),
        programs=looked_at(known),
    )


def examine_given(given: Path, versions: tuple[str, ...], host: Path | None) -> Interpreter:
    """The interpreter that a person chose. Raises UserError where it will not do."""
    found = examine(given, host)
    if isinstance(found, Interpreter) and found.minor in versions:
        return found
    raise UserError(
        "wrong_python",
        "{program} cannot be used: {reason}.",
        "Choose the program of a Python {versions}, or leave the field empty to have one searched.",
        program=given,
        reason=why_not(found),
        versions=in_words(versions),
    )


def examine(program: Path, host: Path | None = None) -> Interpreter | Text:
    """The interpreter if the program is a Python, of whatever version, that can make environments, else why not."""
    if not program.is_file():
        return Text("there is no such file")
    try:
        answer = ask(program, ["-I", "-c", CHECK])
    except subprocess.TimeoutExpired:
        return Text("it does not answer")
    except OSError as error:
        return Text("it does not run ({error})", error=error.strerror or error)
    try:
        version, prefix, pointer, missing = json.loads(answer.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return Text("it is no Python that runs")
    if missing:
        minor = version.rpartition(".")[0]
        return Text("it lacks the module {module} (Debian and Ubuntu: package python{minor}-venv)", module=missing[0], minor=minor)
    if pointer != 8:
        return Text("it is a 32-bit Python, torch needs 64 bits")
    if host is not None and Path(prefix).resolve().is_relative_to(host.resolve()):
        return Text("it is Blender's own Python, which is left alone")
    return Interpreter(program, version, Path(prefix))


def ask(program: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a Python that should answer at once. Raises OSError, TimeoutExpired."""
    options = {"capture_output": True, "text": True, "errors": "replace", "stdin": subprocess.DEVNULL, **hidden()}
    return subprocess.run([str(program), *arguments], timeout=CHECK_SECONDS, env=clean_environment(), **options)


def why_not(found: Interpreter | Text) -> Text:
    """Why a program that was examined was not taken: itself, or its version."""
    return Text("it is Python {version}", version=found.version) if isinstance(found, Interpreter) else found


def looked_at(known: dict[Path, Interpreter | Text]) -> Text | str:
    """ "PROGRAM: why not; …" for the first few programs; empty without any."""
    seen = [Text("{program}: {reason}", program=program, reason=why_not(found)) for program, found in list(known.items())[:SHOWN]]
    return reduce(lambda first, second: Text("{first}; {second}", first=first, second=second), seen) if seen else ""


def in_words(versions: tuple[str, ...]) -> Text | str:
    """ "3.11, 3.12 or 3.13", or the only version."""
    *others, last = sorted(versions, key=numbers)
    return Text("{others} or {last}", others=", ".join(others), last=last) if others else last


def in_order(versions: tuple[str, ...], preferred: Path | None) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """(program, versions for which it is taken): the preferred one, then by version."""
    if preferred is not None:
        yield preferred, versions
    for version in versions:
        for candidate in candidates(version):
            yield candidate, (version,)


def candidates(version: str) -> list[Path]:
    """Files that may be a Python of this version, likely ones first; each once."""
    name = f"python{version}"
    found = [Path(path) for path in (shutil.which(name),) if path]
    roots = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    for folder in map(Path, os.get_exec_path()):
        found += [folder / f"{name}.exe", folder / "python.exe"] if WINDOWS else [folder / name, folder / "python3"]
        if folder.name == "shims":
            roots.append(folder.parent)
    for root in roots:
        found += newest_first(root.glob(f"versions/{version}.*/bin/{name}"))
        found += newest_first(root.glob(f"pyenv-win/versions/{version}.*/python.exe"))
    found += [*from_launcher(version), *(Path(folder.format(version)) / name for folder in USUAL_FOLDERS)]
    return list(dict.fromkeys(path for path in found if path.is_file()))


def newest_first(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted by the numbers in them, the highest first: 3.11.10 before 3.11.9."""
    return sorted(paths, key=lambda path: numbers(str(path)), reverse=True)


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def from_launcher(version: str) -> list[Path]:
    """What Windows' ``py`` launcher calls Python of this version."""
    launcher = shutil.which("py")
    if launcher is None:
        return []
    try:
        answer = ask(Path(launcher), [f"-{version}", "-c", "import sys; print(sys.executable)"])
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [Path(line) for line in answer.stdout.split("\n")[:1] if line.strip() and answer.returncode == 0]


def platform_name() -> str:
    """This computer in the words of a person who looks for a download: "Linux x86_64"."""
    return f"{platform.system() or sys.platform} {platform.machine()}"
