"""Whether a frame is done, and what Blender is told of it.

A frame is done when all of its files are there, whole, and say that StyleRig made them. With Overwrite off, Blender
skips a frame whose picture is there, however little of it. So where there are frames that only look done, it is not
shown the output folder when it asks for that, but one of its own, the register, with an empty file for each frame
to skip. Nothing in the output folder is moved or removed: Blender draws the others and writes over what is there.

Several Blenders may work in one folder, on computers whose clocks differ: what changes while one looks at it, another
is at work on; what rests, none is. With Placeholders on, Blender itself keeps them apart: there is no register then,
and what another has begun stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import bpy

from . import output_files
from .file_integrity import is_complete, is_marked

REST_SECONDS = 2.0  # what has not changed for so long, nobody is at work on
POLL_SECONDS = 0.1
HASHES = "#" * output_files.DIGITS
MAX_THREADS = 16  # frames looked at side by side: files on a server take their time

State = tuple[tuple[str, int, int, int], ...]
FINISHED_FRAMES: set[tuple[tuple[str, ...], State]] = set()  # frames that were found done: the files they must have, and their state
UNFINISHED_SINCE: dict[State, float] = {}  # when frames that were not done were first seen so, by this computer's steady clock


def is_finished(path: Path) -> bool:
    """Whether a file is whole and says that StyleRig made it, as far as its format can."""
    try:
        return is_complete(path) and is_marked(path) is not False
    except OSError:
        return False


def is_done(paths: Iterable[str]) -> bool:
    """Whether a frame that has these files is done."""
    return all((there := output_files.found([path])) and all(map(is_finished, there)) for path in paths)


def state(paths: Iterable[Path]) -> State:
    """What changes when files are written to: name, place on disk, time, size. Only to be compared with another state."""
    seen = []
    for path in paths:
        with contextlib.suppress(OSError):  # gone meanwhile
            status = path.stat()
            seen.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(seen)


def is_finished_at_rest(path: Path, mend: Callable[[], None]) -> bool:
    """Whether a file that was just written is finished, now or once no other program works on it.

    ``mend()`` is called as long as it is not.
    """
    last, since = None, time.monotonic()
    while not is_finished(path):
        mend()
        now = state([path])
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > REST_SECONDS:
            return is_finished(path)
        time.sleep(POLL_SECONDS)
    return True


def wait_for_rest(begun: Iterable[State]) -> None:
    """Until each of these states, at least one, has been there for REST_SECONDS; in a person's next render they have."""
    now = time.monotonic()
    seen = [UNFINISHED_SINCE.setdefault(one, now) for one in begun]
    time.sleep(max(max(seen) + REST_SECONDS - now, 0.0))


