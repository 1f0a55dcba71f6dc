"""`python -m backend evaluate generator`: measure a generator against the pictures it was taught with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli.generator_on_ray import GeneratorJob, load_networks
from backend.cli.rendering import add_ray_arguments, check_ray_options, render
from models.errors import StyleRigError
from models.seeds import parse_seed

if TYPE_CHECKING:
    from models.evaluation.generator.run import GeneratorEvaluation

UNITS = {
    "frechet": "squared distance of Gaussians of studio features (this is not FID)",
    "kernel": "squared MMD of studio features, cubic kernel (this is not KID on Inception)",
    "manifold": "share of pictures, 3 nearest neighbours, against held-out renders",
    "path_length": "squared perceptual distance per squared step of 1e-4, studio features (not VGG)",
    "separability": "2 ^ sum of conditional entropies in bits; 1 is perfect",
    "held_out": "mean absolute error, 0 to 1, of what held-out latents give",
    "detection": "share of pictures in which OpenCV's frontal-face cascade finds a face",
    "fid": "FID with the Inception weights of 2015",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--generator", type=Path, required=True, help="generator file")
    parser.add_argument("--data", type=Path, required=True, help="set of pictures made by models.synthetic")
    parser.add_argument("--features", type=Path, required=True, help="studio features, made by train features from --data")
    parser.add_argument("--inception", type=Path, help="pytorch-fid's Inception weights, for FID proper")
    parser.add_argument("--samples", type=int, default=5000, help="generated pictures (default 5000)")
    parser.add_argument("--seed", type=parse_seed, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--output", type=Path, help="folder for sheets, nearest pictures and the video")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where pictures are drawn (default: a GPU if there is one); they are measured on the processor",
    )
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")
    add_ray_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a table; write JSON and sheets where asked."""
    import torch

    from models.devices import choose_device
    from models.evaluation.generator.run import GeneratorEvaluation
    from models.io.atomic_write import write_atomic

    check_ray_options(arguments)
    if arguments.ray is not None and arguments.output is None:
        raise StyleRigError("--ray needs a folder that all workers see.", "Name one with --output.", code="bad_option")
    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    networks = arguments.generator, arguments.features, arguments.inception
    generator, features, inception = load_networks(*networks, choose_device(arguments.device))
    evaluation = GeneratorEvaluation(generator, arguments.data, features, max(arguments.samples, 1), inception,
                                     arguments.seed, say=lambda line: None)  # fmt: skip
    if arguments.ray is not None and (status := draw_on_ray(arguments, evaluation)):
        return status
    figures = evaluation.run(arguments.output)
    if not arguments.json_log:
        print(table(figures))
    if arguments.json:
        report = {"generator": arguments.generator.name, "resolution": generator.resolution,
                  "weights": generator.config.to_json(), "features": features.header, "seed": arguments.seed,
                  "units": UNITS, "figures": figures}  # fmt: skip
        write_atomic(arguments.json, (json.dumps(report, indent=1) + "\n").encode())
    if arguments.output and not arguments.json_log:
        print(f"Sheets and video: {arguments.output}")
    return 0


def draw_on_ray(arguments: argparse.Namespace, evaluation: GeneratorEvaluation) -> int:
    """Have what is drawn measured by workers; the exit status."""
    files = [path and path.absolute() for path in (arguments.generator, arguments.features, arguments.inception)]
    job = GeneratorJob(arguments.output / "parts", evaluation.drawn.parts(), evaluation.drawn.amounts, *files)
    status = render(job, arguments, "batch", keep=True)
    evaluation.measured = job.measured
    return status


def table(figures: dict[str, dict[str, Any]]) -> str:
    """One line for each number."""
    lines = []
    for name, values in figures.items():
        lines.append(f"{name}: {UNITS.get(name, '')}")
        lines += [f"  {key:<24} {shown(value)}" for key, value in values.items() if not isinstance(value, dict)]
    return "\n".join(lines)


def shown(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
