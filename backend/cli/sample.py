"""sample: portraits of seeds, with a shared pose, expression or light, or interpolated from one to the next.

    python -m backend sample --seeds 1 2 3 --output DIR
    python -m backend sample --seeds 1 2 3 --share pose light --from-seed 7 --output DIR
    python -m backend sample --seeds 1 2 --interpolate 24 --output DIR
    python -m backend sample --seeds 1 2 --attributes age=0.8 glasses=1 --output DIR

Pictures are PNG with their matte: person_SEED.png, or frame_NNNN.png when interpolated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from backend.cli.rendering import add_rendering_arguments, render
from backend.farm.jobs import SampleJob
from models.seeds import parse_seed

COMPONENTS = ("pose", "expression", "light")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=parse_seed, nargs="+", required=True, help="the portraits to render")
    parser.add_argument("--share", choices=COMPONENTS, nargs="+", default=[], help="components that all portraits share")
    parser.add_argument("--from-seed", type=parse_seed, metavar="SEED", help="whose components these are (default: the first seed's)")
    parser.add_argument("--interpolate", type=int, metavar="N", help="go through all seeds, in N frames from one to the next")
    parser.add_argument("--attributes", type=parse_amount, nargs="+", default=[], metavar="NAME=AMOUNT", help="edits of all portraits")
    parser.add_argument("--directions", type=Path, metavar="FILE", help="further attributes, made for this model")
    # The names of these options in earlier versions.
    parser.add_argument("--take", dest="share", choices=COMPONENTS, nargs="+", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--of", dest="from_seed", type=parse_seed, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--between", dest="interpolate", type=int, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--model", metavar="NAME", help="one that ships, studio or stylerig, or of your own (default: the first)")
    parser.add_argument("--truncation", type=float, default=0.7)
    add_rendering_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    job = SampleJob(
        folder=arguments.output,
        seeds=arguments.seeds,
        model=arguments.model,
        truncation=arguments.truncation,
        interpolate=arguments.interpolate,
        share=arguments.share,
        source=arguments.seeds[0] if arguments.from_seed is None else arguments.from_seed,
        attributes=dict(arguments.attributes),
        directions=arguments.directions and arguments.directions.absolute(),
        size=arguments.size,
    )
    return render(job, arguments, "picture", keep=False)


def parse_amount(text: str) -> tuple[str, float]:
    """A name and its amount, from NAME=AMOUNT; raises ArgumentTypeError."""
    name, _, amount = text.rpartition("=")
    try:
        if name.strip():
            return name.strip(), float(amount)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not NAME=AMOUNT")