class Register:
    """Which frames of a scene's animation Blender is to skip. Made when a render begins, closed when it ends."""

    def __init__(self, scene: bpy.types.Scene):
        """Raises RuntimeError for an output path that Blender cannot read, OSError."""
        self.own, self.lent = scene.render.filepath, ""
        self.not_written: set[int] = set()  # which of a frame's files this render turns out not to have
        there = output_files.existing(scene)
        begun = self.not_done(scene, there)
        self.left = set(begun)  # to others, who work on them
        self.resting: dict[int, State] = {}  # frames to be drawn anew
        if begun and not scene.render.use_placeholder:
            wait_for_rest(begun.values())
            now = self.not_done(scene, begun)
            self.resting = {frame: seen for frame, seen in now.items() if seen == begun[frame]}
            self.left = now.keys() - self.resting.keys()
        self.done = set(there) - self.left - self.resting.keys()
        if self.resting:  # else Blender may look for itself
            self.lend(scene)

    def lend(self, scene: bpy.types.Scene) -> None:
        """Show Blender the register in place of the output folder, until the first frame begins.

        That holds for a still too, which has the same path but without a number: a link leads it to where it belongs.
        """
        stills = output_files.stills(scene)
        self.folder = Path(tempfile.mkdtemp(prefix="finished-frames-", dir=bpy.app.tempdir))
        scene.render.filepath = self.lent = f"{self.folder}/{HASHES if os.path.basename(self.own) else ''}"
        self.names = [path.name.rpartition(str(output_files.MAX_FRAME)) for path in output_files.pictures(scene, output_files.MAX_FRAME)]
        self.stills = {path.name: still for path, still in zip(output_files.stills(scene), stills, strict=False)}
        for name, still in self.stills.items():
            with contextlib.suppress(OSError):  # a system that allows no links: ``close`` moves it
                (self.folder / name).symlink_to(still)
        for frame in self.done | self.left:
            self.enter(frame)

    def give_back(self, scene: bpy.types.Scene) -> None:
        """Show Blender the output folder again, if nobody has chosen another meanwhile."""
        if self.lent and scene.render.filepath == self.lent:
            scene.render.filepath = self.own

    def close(self, scene: bpy.types.Scene) -> None:
        """The render is over."""
        self.give_back(scene)
        if not self.lent:
            return
        with contextlib.suppress(OSError):  # the folder was removed, or somebody wrote into it: then that stays
            for path in list(self.folder.iterdir()):
                if path.name in self.stills and not path.is_symlink():
                    shutil.move(path, self.stills[path.name])
                elif path.is_symlink() or not path.stat().st_size:
                    path.unlink()
            self.folder.rmdir()

    def entries(self, frame: int) -> list[Path]:
        """The files that stand for a frame, one for each view; none where Blender looks for itself."""
        number = output_files.number(frame, len(HASHES))
        return [self.folder / f"{before}{number}{after}" for before, _, after in self.names] if self.lent else []

    def enter(self, frame: int) -> None:
        for path in self.entries(frame):
            path.touch()

    def strike(self, frame: int) -> None:
        for path in self.entries(frame):
            path.unlink(missing_ok=True)

    def skips(self, scene: bpy.types.Scene, frame: int) -> bool:
        """Whether Blender will skip the frame, as far as is known now."""
        return self.entries(frame)[0].exists() if self.lent else has_picture(scene, frame)

    def look(self, scene: bpy.types.Scene) -> None:
        """After a frame: see which of the next are done by now, up to one that Blender is to draw."""
        for frame in count(scene.frame_current + scene.frame_step, scene.frame_step):
            if not has_picture(scene, frame):
                self.strike(frame)
                return
            if frame in self.done | self.left:
                continue
            paths = self.files_of(scene, frame)
            done = is_done(paths)
            if not done and self.lent and state(output_files.found(paths)) == self.resting.get(frame):
                return
            (self.done if done else self.left).add(frame)
            self.enter(frame)

    def files_of(self, scene: bpy.types.Scene, frame: int) -> list[str]:
        """The files that a frame must have to be done."""
        return [path for index, path in enumerate(output_files.of_frame(scene, frame)) if index not in self.not_written]

    def not_done(self, scene: bpy.types.Scene, frames: Iterable[int]) -> dict[int, State]:
        """Those of the frames that are not done, and the state of their files. What was done and is as it was is not read again."""
        paths = {frame: tuple(self.files_of(scene, frame)) for frame in frames}
        with ThreadPoolExecutor(MAX_THREADS) as lookers:
            states = dict(zip(paths, lookers.map(lambda names: state(output_files.found(names)), paths.values()), strict=False))
            unknown = [frame for frame in paths if (paths[frame], states[frame]) not in FINISHED_FRAMES]
            done = dict(zip(unknown, lookers.map(lambda frame: is_done(paths[frame]), unknown), strict=False))
        FINISHED_FRAMES.update((paths[frame], states[frame]) for frame in unknown if done[frame])
        return {frame: states[frame] for frame in unknown if not done[frame]}

    def left_undone(self, scene: bpy.types.Scene) -> list[int]:
        """Frames of the scene's range that were left to others and are still not done."""
        within = (frame for frame in sorted(self.left) if scene.frame_start <= frame <= scene.frame_end)
        return [frame for frame in within if not is_done(self.files_of(scene, frame))]


def has_picture(scene: bpy.types.Scene, frame: int) -> bool:
    """Whether a frame has a picture, of any view: Blender asks no more before it skips one."""
    return any(path.exists() for path in output_files.pictures(scene, frame))


def set_aside(scene: bpy.types.Scene, frame: int) -> list[tuple[str, str]]:
    """Keep what another program made of a frame that is about to be written: returns old and new names.

    Not what a render of ours left that was killed before a File Output's file had its texts: that is older than its picture.
    """
    there = [path for path in output_files.pictures(scene, frame) if path.is_file()]
    strange = [path for path in output_files.found(output_files.of_frame(scene, frame)) if is_complete(path) and is_marked(path) is False]
    if there and not set(there) & set(strange):
        newest = max(path.stat().st_mtime_ns for path in there)  # times of one file server
        strange = [path for path in strange if path.stat().st_mtime_ns > newest]
    return [(path.name, keep(path)) for path in (strange if there else ())]


def keep(path: Path) -> str:
    """Give a file another name, which no other has; returns that."""
    names = (path.with_name(f"{path.name}.old{number or ''}") for number in count())
    kept = next(name for name in names if not name.exists())
    os.rename(path, kept)
    return kept.name
