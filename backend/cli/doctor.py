"""doctor: what this environment has and what is wrong with it. Exit status 0 when nothing is, else 1."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import re
import socket
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend import __version__
from backend.cli.hints import hint_of
from models.errors import StyleRigError

ROOT = Path(__file__).resolve().parents[2]
NO_PLACE = "Set NUMBA_CACHE_DIR to a folder that can be written, or let this user write to models/generators/engines/__pycache__."
SET_UP = "Make the environment again with python build.py setup, or with Make Environment in the extension's preferences."

ADVICE = {  # where making the environment again would not help
    "loopback": "A firewall or a sandbox keeps programs of this computer from speaking with each other: allow Python to.",
    "temporary folder": "Free some space there, or set TMPDIR (on Windows TEMP) to a folder that can be written.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    findings = [examine(name, check, arguments) for name, check in CHECKS.items()]
    wrong = [finding for finding in findings if not finding["ok"]]
    if arguments.json:
        print(json.dumps({"version": __version__, "ok": not wrong, "checks": findings}, indent=2))
    else:
        for finding in findings:
            print(f"{'ok   ' if finding['ok'] else 'WRONG'} {finding['name']}: {finding['message']}")
            if finding["hint"]:
                print(f"      {finding['hint']}")
        print(f"{len(wrong)} of {len(findings)} checks found something wrong." if wrong else "All is well.")
    return 1 if wrong else 0


def examine(name: str, check: Callable, arguments: argparse.Namespace) -> dict:
    """One check's finding; whatever it raises is a finding too, so that the other checks run.

    A check returns its message, or that and a hint at what could be better.
    """
    try:
        found = check(arguments)
        message, hint = (found, "") if isinstance(found, str) else found
        return {"name": name, "ok": True, "message": message, "hint": hint}
    except StyleRigError as error:
        return {"name": name, "ok": False, "message": error.message, "hint": hint_of(error)}
    except Exception as error:
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        return {"name": name, "ok": False, "message": message, "hint": ADVICE.get(name, SET_UP)}


def check_python(arguments: argparse.Namespace) -> str:
    oldest, too_new = (tuple(map(int, version.split("."))) for version in re.findall(r"\d+\.\d+", project()["requires-python"]))
    if not oldest <= sys.version_info[:2] < too_new:
        wanted = f"3.{oldest[1]} to 3.{too_new[1] - 1}"
        raise StyleRigError(f"This is Python {platform.python_version()}, not one of {wanted}.", SET_UP)
    return f"{platform.python_version()} at {sys.executable}"


def check_packages(arguments: argparse.Namespace) -> str:
    pins = pinned()
    missing, other = [], []
    for name, version in pins.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if found.partition("+")[0] != version:
            other.append(f"{name} {found} instead of {version}")
    if missing or other:
        parts = ([f"missing: {', '.join(missing)}"] if missing else []) + other
        raise StyleRigError(f"{'; '.join(parts)}.", SET_UP)
    return f"all {len(pins)} as pinned"


def pinned() -> dict[str, str]:
    """Package -> version that pyproject.toml asks for."""
    pairs = (re.match(r"([\w.-]+)==([\w.]+)", line) for line in project()["dependencies"])
    return {pair[1]: pair[2] for pair in pairs if pair}


def project() -> dict[str, Any]:
    """What pyproject.toml says of this project."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def check_device(arguments: argparse.Namespace) -> str:
    import torch

    from models.devices import choose_device
    from models.generators.cpu import has_fast_bf16

    device = choose_device(arguments.device)
    cpu = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    name = torch.cuda.get_device_name() if device == "cuda" else cpu
    precision = "bfloat16 in hardware" if has_fast_bf16(device) else "no bfloat16 in hardware, float32 instead"
    return f"torch {torch.__version__} on {device} ({name}; {precision})"


def check_kernels(arguments: argparse.Namespace) -> str | tuple[str, str]:
    from models.devices import choose_device
    from models.generators.engines import kernels_place

    if choose_device(arguments.device) == "cuda":
        return "not used on cuda"
    place = kernels_place()
    return f"kept in {place}" if place else ("compiled at each start, for some seconds: no folder to keep them in", NO_PLACE)


def check_face(arguments: argparse.Namespace) -> str:
    from models.face import load_face_model

    face = load_face_model(None)
    modes = f"{len(face.identity)} identity and {len(face.albedo)} reflectance modes"
    return f"{len(face.mean)} vertices, {modes}, {len(face.expression_names)} expressions"


def check_weights(arguments: argparse.Namespace) -> str:
    from models.rigging import Rig
    from models.rigging.folders import WEIGHTS, all_rigs

    places = all_rigs()
    for place in places.values():
        Rig.load(place.folder, name=place.name)  # whole, and what belongs together
    size = sum(file.stat().st_size for file in WEIGHTS.glob("*.safetensors"))
    own = "".join(f"; {name} in {place.folder}" for name, place in places.items() if place.folder != WEIGHTS)
    shipped = ", ".join(name for name, place in places.items() if place.folder == WEIGHTS)
    return f"{shipped}: {size / 1e6:.1f} MB in {WEIGHTS}{own}"


def check_rig(arguments: argparse.Namespace) -> str:
    import numpy as np

    from backend.server.inference import rig_library
    from models.devices import choose_device
    from models.rigging import Controls

    started = time.monotonic()
    rig = rig_library(arguments.rig_loader, choose_device(arguments.device)).named(None)
    portrait = rig.new_portrait(seed=0, truncation=0.7)
    loaded = time.monotonic()
    frame = rig.frame(portrait, Controls(rotation=(0.2, 0.0, 0.0)))
    bad = [name for name, array in frame.items() if not np.isfinite(array).all()]
    if bad:
        raise StyleRigError(f"A test frame has values that are not numbers in {', '.join(bad)}.", SET_UP)
    seconds = time.monotonic() - loaded
    height, width = frame["Combined"].shape[:2]
    return (
        f"{rig.name} {rig.weights_hash[:8]} ready in {loaded - started:.1f} s, {width}x{height} in {seconds:.2f} s by {rig.engine().name}"
    )


def check_loopback(arguments: argparse.Namespace) -> str:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        return f"connected to 127.0.0.1:{server.getsockname()[1]}"


def check_temporary(arguments: argparse.Namespace) -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"0" * 4096)
        return f"can write to {tempfile.gettempdir()}"


CHECKS = {
    "Python": check_python,
    "packages": check_packages,
    "device": check_device,
    "face model": check_face,
    "weights": check_weights,
    "kernels": check_kernels,
    "rig": check_rig,
    "loopback": check_loopback,
    "temporary folder": check_temporary,
}
