"""look: a network of image-to-image translation is put on pictures, on sequences and on EXRs.

    python -m backend look shot/ --look painting.safetensors --strength 0.7 --output painted
    python -m backend look 'shot/f_####.exr' --look 200000-G.ckpt --label Blond_Hair,Young --output blond --resume
    python -m backend look portrait.png --look 100000_nets_ema.ckpt --label female --style 7 --output styled
    python -m backend look --list

An EXR stays an EXR, with its passes; PNG and JPEG become PNG. A picture holds a digest of all it was made from, so
``--resume`` makes again what is missing, damaged or out of date, and nothing else.
"""

from __future__ import annotations

import argparse
import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.look_on_ray import LookJob
from backend.cli.progress import counted
from backend.cli.rendering import add_ray_arguments, check_ray_options, make_folder, render
from backend.cli.worn_look import Worn
from models.errors import StyleRigError
from models.seeds import parse_seed

if TYPE_CHECKING:
    from backend.files.motion import SteadySequence

FRAME_NUMBER = re.compile(r"#+|%0?(\d*)d")
WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="*", metavar="IN", help="pictures, folders of them, or patterns: f_####.exr, f_%%04d.png, f_*.png")
    parser.add_argument("--look", metavar="NAME|FILE", help="the look by its name, or a file: docs/looks.md lists what is read")
    parser.add_argument("--list", action="store_true", help="say which looks there are by name, and end")
    parser.add_argument("--strength", type=fraction, default=1.0, help="0 leaves a picture as it is, 1 is the whole look (default 1)")
    parser.add_argument("--label", help="StarGAN: attributes with commas between, A or A=0.5, or all numbers; StarGAN v2: the domain")
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--style", type=parse_seed, metavar="SEED", help="StarGAN v2: the style of this seed (default: that of latent 0)")
    style.add_argument("--reference", type=Path, metavar="PICTURE", help="StarGAN v2: the style of this picture")
    parser.add_argument("--as-tested", action="store_true", help="compute as the published code's default test run: pix2pix with dropout")
    parser.add_argument("--steady", type=fraction, default=0.0, metavar="AMOUNT",
                        help="blend each frame with the one before, moved by the EXRs' pass Vector or UV; 0 to 1 (default 0)")  # fmt: skip
    parser.add_argument("--motion", type=Path, metavar="DIR", help="with --steady, EXRs of the pictures' names that have such a pass")
    parser.add_argument("--output", type=Path, metavar="DIR")
    parser.add_argument("--resume", action="store_true", help="leave pictures that are there and up to date")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add_ray_arguments(parser)


