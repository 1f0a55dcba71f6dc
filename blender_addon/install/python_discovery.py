"""Finding the Python that the backend's environment is made with. Standard library only."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..client.http_client import BackendError
from ..client.process import WINDOWS, clean_environment

VERSION = "3.11"  # what the payload's pins are made for
CHECK = (
    "import sys, struct, json, ensurepip, venv; "
    "print(json.dumps(['%d.%d' % sys.version_info[:2], sys.version.split()[0], sys.base_prefix, struct.calcsize('P')]))"
)
CHECK_SECONDS = 30
GET_PYTHON = "https://www.python.org/downloads/"
# Places that installers use and that are not on the PATH of a program started from a menu.
USUAL_FOLDERS = (
    "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/local/bin",
    f"/Library/Frameworks/Python.framework/Versions/{VERSION}/bin",
)  # fmt: skip


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs and can make environments."""

    program: Path
    version: str  # "3.11.7"
    prefix: Path  # where it is installed


def find(given: Path | None = None, host: Path | None = None) -> Interpreter:
    """A 64-bit Python 3.11 with venv: ``given``, or the first that is found.

    ``host``: folder of the host program's own Python, which is never used. Raises BackendError.
    """
    if given is not None:
        return examine_given(given, host)
    rejected = []
    for candidate in candidates():
        interpreter, reason = examine(candidate, host)
        if interpreter:
            return interpreter
        rejected.append(f"{candidate}: {reason}")
    seen = f" Looked at {'; '.join(rejected[:3])}." if rejected else ""
    raise BackendError(
        "no_python",
        f"There is no usable Python {VERSION} on this computer.{seen}",
        f"Install Python {VERSION} from {GET_PYTHON} and try again, or choose its program in these preferences.",
    )


def examine_given(given: Path, host: Path | None) -> Interpreter:
    interpreter, reason = examine(given, host)
    if interpreter is None:
        raise BackendError(
            "wrong_python",
            f"{given} cannot be used: {reason}.",
            f"Choose the program of a Python {VERSION}, or leave the field empty to have one searched.",
        )
    return interpreter


def examine(program: Path, host: Path | None) -> tuple[Interpreter | None, str]:
    """(interpreter, "") if the program is a Python that will do, else (None, why not)."""
    if not program.is_file():
        return None, "there is no such file"
    command = [str(program), "-I", "-c", CHECK]
    options = {"capture_output": True, "text": True, "errors": "replace", "stdin": subprocess.DEVNULL}
    try:
        answer = subprocess.run(command, timeout=CHECK_SECONDS, env=clean_environment(), **options, **hidden())
    except subprocess.TimeoutExpired:
        return None, "it does not answer"
    except OSError as error:
        return None, f"it does not run ({error.strerror or error})"
    try:
        version, whole, prefix, pointer = json.loads(answer.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        missing = re.search(r"No module named '(ensurepip|venv)'", answer.stderr)
        return None, f"it lacks the module {missing[1]} (package python{VERSION}-venv)" if missing else "it is no Python that runs"
    if version != VERSION:
        return None, f"it is Python {whole}, not {VERSION}"
    if pointer != 8:
        return None, "it is a 32-bit Python, torch needs 64 bits"
    if host is not None and Path(prefix).resolve().is_relative_to(host.resolve()):
        return None, "it is Blender's own Python, which is left alone"
    return Interpreter(program, whole, Path(prefix)), ""


def candidates() -> list[Path]:
    """Files that may be a Python 3.11, likely ones first; each once."""
    name = f"python{VERSION}"
    found = [Path(path) for path in (shutil.which(name),) if path]
    roots = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    for folder in map(Path, os.get_exec_path()):
        found += [folder / "python.exe"] if WINDOWS else [folder / name, folder / "python3"]
        if folder.name == "shims":
            roots.append(folder.parent)
    for root in roots:
        found += newest_first(root.glob(f"versions/{VERSION}.*/bin/{name}"))
        found += newest_first(root.glob(f"pyenv-win/versions/{VERSION}.*/python.exe"))
    found += [*from_launcher(), *(Path(folder) / name for folder in USUAL_FOLDERS)]
    return list(dict.fromkeys(path for path in found if path.is_file()))


def newest_first(paths) -> list[Path]:
    """Paths sorted by the numbers in them, the highest first: 3.11.10 before 3.11.9."""
    return sorted(paths, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))], reverse=True)


def from_launcher() -> list[Path]:
    """What Windows' ``py`` launcher calls Python 3.11."""
    launcher = shutil.which("py")
    if launcher is None:
        return []
    command = [launcher, f"-{VERSION}", "-c", "import sys; print(sys.executable)"]
    options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    try:
        answer = subprocess.run(command, timeout=CHECK_SECONDS, env=clean_environment(), **options, **hidden())
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [Path(line) for line in answer.stdout.split("\n")[:1] if line.strip() and answer.returncode == 0]


def hidden() -> dict:
    """Options of subprocess that keep Windows from opening a console."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if WINDOWS else {}


def platform_name() -> str:
    """This computer in the words of a person who looks for a download: "linux x86_64"."""
    import platform

    return f"{platform.system() or sys.platform} {platform.machine()}"
