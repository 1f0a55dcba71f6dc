"""Speaks to the Cycles process: starts it, sends it people and shots, reads back what it rendered."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import numpy as np

from models.errors import StyleRigError

ROOT = Path(__file__).resolve().parents[3]
MODULE = "models.synthetic.blender.scene"


class CyclesProcess:
    """One Blender interpreter with the stage set up; renders one shot at a time."""

    def __init__(self, python: str, stage: dict[str, np.ndarray], log: Path):
        self.folder = tempfile.TemporaryDirectory(prefix="stylerig-studio-", dir=shared_memory())
        self.log = log
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        try:
            with open(log, "wb") as errors:
                self.process = subprocess.Popen(
                    [python, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
                )
        except OSError as error:
            raise no_blender(python, str(error)) from error
        self.input, self.output = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)
        self.send(stage)
        if "ready" not in self.answer():
            raise no_blender(python, self.last_words())

    def send(self, message: dict[str, np.ndarray]) -> None:
        """One message; raises StyleRigError when the process is gone."""
        buffer = io.BytesIO()
        np.savez(buffer, **{name: compact(array) for name, array in message.items()})  # type: ignore[arg-type]  # no entry is called allow_pickle
        body = buffer.getvalue()
        try:
            self.input.write(struct.pack("<I", len(body)) + body)
            self.input.flush()
        except (BrokenPipeError, OSError):
            pass  # its answer says why

    def answer(self) -> dict:
        """The next line of JSON, past what Blender itself prints; empty when the process has ended."""
        for line in self.output:
            if line.startswith(b"{"):
                return json.loads(line)
        return {}

    def start(self, shot: dict[str, np.ndarray]) -> None:
        """Begin to render one shot of the person sent last."""
        self.path = Path(self.folder.name) / "frame.exr"
        self.send({**shot, "path": np.array(str(self.path))})

    def finish(self) -> dict[str, np.ndarray]:
        """Wait for the picture: {"colour": (H, W, 4) linear premultiplied, "classes": (H, W, 9)}, float32."""
        answer = self.answer()
        if "done" not in answer:
            raise StyleRigError(
                f"Blender could not render a portrait: {answer.get('error') or self.last_words()}",
                f"Its log is {self.log}. The pictures made so far are kept; the same command goes on from there.",
                code="studio_failed",
            )
        return read_frame(self.path)

    def last_words(self) -> str:
        """The end of the process's log."""
        text = self.log.read_text(errors="replace").strip() if self.log.exists() else ""
        return text.splitlines()[-1] if text else "it ended without a word"

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):  # it may be gone, with words still unsent
            self.input.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.folder.cleanup()


def default_python() -> str:
    """The interpreter with bpy that ``build.py setup`` makes."""
    return str(ROOT / ".venv-bpy-5.2" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def blender_version(python: str) -> str:
    """Of the bpy that an interpreter has. Raises StyleRigError where it has none."""
    try:
        answer = subprocess.run([python, "-c", "import bpy; print(bpy.app.version_string)"], capture_output=True, text=True)
    except OSError as error:
        raise no_blender(python, str(error)) from error
    if answer.returncode:
        raise no_blender(python, answer.stderr.strip().rpartition("\n")[2])
    return answer.stdout.split("\n")[-2]


def compact(array: np.ndarray) -> np.ndarray:
    """Floats as float32, the rest as it is."""
    return array.astype(np.float32) if array.dtype == np.float64 else array


def shared_memory() -> str | None:
    """A folder in memory for the frames on their way, where there is one."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def no_blender(python: str, reason: str) -> StyleRigError:
    """The interpreter cannot be used."""
    return StyleRigError(
        f"No Blender answers at {python}: {reason}",
        "Give --blender-python the interpreter of an environment with bpy, as the project's setup makes it (.venv-bpy-5.2).",
        code="no_blender",
    )


def read_frame(path: Path) -> dict[str, np.ndarray]:
    """Colour and share of each class of a multilayer EXR that Blender wrote."""
    import OpenEXR

    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
    find = lambda ending: next(pixels for name, pixels in channels.items() if name.endswith(ending)).astype(np.float32)
    colour = np.stack([find(f"Combined.{c}") for c in "RGBA"], axis=-1)
    return {"colour": colour, "classes": np.stack([find(f"class_{each}.{c}") for each in "abc" for c in "RGB"], axis=-1)}
