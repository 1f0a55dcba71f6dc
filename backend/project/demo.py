"""The demo: drives blender_addon/demo.py in a Blender of its own, then makes the film."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from backend.project.blender import Blender, choose_blender
from backend.project.common import BUILD, ROOT, BuildError, say
from backend.project.environments import MAIN, setup
from backend.project.extension import package


class Progress:
    """Shows what a child process reports, and keeps the rest of its output in a log.

    Lines it understands: "@step TEXT", "@progress DONE TOTAL", "@result JSON", "@error TEXT".
    """

    def __init__(self, log: Path):
        self.log = log
        self.result: dict = {}
        self.error = ""
        self.started = time.monotonic()

    def run(self, command: list[str], environment: dict[str, str] | None = None) -> int:
        """Run the command to its end, also when interrupted, and return its exit status."""
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with (
            open(self.log, "a", encoding="utf-8") as log,
            subprocess.Popen(command, env=environment, text=True, errors="replace", **options) as process,
        ):
            try:
                for line in process.stdout or ():
                    if not self.take(line.rstrip("\n")):
                        log.write(line)
            except BaseException:
                process.kill()
                raise
        return process.returncode

    def take(self, line: str) -> bool:
        kind, _, rest = line.partition(" ")
        if kind == "@step":
            self.started = time.monotonic()
            say(rest)
        elif kind == "@progress":
            self.bar(*map(int, rest.split()))
        elif kind == "@result":
            self.result.update(json.loads(rest))
        elif kind == "@error":
            self.error = rest
        return kind in ("@step", "@progress", "@result", "@error")

    def bar(self, done: int, total: int) -> None:
        seconds = time.monotonic() - self.started
        filled = 30 * done // total
        text = f"  [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}  {seconds:.0f} s"
        if sys.stdout.isatty():
            print(f"\r{text}", end="\n" if done == total else "", flush=True)
        elif done == total or done * 4 // total > (done - 1) * 4 // total:
            say(text)


def demo(arguments: argparse.Namespace) -> int:
    """The whole chain once: see README.md."""
    if arguments.frames < 1:
        raise BuildError("--frames must be at least 1.")
    started = time.monotonic()
    environments = setup()
    blender = choose_blender(arguments.blender, environments)
    output = prepare_output(arguments.output)
    extension = package()
    say(f"Packaged the extension: {relative(extension)} ({extension.stat().st_size / 1e6:.1f} MB)")
    user_folder = BUILD / "demo-blender"
    blender.install(extension, user_folder)
    say(f"Installed it in {blender.label} with a user folder of its own: {relative(user_folder)}")

    progress = Progress(output / "demo.log")
    options = ["--output", str(output), "--frames", str(arguments.frames)]
    script = blender.command(ROOT / "blender_addon" / "demo.py", *options)
    status = progress.run(script, blender.environment(user_folder))
    if status or not progress.result:
        raise BuildError(progress.error or f"Blender stopped ({status}); its words are in {progress.log}.")
    film = [str(MAIN.executable), "-m", "backend.files.video", str(output / "frames"), str(output)]
    if progress.run(film, {**os.environ, "PYTHONPATH": str(ROOT)}):
        raise BuildError(progress.error or f"Making the film failed; see {progress.log}.")
    report(progress.result, output, blender, user_folder, time.monotonic() - started)
    return 0


def prepare_output(folder: str) -> Path:
    """Make the output folder and see that it can be written, before any work is done."""
    output = Path(folder).absolute()
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "demo.log").write_text("")
        for old in [*output.glob("frames/frame_*.png"), *output.glob("passes/frame_*.exr")]:
            old.unlink()  # of an earlier demo, which may have had more frames
    except OSError as error:
        raise BuildError(f"Cannot write to {output}: {error.strerror}. Choose another folder with --output.") from error
    return output


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def report(result: dict, output: Path, blender: Blender, user_folder: Path, seconds: float) -> None:
    say(f"Done in {seconds:.0f} s: {result['frames']} frames, {result['seconds_per_frame']:.2f} s per frame.")
    say(f"Files in {output}:")
    for name in sorted(path.name for path in output.iterdir() if not path.name.startswith(".")):
        say(f"  {name}")
    again = [str(blender.executable), "-b", str(output / "demo.blend"), "-a"]
    if blender.wheel:
        again = blender.command(ROOT / "blender_addon" / "demo.py", "--again", str(output / "demo.blend"))
    say("Render it again with:")
    say(f"  BLENDER_USER_RESOURCES={user_folder} STYLERIG_PYTHON={MAIN.executable} {' '.join(again)}")
