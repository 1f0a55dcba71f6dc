"""``blender -b SHOT.blend -a``, killed: what ``full_blender.py`` looks at. Linux only.

Finished frames stay as they are, the next render goes on where this one stopped, and in the end
the pictures are those of a render that nothing happened to.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from backend.project.blender import Blender
from backend.project.common import ROOT

sys.path.insert(0, str(ROOT / "blender_addon" / "render"))
from file_integrity import is_complete, is_marked

FRAMES = 9
PATIENCE = 900.0  # seconds that one render may take


class Shot:
    """The saved shot, its frames, and rendering it in the background."""

    def __init__(self, blender: Blender, user_folder: Path, blend: Path):
        self.blender, self.blend, self.log = blender, blend, blend.with_suffix(".log")
        self.environment = blender.environment(user_folder)
        script = Path(__file__).parent / "render_shot.py"
        command = blender.command(script, str(blend), "--frames", str(FRAMES))
        subprocess.run(command, env=self.environment, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)

    def start(self) -> subprocess.Popen:
        with open(self.log, "wb") as log:
            command = [str(self.blender.executable), "--background", str(self.blend), "--render-anim"]
            return subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def render(self) -> int:
        """To the end; returns the exit status."""
        with self.start() as process:
            return process.wait(PATIENCE)

    def files(self) -> list[Path]:
        folders = ("frames", "passes")
        return sorted(path for name in folders for path in (self.blend.parent / name).glob("*"))

    def pictures(self) -> list[Path]:
        return [path for path in self.files() if path.suffix == ".png"]

    def finished(self) -> dict[Path, tuple[bytes, int]]:
        """Content and time of the files of finished frames: PNG and EXR are whole, and both say what made them."""
        done = [path for path in self.pictures() if is_finished(path) and is_finished(passes_of(path))]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for one in done for path in (one, passes_of(one))}

    def pixels(self) -> list[np.ndarray]:
        return [np.asarray(Image.open(path)) for path in self.pictures()]

    def saved(self) -> int:
        """How many frames the last render drew."""
        return self.said().count("Saved: ") // 2  # PNG and EXR

    def said(self) -> str:
        """What the last render printed."""
        return self.log.read_text(errors="replace")

    def clear(self) -> None:
        for path in self.files():
            path.unlink()


def is_finished(path: Path) -> bool:
    return is_complete(path) and bool(is_marked(path))


def passes_of(picture: Path) -> Path:
    return picture.parents[1] / "passes" / f"{picture.stem}.exr"


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.001)


def children(parent: int) -> list[int]:
    """Processes that ``parent`` has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def killed_blender(shot: Shot) -> list[np.ndarray]:
    """Blender itself is killed some times, each time after two more frames; returns the finished pictures."""
    before = {}
    for in_the_file in (False, True, True):
        seen = len(shot.pictures())
        with shot.start() as process:
            wait_for(lambda seen=seen, process=process: len(shot.pictures()) >= seen + 2 or process.poll() is not None)
            backends = children(process.pid)
            if in_the_file:  # the EXR comes before the PNG, and gets its texts after it
                wait_for(lambda: len(shot.files()) > 2 * len(shot.pictures()) or process.poll() is not None)
            else:
                time.sleep(0.3)
            process.kill()
        assert process.returncode == -signal.SIGKILL and backends
        wait_for(lambda backends=backends: not any(map(is_running, backends)))
        after = shot.finished()
        assert before.items() <= after.items(), "a finished frame was touched"
        half = [path.name for path in shot.files() if path not in after]
        print(
            f"Blender killed with {len(after) // 2} of {FRAMES} frames finished, begun: {half or 'none'}; its backend is gone", flush=True
        )
        before = after
    assert shot.render() == 0
    after = shot.finished()
    assert len(after) == len(shot.files()) == 2 * FRAMES and before.items() <= after.items()
    assert shot.saved() == FRAMES - len(before) // 2, shot.saved()
    print(f"then {shot.saved()} frames were drawn, the finished ones left as they were", flush=True)
    return shot.pixels()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def listens(pid: int) -> bool:
    """Whether a process waits for connections: the backend does when it is ready."""
    try:
        sockets = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    except OSError:
        return False  # ended meanwhile
    return any(line[3] == "0A" and f"socket:[{line[9]}]" in sockets for line in lines)


def killed_backend(shot: Shot, times: int) -> int:
    """Kill the backend as soon as two frames are there, and again whenever it is back; returns Blender's exit status."""
    killed = set()
    with shot.start() as process:
        while process.poll() is None:
            found = [pid for pid in children(process.pid) if pid not in killed and listens(pid)]
            if found and len(killed) < times and len(shot.pictures()) >= 2:
                os.kill(found[0], signal.SIGKILL)
                killed.update(found)
            time.sleep(0.02)
    assert killed, shot.said()
    assert process.returncode >= 0, "Blender died with it"
    print(f"backend killed {len(killed)} times: exit status {process.returncode}, {len(shot.pictures())} of {FRAMES} frames", flush=True)
    return process.returncode


def check(blender: Blender, user_folder: Path, folder: Path) -> None:
    """All of it, in ``folder``. Raises AssertionError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shot = Shot(blender, user_folder, folder / "shot.blend")
    interrupted = killed_blender(shot)
    shot.clear()
    assert killed_backend(shot, times=1) == 0 and len(shot.finished()) == 2 * FRAMES
    for one, other in zip(interrupted, shot.pixels(), strict=True):
        np.testing.assert_array_equal(one, other)
    shot.clear()
    killed_backend(shot, times=100)
    before, told = shot.finished(), [line for line in shot.said().splitlines() if "ERROR The backend" in line]
    assert told and ("Render again" in told[-1] or "Log: " in told[-1]), shot.said()  # killed while it drew, or just before
    print(told[-1], flush=True)
    assert 4 <= len(before) < 2 * FRAMES and len(shot.files()) == len(before), "half a frame was left"
    assert shot.render() == 0
    assert len(shot.finished()) == 2 * FRAMES and before.items() <= shot.finished().items()
    for one, other in zip(interrupted, shot.pixels(), strict=True):
        np.testing.assert_array_equal(one, other)
    print("gone on; all pictures the same, however they came about", flush=True)
