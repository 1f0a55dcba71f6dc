"""What the add-on costs inside Blender, against the bare synthesis of the same portrait by the engine that draws it there.

Blender's part runs in in_blender.py, in the newest bpy wheel, from the built zip.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import torch

from backend.project.blender import wheels
from backend.project.environments import ENVIRONMENTS
from backend.project.extension import package
from models.errors import StyleRigError
from models.rigging import Rig
from tests.bench.networks import bare_synthesis
from tests.bench.timing import milliseconds

SCRIPT = Path(__file__).with_name("in_blender.py")
LIMIT_SECONDS = 600
REPEATS = 40


def synthesis_times(repeats: int) -> list[float]:
    """Milliseconds of the engine alone, on the portrait that Blender's part shows, with as many threads as there."""
    synthesis = bare_synthesis(Rig.load())
    return milliseconds(lambda _step: synthesis(), repeats)


def inside_blender(folder: Path, quick: bool) -> dict[str, float]:
    """The figures that in_blender.py measures. Raises StyleRigError."""
    found = wheels([environment for environment in ENVIRONMENTS if environment.state()])
    if not found:
        raise StyleRigError("There is no Blender to measure in.", "Run: python build.py setup")
    blender, user_folder = found[0], folder / "user"
    blender.install(package(folder), user_folder)
    variables = blender.environment(user_folder) | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(torch.get_num_threads()))}
    command = blender.command(SCRIPT, *["--quick"] * quick)
    answer = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    line = next((line for line in answer.stdout.splitlines() if line.startswith("@result ")), None)
    if line is None:
        raise StyleRigError("Blender's part of the benchmark ended early.", (answer.stderr or answer.stdout).strip()[-500:])
    return json.loads(line.removeprefix("@result "))


def run(quick: bool = False) -> dict[str, float]:
    """The ratios are of the shortest times: what else runs on the machine only ever adds to them."""
    with tempfile.TemporaryDirectory(prefix="stylerig-bench-") as folder:
        repeats = 1 if quick else REPEATS
        synthesis = synthesis_times(repeats)
        figures = inside_blender(Path(folder), quick)
        synthesis += synthesis_times(repeats)
    least = min(synthesis)
    return {
        "synthesis_ms": statistics.median(synthesis),
        "synthesis_shortest_ms": least,
        **figures,
        "slider_to_pixels_x": figures["slider_to_pixels_shortest_ms"] / least,
        "animation_x": figures["animation_frame_ms"] / least,
        "animation_in_turn_x": figures["animation_frame_in_turn_ms"] / least,
    }
