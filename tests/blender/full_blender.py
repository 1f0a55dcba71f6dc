"""The extension in the full Blender: in its window with real clicks, and rendering in the background.

    .venv/bin/python tests/blender/full_blender.py [first session again panels looks render] [--blender PROGRAM] [--fake]

first: ``window_first.py``. session: ``window_session.py``. again: another Blender that opens its file. panels: ``window_panels.py``.
looks: ``window_looks.py``. render: ``blender -b SHOT.blend -a``, killed and gone on with (``render_killed.py``). What they make goes
into build/full-blender, with screenshots to look at; docs/pictures/window.py makes the docs' pictures of them.

PROGRAM is a Blender 4.5 or newer; its window opens on the display that is there, which must be at
least 1600 x 1000 (xdotool and ImageMagick are needed). Without it, the Blender of a Debian in a folder
is used, if ../shared/tools/real_blender.sh has set one up (BASE, as there; for the superuser only).
Where there is neither it says so and ends with status 0. --fake: ``fake_backend.py`` instead of the real one,
which a busy computer may not start in time. pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import fake_backend  # noqa: E402

from backend.project.blender import Blender, blender_program  # noqa: E402
from backend.project.common import BUILD, ROOT  # noqa: E402
from backend.project.environments import MAIN  # noqa: E402
from backend.project.extension import package  # noqa: E402

FOLDER = BUILD / "full-blender"
TOOL = ROOT.parent / "shared" / "tools" / "real_blender.sh"
PASSED_ON = (
    "BLENDER_USER_RESOURCES", "STYLERIG_PYTHON", "STYLERIG_PAYLOAD", "STYLERIG_FAKE_DELAY", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
)  # fmt: skip
SIZES = {"first": "1600x1000", "session": "1600x1000", "panels": "1600x2000", "looks": "1600x1000"}  # of the screen
FAKE_DELAY = "0.3"  # seconds per frame
WAIT = 3600  # seconds that one Blender with its window may take


@dataclass(frozen=True)
class Program:
    """A Blender with a window: in the background it is ``blender``, in the window it is begun by ``window``."""

    blender: Blender
    window: tuple[str, ...]

    def show(self, part: str, *arguments: str) -> None:
        """Run Blender with its window to the end. Raises CalledProcessError."""
        environment = self.blender.environment(FOLDER / "user")
        passed_on = " ".join(f"{name}={environment[name]}" for name in PASSED_ON if name in environment)
        environment |= {"BLENV": passed_on, "GEOM": SIZES[part], "TMO": str(WAIT)}
        subprocess.run([*self.window, *arguments], env=environment, check=True)


@contextmanager
def debian() -> Iterator[Program | None]:
    """The Blender of the Debian in a folder. It sees this checkout and its Python at their own places, and may write to FOLDER."""
    root = Path(os.environ.get("BASE", "/tmp/real-blender")) / "chroot-sid"
    if not (TOOL.is_file() and (root / ".ready").is_file() and os.geteuid() == 0):
        yield None
        return
    subprocess.run(["bash", TOOL, "setup"], check=True)
    with ExitStack() as mounts:
        for place in (MAIN.executable.resolve().parents[1], ROOT, FOLDER):
            mounts.enter_context(seen(place, root / str(place)[1:], writable=place == FOLDER))
        passed_on = " ".join(f'${{{name}:+{name}="${name}"}}' for name in PASSED_ON)
        begin = FOLDER / "blender"
        begin.write_text(
            f'#!/bin/sh\nexec chroot {root} /usr/bin/env -i HOME=/root PATH=/usr/bin:/bin LANG=C.UTF-8 {passed_on} blender "$@"\n'
        )
        begin.chmod(0o755)
        yield Program(blender_program(str(begin), must_work=True), ("bash", str(TOOL), "run"))


@contextmanager
def seen(folder: Path, place: Path, writable: bool) -> Iterator[None]:
    """A folder that is seen at another place for a time."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", folder, place], check=True)
    try:
        if not writable:
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def alone() -> Iterator[None]:
    """Two at once would take each other's files away: the second one ends."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("full_blender.py is running already")
        yield


@contextmanager
def program(path: str | None) -> Iterator[Program | None]:
    """The Blender at ``path``, else the Debian's, else None."""
    if path:
        yield Program(blender_program(path, must_work=True), (path,))
        return
    with debian() as found:
        yield found


def first(found: Program, extension: Path) -> None:
    shutil.rmtree(FOLDER / "user", ignore_errors=True)
    found.show("first", "--python", str(HERE / "window_first.py"), *given(extension))


def session(found: Program, extension: Path) -> None:
    shutil.rmtree(FOLDER / "user", ignore_errors=True)
    for name in ("animation", "stopped"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    found.show("session", "--python", str(HERE / "window_session.py"), *given(extension))


def again(found: Program, extension: Path) -> None:
    script = str(HERE / "window_session.py")
    found.show("session", str(FOLDER / "session.blend"), "--python", script, *given(extension), "--again")


def given(extension: Path) -> tuple[str, ...]:
    """What the scripts for the window are told."""
    return "--", "--zip", str(extension), "--output", str(FOLDER)


def panels(found: Program, extension: Path) -> None:
    shutil.rmtree(FOLDER / "user", ignore_errors=True)
    found.show("panels", "--python", str(HERE / "window_panels.py"), *given(extension))


def looks(found: Program, extension: Path) -> None:
    shutil.rmtree(FOLDER / "user", ignore_errors=True)
    found.show("looks", "--python", str(HERE / "window_looks.py"), *given(extension))


def render(found: Program, extension: Path) -> None:
    import render_killed

    user_folder = FOLDER / "user-of-render"
    found.blender.install(extension, user_folder)
    render_killed.check(found.blender, user_folder, FOLDER / "render")


PARTS = {"first": first, "session": session, "again": again, "panels": panels, "looks": looks, "render": render}


def main() -> int:
    parser = argparse.ArgumentParser(prog="full_blender.py")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--blender", metavar="PROGRAM")
    parser.add_argument("--fake", action="store_true")
    options = parser.parse_args()
    unknown = set(options.parts) - PARTS.keys()
    if unknown:
        parser.error(f"unknown part: {', '.join(unknown)}")
    with alone(), program(options.blender) as found:
        if found is None:
            print("skipped: no Blender program; name one with --blender", flush=True)
            return 0
        extension = package(FOLDER)
        if options.fake:
            shutil.rmtree(FOLDER / "payload", ignore_errors=True)
            payload = fake_backend.make_payload(FOLDER / "payload")
            os.environ.update(STYLERIG_PAYLOAD=str(payload), STYLERIG_FAKE_DELAY=FAKE_DELAY)
        for part in options.parts or PARTS:
            print(f"{part}: {found.blender.label}", flush=True)
            PARTS[part](found, extension)
    return 0


if __name__ == "__main__":
    sys.exit(main())
