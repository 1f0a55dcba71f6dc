"""Frames a second of one process and of Ray with one and two workers, and what that makes of a thousand, on paper.

``*_start_s`` is the time from the command to its first frame. ``driver_ms`` is what a picture costs the driver when drawing it costs
nothing. ``paper_N_workers_s`` are the seconds that 10,000 such frames take in simulated time by the real scheduler, with
the measured start, frame and driver; ``paper_N_efficiency`` is the part of N times the speed of one worker.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from backend.farm.ray_crew import RayCrew, cluster
from backend.farm.scheduler import Scheduler
from backend.farm.weights import Weights
from backend.farm.worker import Worker
from tests.helpers.simulated_crew import IDENTITY, SimulatedCrew

ROOT = Path(__file__).resolve().parents[2]
FRAMES, SIZE, PICTURES, PAPER = 24, 256, 500, 10_000
WORKERS = (1, 2, 10, 100, 1000)


def run(quick: bool = False) -> dict[str, float]:
    if quick:
        with tempfile.TemporaryDirectory() as folder:
            rig_file(Path(folder))
            return on_paper(100, start=1.0, frame=0.1, driver=driver_seconds(Path(folder), pictures=10))
    with tempfile.TemporaryDirectory() as folder:
        shot = rig_file(Path(folder))
        options = {"one_process": [], "ray_1": ["--ray", "local", "--workers", "1"], "ray_2": ["--ray", "local", "--workers", "2"]}
        figures = {f"{name}_{what}": value for name, given in options.items() for what, value in speed(shot, name, given).items()}
        driver = driver_seconds(Path(folder))
    frame = 1 / figures["ray_1_fps"]
    return {**figures, "driver_ms": 1e3 * driver, **on_paper(PAPER, figures["ray_1_start_s"], frame, driver)}


def rig_file(folder: Path) -> Path:
    frames = [{"rotation": [0.5 * number / FRAMES, 0, 0]} for number in range(FRAMES)]
    path = folder / "shot.json"
    path.write_text(json.dumps({"portrait": {"seed": 7}, "frames": frames, "output": {"size": SIZE}}))
    return path


def speed(shot: Path, name: str, options: list[str]) -> dict[str, float]:
    """Seconds to the first frame, and frames a second after it."""
    command = [sys.executable, "-m", "backend", "render", str(shot), "--output", str(shot.parent / name), "--json-log", *options]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        times = [time.perf_counter() - started for line in process.stdout or () if json.loads(line)["event"] == "frame"]
    return {"start_s": times[0], "fps": (len(times) - 1) / (times[-1] - times[0])}


@dataclass
class NothingJob:
    """Pictures that cost nothing to draw: each is there."""

    folder: Path
    numbers: list[int]

    def rig(self, library: SimpleNamespace) -> SimpleNamespace:
        return SimpleNamespace(name="none", weights_hash="")

    def opened(self, rig: SimpleNamespace):
        return lambda number: SimpleNamespace(path=self.folder / "shot.json", is_there=lambda: True)


def no_library(device: str) -> SimpleNamespace:
    return SimpleNamespace(places={})


def driver_seconds(folder: Path, pictures: int = PICTURES) -> float:
    """What a picture costs the driver, Ray's part included."""
    job = NothingJob(folder, list(range(1, pictures + 1)))
    expected = Worker(job, no_library("cpu"), keep=True).identity
    with cluster("local", 2) as ray:
        times: list[float] = []
        crew = RayCrew(ray, job, no_library, "cpu", Weights({}, {}), Weights({}, {}))
        Scheduler(crew, job.numbers, 2, expected, lambda outcome: times.append(time.perf_counter()), print).run()
    return (times[-1] - times[0]) / (len(times) - 1)


def on_paper(pictures: int, start: float, frame: float, driver: float) -> dict[str, float]:
    figures = {}
    for workers in WORKERS:
        crew = SimulatedCrew(lambda number, worker: frame, start=start, driver=driver)
        Scheduler(crew, range(1, pictures + 1), workers, IDENTITY, lambda outcome: None, print).run()
        figures |= {f"paper_{workers}_workers_s": crew.clock, f"paper_{workers}_efficiency": pictures * frame / workers / crew.clock}
    return figures
