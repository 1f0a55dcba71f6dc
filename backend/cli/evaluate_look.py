"""evaluate look: the published measures of a look on held-out people, and how much a sequence flickers with it.

python -m backend evaluate look --look colourise --data STUDIO --json colourise.json
python -m backend evaluate look --look drawing --back look-back.safetensors --domains photo drawing --data STUDIO
python -m backend evaluate look --look drawing --sequence shot_with_UV
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.look import fraction, look_file, pictures_of
from backend.cli.options import whole
from models.errors import StyleRigError

if TYPE_CHECKING:
    from models.translation import Look

DEFAULT_SIZE = 256  # pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--look", required=True, metavar="NAME|FILE")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a set made by models.synthetic")
    parser.add_argument("--whole", action="store_true", help="the look was taught with whole heads, not with FFHQ crops")
    parser.add_argument("--size", type=whole(16, 1024), help="pixels of an image (default: the look's own, or 256)")
    parser.add_argument("--most", type=whole(2, 4096), default=64, help="held-out images of each kind (default 64)")
    parser.add_argument("--domains", nargs=2, default=(), metavar="NAME", help="CycleGAN: where the look comes from and goes to")
    parser.add_argument("--back", metavar="NAME|FILE", help="CycleGAN: the look that leads back")
    parser.add_argument("--beside", metavar="NAME|FILE", help="CoGAN: a conditional GAN of the same size, measured alike")
    parser.add_argument("--classifier-steps", type=whole(1, 10**6), default=500, help="of the own classifier's training (default 500)")
    parser.add_argument(
        "--sequence", metavar="IN", help="EXRs with the pass Vector or UV: how much they flicker, without and with the look"
    )
    parser.add_argument("--label", help="with --sequence, as in look")
    parser.add_argument("--steady", type=fraction, default=0.7, metavar="AMOUNT", help="with --sequence, also made steady so (default 0.7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the figures, write JSON."""
    from models.evaluation.looks.measures import table
    from models.io.atomic_write import write_atomic
    from models.translation import load_look

    if not (arguments.data or arguments.sequence):
        raise StyleRigError("There is nothing to measure on.", "Give --data or --sequence, or both.", code="bad_option")
    look = load_look(look_file(arguments.look))
    figures = on_people(arguments, look) if arguments.data else {}
    if arguments.sequence:
        figures |= on_sequence(look, pictures_of(arguments.sequence), arguments.label, arguments.steady)
    print(table(figures))
    if arguments.json:
        write_atomic(arguments.json, (json.dumps(figures, indent=1) + "\n").encode())
    return 0


def on_people(arguments: argparse.Namespace, look: Look) -> dict[str, float]:
    from models.training.translation.measured import LookEvaluation
    from models.translation import load_look

    size = arguments.size or look.own_size or DEFAULT_SIZE
    evaluation = LookEvaluation(arguments.data, size, arguments.whole, arguments.most, arguments.classifier_steps)
    back, beside = (load_look(look_file(name)) if name else None for name in (arguments.back, arguments.beside))
    figures = evaluation.measure(look, back, tuple(arguments.domains))
    if beside is not None:
        figures |= {f"beside_{name}": value for name, value in evaluation.measure(beside).items() if not name.startswith("judge_")}
    return figures


def on_sequence(look: Look, pictures: list[Path], label: str | None, amount: float) -> dict[str, float]:
    """Flicker of a sequence, of what the look makes of it, and of that made steady: mean change of display values beside motion."""
    from backend.files.motion import read_motion
    from backend.files.pictures import read_picture
    from models.translation.request import label_of, put_on
    from models.translation.steady import Steadier, flicker

    if len(pictures) < 2:
        raise StyleRigError(f"{pictures[0]} alone is no sequence.", "Give a folder of frames.", code="no_frames")
    motion = [read_motion(path) for path in pictures]
    flows = [None, *(now.flow_from(before) for before, now in itertools.pairwise(motion))]
    shown = [read_picture(path).shown for path in pictures]
    looked = [put_on(look, frame, 1.0, label_of(look, label)) for frame in shown]
    steadier = Steadier(amount)
    steady = [steadier.frame(*each) for each in zip(shown, looked, flows, strict=True)]
    return {f"flicker_{name}": flicker(frames, flows) for name, frames in (("input", shown), ("look", looked), ("steady", steady))}
