"""How long the backend takes from its start to the first picture, and where that time goes.

Cold has no compiled kernels yet, warm finds them. ``*_s`` are wall-clock times of the real backend over HTTP, which a busy
machine lengthens, ``*_cpu_s`` the processor's own seconds. ``part_*_cpu_s`` are those of one process that does one thing after
the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a token of the benchmark alone"
HERE = {"cwd": ROOT, "stdout": subprocess.PIPE, "text": True, "check": True}
PARTS = """
import json, time
parts, before = {}, time.process_time()
def done(name):
    global before
    now = time.process_time()
    parts[name], before = now - before, now
import torch; done("import_torch")
import backend.server.app; done("import_server")
import models.rigging.rig as rigging; done("import_rig")
rig = rigging.Rig.load(); done("rig")
rig.engine(); done("kernels")
rig.prepare(); done("warm_up")
portrait = rig.new_portrait(7); done("portrait")
rig.frame(portrait, rigging.Controls(), passes=()); done("frame")
print(json.dumps(parts))
"""


def run(quick: bool = False) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as kernels:
        cache = {} if quick else {"NUMBA_CACHE_DIR": kernels}
        cold = {} if quick else prefixed("cold", first_picture(cache))
        parts = json.loads(subprocess.run([sys.executable, "-c", PARTS], env=os.environ | cache, **HERE).stdout)
        return {**cold, **prefixed("warm", first_picture(cache)), **{f"part_{name}_cpu_s": seconds for name, seconds in parts.items()}}


def prefixed(name: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{name}_{figure}": value for figure, value in figures.items()}


def first_picture(variables: dict[str, str]) -> dict[str, float]:
    """Seconds until the backend accepts requests, until a portrait of a new seed, and until its picture; and of the processor."""
    command = [sys.executable, "-m", "backend", "serve", "--exit-with-stdin", "--device", "cpu"]
    environment = os.environ | variables | {"STYLERIG_TOKEN": TOKEN}
    started, before = time.perf_counter(), children_cpu()
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            url = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
            ready = time.perf_counter()
            portrait = json.loads(post(f"{url}/v1/portraits", {"seed": 7}))
            portrayed = time.perf_counter()
            post(f"{url}/v1/frames", {"portrait": portrait.get("portrait", portrait), "controls": {}, "output": {"format": "raw"}})
            drawn = time.perf_counter()
        finally:
            process.kill()
    times = {"ready_s": ready, "portrait_s": portrayed, "picture_s": drawn}
    return {name: moment - started for name, moment in times.items()} | {"picture_cpu_s": children_cpu() - before}


def post(url: str, content: dict) -> bytes:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(content).encode(), headers)) as answer:
        return answer.read()


def children_cpu() -> float:
    """Seconds of the processor that ended child processes took."""
    times = os.times()
    return times.children_user + times.children_system
