"""`python -m backend train features`: the network whose features the project's metrics use."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from models.seeds import parse_seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="set of pictures made by models.synthetic")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--images", type=int, default=60_000, help="pictures to look at (default 60000)")
    parser.add_argument("--seed", type=parse_seed, default=0)
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")


def run(arguments: argparse.Namespace) -> int:
    """Train on the set's truth and write the file; says what is read on held-out pictures."""
    import torch

    from models.training.features import train_features_file

    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    features = train_features_file(arguments.data, arguments.output, arguments.images, arguments.seed)
    print(f"R² on {features.header['held_out']} held-out pictures: {json.dumps(features.header['mean_r2'])}")
    print(f"Wrote {arguments.output}")
    return 0
