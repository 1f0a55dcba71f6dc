"""The numbers that people are drawn from: one range, wherever one can be given."""

from __future__ import annotations

import argparse
import re

LARGEST_SEED = 2**63 - 1  # what 64 bits with a sign hold; Blender has it in blender_addon/rig/seeds.py too


def parse_seed(text: str) -> int:
    """A seed as it is written on a command line. Raises argparse.ArgumentTypeError."""
    if re.fullmatch(r"[0-9]{1,19}", text) and int(text) <= LARGEST_SEED:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no seed: a whole number from 0 to {LARGEST_SEED}")
