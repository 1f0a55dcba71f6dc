"""How much sooner the engines make a picture than NVIDIA's published code does on the same machine.

Batch 1, constant noise, random weights. Reference, engine and bare convolutions take turns in
one process for each network, the shortest time of each counts: compare the ratios. On a busy machine
set OMP_NUM_THREADS=1: then it is the processor's time that counts, which other programs hardly
change. Errors are in the picture's own range, brought to [-1, 1].
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from models.generators import CpuScheduler, Generator, latents_from_seed, load_engine, load_generator
from models.generators.cpu import has_fast_bf16
from models.generators.engines.engine import Engine, PerImageRunner, fuse
from tests.bench import networks, reference


@dataclass(frozen=True)
class Case:
    """A network, how often each takes its turn, and whether emulated bfloat16 would take minutes."""

    make: Callable[[], Generator]
    rounds: int
    long: bool = False


CASES = {
    "stylegan2-256": Case(lambda: networks.stylegan2(256), 6),
    "stylegan2-1024": Case(lambda: networks.stylegan2(1024), 3),
    "stylegan3t-256": Case(lambda: networks.stylegan3(256, base=16384), 2),
    "stylegan3t-1024": Case(lambda: networks.stylegan3(1024), 1, long=True),
    "studio": Case(lambda: load_generator(networks.STUDIO), 10),
}
QUICK = {"stylegan2-16": Case(lambda: networks.stylegan2(16), 1)}

COLUMNS = ("reference_ms", "floor_ms", "exact_ms", "exact_speedup_x", "exact_over_floor_x", "exact_error",
           "exact_peak_GB", "fast_speedup_x", "fast_dB")  # fmt: skip


def run(quick: bool = False) -> dict[str, float]:
    """All cases on the processor and, where there is one, on the CUDA device; one line of a table for each."""
    print(" ".join([f"{'network':20}", *(f"{column:>18}" for column in COLUMNS)]), flush=True)
    figures = {}
    for device in ["cpu"] + (["cuda"] if torch.cuda.is_available() else []):
        for name in QUICK if quick else CASES:
            command = [sys.executable, "-m", "tests.bench.bench_generators", name, device]
            result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            label = name if device == "cpu" else f"{name} {device}"
            print(" ".join([f"{label:20}", *(cell(result.get(column)) for column in COLUMNS)]), flush=True)
            figures |= {f"{label} {figure}": value for figure, value in result.items()}
    return figures


def cell(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.3g'):>18}"


@torch.inference_mode()
def measure(case: Case, device: str) -> dict[str, float]:
    generator = case.make().to(device)
    w = generator.mapping(latents_from_seed(1, 1, generator.z_dim).to(device))
    exact = load_engine(generator, "exact", device)
    exact.raw(w)
    picture = exact.raw(w)
    figures = peak(device)
    work = {"exact": lambda: exact.raw(w), "floor": reference.Floor(generator, torch.float32, device)}
    fast = fast_engine(generator, case, device)
    if fast and has_fast_bf16(device):
        work |= {"fast": lambda: fast.raw(w), "fast_floor": reference.Floor(generator, torch.bfloat16, device)}
    truth: list[torch.Tensor] = []
    work["reference"] = lambda: truth.append(reference.synthesis(generator, w))
    figures |= shortest(work, case.rounds, device)
    figures["exact_speedup_x"] = figures["reference_ms"] / figures["exact_ms"]
    figures["exact_over_floor_x"] = figures["exact_ms"] / figures["floor_ms"]
    figures["exact_error"], _ = errors(picture, truth[0])
    if fast:
        _, figures["fast_dB"] = errors(fast.raw(w), truth[0])
    if "fast_ms" in figures:
        figures["fast_speedup_x"] = figures["reference_ms"] / figures["fast_ms"]
    return figures


def fast_engine(generator: Generator, case: Case, device: str) -> Engine | None:
    """The bfloat16 engine, also where it is emulated, for its error, unless that takes too long."""
    if has_fast_bf16(device):
        return load_engine(generator, "fast", device)
    return None if case.long else Engine(generator, PerImageRunner(fuse(generator.synthesis, torch.bfloat16), CpuScheduler()), "emulated")


def shortest(work: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Shortest time of each in milliseconds; they take turns. What runs for seconds is not warmed up."""
    times: dict[str, list[float]] = {name: [] for name in work}
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    for turn in range(rounds + (1 if rounds > 1 else 0)):
        for name, function in work.items():
            for _ in range(2 if rounds == 1 and name != "reference" else 1):
                synchronize(device)
                started = clock()
                function()
                synchronize(device)
                times[name].append(1e3 * (clock() - started))
        if turn == 0 and rounds > 1:
            times = {name: [] for name in work}
    return {f"{name}_ms": min(values) for name, values in times.items()}


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def errors(picture: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Largest error and PSNR in dB, both with the picture's range brought to [-1, 1]."""
    error = (picture - truth) * (2 / float(truth.max() - truth.min()))
    noise = float(error.square().mean().sqrt())
    return float(error.abs().max()), 20 * math.log10(2 / max(noise, 1e-12))


def peak(device: str) -> dict[str, float]:
    """Most memory that the process (or the device) has held so far, in gigabytes; nothing on Windows."""
    if device == "cuda":
        return {"exact_peak_GB": torch.cuda.max_memory_allocated() / 1e9}
    try:
        import resource
    except ImportError:
        return {}
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"exact_peak_GB": most * (1 if sys.platform == "darwin" else 1024) / 1e9}


if __name__ == "__main__":
    print(json.dumps(measure((CASES | QUICK)[sys.argv[1]], sys.argv[2])))