def fraction(text: str) -> float:
    """A number from 0 to 1; raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def run(arguments: argparse.Namespace) -> int:
    from models.devices import choose_device
    from models.translation import load_look
    from models.translation.files import digest

    if arguments.list:
        return list_looks()
    check_given(arguments)
    check_ray_options(arguments)
    targets = named(find_pictures(arguments.inputs), arguments.output)
    file = look_file(arguments.look)
    if arguments.ray is not None:
        if arguments.steady:
            raise StyleRigError("--steady needs one frame after the other, not --ray.", "Leave one of them out.", code="bad_option")
        return run_on_ray(arguments, targets, file)
    look = load_look(file, as_tested=arguments.as_tested, device=choose_device(arguments.device))
    for note in look.metadata.get("notes", []):
        print(f"note: {note}")
    sequence = steady_sequence(arguments, targets[0][0])
    worn = Worn(look, file.name, digest(file), arguments.strength, arguments.label, arguments.style, arguments.reference, sequence)
    worn.try_on()
    make_folder(arguments.output)
    kept = 0
    for index in counted(len(targets), "picture"):
        kept += worn.put_on(*targets[index], arguments.resume)
    print(f"{len(targets) - kept} pictures made" + (f", {kept} were there" if kept else "") + f": {arguments.output}")
    return 0


def run_on_ray(arguments: argparse.Namespace, targets: list[tuple[Path, Path]], file: Path) -> int:
    absolute = [(source.absolute(), target.absolute()) for source, target in targets]
    reference = arguments.reference and arguments.reference.absolute()
    asked = arguments.as_tested, arguments.strength, arguments.label, arguments.style, reference
    return render(LookJob(arguments.output.absolute(), absolute, file.absolute(), *asked), arguments, "picture", keep=True)


def steady_sequence(arguments: argparse.Namespace, first: Path) -> SteadySequence | None:
    """Raises StyleRigError where the first picture does not say how it moves, or --motion is given for nothing."""
    from backend.files.motion import SteadySequence

    if arguments.motion and not arguments.steady:
        raise StyleRigError("--motion is for --steady.", "Add --steady 0.7.", code="bad_option")
    if not arguments.steady:
        return None
    sequence = SteadySequence(arguments.steady, arguments.motion)
    sequence.motion_of(first)
    return sequence


def check_given(arguments: argparse.Namespace) -> None:
    """Raise StyleRigError where what every call but --list needs is missing."""
    given = {"IN": arguments.inputs, "--look": arguments.look, "--output": arguments.output}
    if missing := [name for name, value in given.items() if not value]:
        raise StyleRigError(f"{' and '.join(missing)} is missing.", "Give pictures, --look and --output, or --list.", code="bad_option")


def list_looks() -> int:
    """Print the looks that can be called by name."""
    from models.translation.library import SHIPPED, library

    entries = library().entries()
    for entry in entries:
        names = ", ".join(entry.labels or entry.domains)
        whose = "ships" if entry.path.parent == SHIPPED else str(entry.path.parent)
        print(f"{entry.name:<16} {entry.kind:<10} {entry.sha256[:8]}  {whose}" + (f"  [{names}]" if names else ""))
        if entry.title:
            print(f"{'':<16} {entry.title}")
    if not entries:
        print("There are no looks yet. Own ones are NAME.safetensors in this folder:")
    print(f"Own looks: {library().folders[0]}")
    return 0


def look_file(text: str) -> Path:
    """The file of a look by its path, or by its name. Raises StyleRigError for a name that there is not."""
    from models.io.user_folder import NAME
    from models.translation.library import library

    path = Path(text)
    is_path = path.exists() or path.suffix in WEIGHTS or not NAME.fullmatch(text)
    return path if is_path else library().path_of(text)


def find_pictures(inputs: Sequence[str]) -> list[Path]:
    """The pictures that ``inputs`` name, each once; sequences by their numbers. Raises StyleRigError where one names none."""
    found = [path for text in inputs for path in pictures_of(text)]
    return list(dict.fromkeys(found))


def pictures_of(text: str) -> list[Path]:
    """Of one input: the picture itself, a folder's, or those that fit a pattern."""
    from backend.files.pictures import SUFFIXES
    from backend.files.video import in_order

    path = Path(text)
    if path.is_file():
        return [path]
    pattern = FRAME_NUMBER.sub(lambda number: "[0-9]" * int(number[1] or 0) or "[0-9]" * number[0].count("#") or "*", text)
    candidates = path.iterdir() if path.is_dir() else map(Path, glob.glob(pattern))
    pictures = [file for file in candidates if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")]
    if not pictures:
        there = path.is_dir() or path.exists()
        raise StyleRigError(
            f"There are no pictures in {path}." if there else f"There is no picture {path}.",
            "Give pictures (.png, .jpg, .exr), a folder of them, or a pattern such as shot/f_####.exr.",
            code="no_frames",
        )
    return in_order(pictures)


def named(pictures: list[Path], folder: Path) -> list[tuple[Path, Path]]:
    """(picture, file to write) of each. Raises StyleRigError where two would be one, or one replaces a picture that is given."""
    from backend.files.pictures import written_suffix

    targets: dict[Path, Path] = {}
    given = {picture.resolve() for picture in pictures}
    for picture in pictures:
        target = folder / f"{picture.stem}{written_suffix(picture)}"
        if target in targets:
            raise StyleRigError(
                f"{targets[target]} and {picture} would both become {target}.", "Call the command for each.", code="bad_option"
            )
        if target.resolve() in given:
            raise StyleRigError(
                f"{target} would replace a picture that is given.", "Choose another folder with --output.", code="bad_option"
            )
        targets[target] = picture
    return [(picture, target) for target, picture in targets.items()]
