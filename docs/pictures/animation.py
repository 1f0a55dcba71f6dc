"""Draws docs/images/animation.webp: people who turn and speak by the same controls.

.venv/bin/python docs/pictures/animation.py [--seeds N N N] [--model NAME]
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
from PIL import Image

from models.evaluation.control.sheets import film
from models.io.atomic_write import write_atomic
from models.rigging import Rig

OUTPUT = ROOT / "docs" / "images" / "animation.webp"
SIZE, EVERY, FRAMES = 256, 2, 96  # pixels of a person; every second frame of the film's 25 a second
QUALITY = 82


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=(29, 6, 53))
    parser.add_argument("--model", help="of those that ship")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    rig = Rig.load(name=arguments.model)
    films = [film(rig, seed, SIZE, range(0, EVERY * FRAMES, EVERY)) for seed in arguments.seeds]
    images = [Image.fromarray(np.concatenate(people, axis=1)) for people in zip(*films, strict=True)]
    stream = io.BytesIO()
    rest = {"save_all": True, "append_images": images[1:], "duration": 1000 * EVERY // 25, "loop": 0}
    images[0].save(stream, "WEBP", quality=QUALITY, method=6, **rest)
    print(write_atomic(arguments.output, stream.getvalue()))


if __name__ == "__main__":
    main()
