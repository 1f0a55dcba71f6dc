"""directions: what can be changed in a generator's people, found in its weights or from scores.

python -m backend directions sefa --generator G --layers 0-1,4 --count 10 --output D.safetensors --sheet sheet.jpg
python -m backend directions boundary --generator G --scores studio --attributes age,beard --output DIR --report table.md
python -m backend directions boundary --generator G --scores scores.csv --condition smile --output DIR
python -m backend directions boundary --generator G --scores quality --samples 2000 --output DIR
python -m backend directions published stylegan_ffhq_age_w_boundary.npy --generator G --output D.safetensors
python -m backend directions attributes --generator models/weights/NAME-generator.safetensors --output models/weights/NAME-directions.safetensors
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.options import whole
from models.errors import StyleRigError
from models.io.atomic_write import write_atomic
from models.seeds import parse_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from models.editing.attributes import Attributes
    from models.editing.directions import Directions
    from models.editing.scores import Scores
    from models.generators import Generator

STUDIO, QUALITY = "studio", "quality"
STUDIO_ATTRIBUTES = ("age", "beard", "glasses", "make_up", "smile", "yaw", "light_skin", "hair_length")  # where none are asked for
SAMPLES, MOST_SAMPLES, PEOPLE = 100_000, 2_000_000, 3000
DRAWN = 2000  # people whose pictures are looked at, where no other number is asked for
WEAK = 0.75  # validation accuracy below which an attribute is hardly in the codes
MOST = 1_000_000  # of what an option counts or measures
SMALL = 144  # pixels of a picture where there are many
SECONDS = 2.0  # between words of progress
SHEETS = (".jpg", ".jpeg", ".png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of all methods."""
    methods = parser.add_subparsers(dest="method", required=True, metavar="METHOD")
    add_sefa(methods.add_parser("sefa", help="from the weights alone: what changes pictures most"))
    add_boundary(methods.add_parser("boundary", help="from scores: InterFaceGAN's attributes"))
    add_published(methods.add_parser("published", help="of boundaries in .npy files, as InterFaceGAN publishes them"))
    add_attributes(methods.add_parser("attributes", help="the sliders of a generator that the studio taught"))


def add_sefa(parser: argparse.ArgumentParser) -> None:
    add_generator(parser)
    parser.add_argument("--layers", default="all", help='numbers and ranges, coarse ones first, as in "0-1,4" (default: all)')
    parser.add_argument("--count", type=int, default=10, help="how many directions (default 10)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="safetensors file")
    add_sheet(parser)


def add_boundary(parser: argparse.ArgumentParser) -> None:
    add_generator(parser)
    parser.add_argument("--scores", required=True, metavar="CSV", help=f'table with the columns seed, then one for each attribute; "{STUDIO}":'
                        f' what z means, exactly, for generators that the studio taught; or "{QUALITY}": how well a face is found in pictures')  # fmt: skip
    parser.add_argument("--attributes", type=names, help="their names, with commas between (default: all of the table)")
    parser.add_argument("--condition", type=names, default=[], metavar="NAMES",
                        help="attributes, or boundaries in .npy files, that shall stay as they are")  # fmt: skip
    parser.add_argument("--space", choices=("w", "z"), default="w")
    parser.add_argument("--chosen", type=positive, default=0.02, help="codes of each end: a share, or above 1 a number (default 0.02)")
    parser.add_argument(
        "--samples",
        type=whole(1, MOST_SAMPLES),
        metavar="N",
        help=f"people that the scores are of, where they are no table (default {SAMPLES}, or {DRAWN} whose pictures are drawn)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="boundaries.safetensors, and each as .npy")
    parser.add_argument("--report", type=Path, metavar="FILE", help="the tables of the paper, in Markdown")
    add_sheet(parser)


def add_published(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("boundaries", type=Path, nargs="+", metavar="NPY", help="files whose names say what they are of")
    add_generator(parser)
    parser.add_argument(
        "--condition", type=names, default=[], metavar="NPY", help="boundaries whose attributes shall stay, with commas between"
    )
    parser.add_argument("--space", choices=("w", "z"), default="w")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="safetensors file")
    add_sheet(parser)


def add_attributes(parser: argparse.ArgumentParser) -> None:
    add_generator(parser)
    parser.add_argument("--people", type=whole(100, MOST_SAMPLES), metavar="N", default=PEOPLE,
                        help=f"whom the directions are the mean of (default {PEOPLE})")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="safetensors file; beside its generator a rig finds it")
    add_sheet(parser, distance=False)


def add_sheet(parser: argparse.ArgumentParser, distance: bool = True) -> None:
    if distance:
        parser.add_argument("--distance", type=positive, default=3.0, help="how far each direction goes, both ways (default 3)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="a picture of what they do (.jpg, .png)")
    parser.add_argument("--steps", type=whole(2, 51), metavar="N", default=7, help="pictures of each direction on the sheet (default 7)")
    parser.add_argument("--seed", type=parse_seed, default=0, help="who is on the sheet; also of what is drawn by chance")
    parser.add_argument("--truncation", type=float, default=0.7)


def add_generator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--generator", type=Path, required=True, help="generator file")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def positive(text: str) -> float:
    """A number above 0; raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0 and up to {MOST}")
    return value


def names(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def run(arguments: argparse.Namespace) -> int:
    """Find directions, write them, say what was found."""
    from models.devices import choose_device
    from models.generators import load_generator

    check_sheet(arguments)
    generator = load_generator(arguments.generator, device=choose_device(arguments.device))
    return {"sefa": run_sefa, "boundary": run_boundary, "published": run_published, "attributes": run_attributes}[arguments.method](
        arguments, generator
    )


def check_sheet(arguments: argparse.Namespace) -> None:
    """Raise StyleRigError for a sheet that could not be drawn or written, before the long way there."""
    if arguments.sheet and arguments.sheet.suffix.lower() not in SHEETS:
        raise StyleRigError(f"{arguments.sheet} names no picture.", f"Choose a name that ends in {', '.join(SHEETS)}.", code="bad_option")
    if arguments.sheet and arguments.method in ("boundary", "published") and arguments.space == "z":
        raise StyleRigError("A sheet shows directions in W only.", "Leave --sheet out, or choose --space w.", code="bad_option")


def write_sheet(arguments: argparse.Namespace, generator: Generator, directions: Directions, tile: int = 256) -> None:
    """What directions do, as a picture, where it is asked for."""
    from models.editing.sheet import draw_sheet
    from models.io.images import save_image

    if arguments.sheet:
        sheet = draw_sheet(generator, directions, arguments.seed, arguments.steps, arguments.truncation, Progress("pictures"), tile)
        print(save_image(arguments.sheet, sheet))


def run_sefa(arguments: argparse.Namespace, generator: Generator) -> int:
    from models.editing.directions import save_directions
    from models.editing.layers import parse_layers, style_layers
    from models.editing.sefa import find_directions

    layers = style_layers(generator.synthesis)
    chosen = parse_layers(arguments.layers, len(layers))
    directions = find_directions(generator, chosen, arguments.count, arguments.distance)
    print(save_directions(directions, arguments.output))
    print(f"layers: {', '.join(f'{number} {layers[number].name}' for number in chosen)}")
    found = [] if directions.eigenvalues is None else directions.eigenvalues.tolist()
    for name, value in zip(directions.header.names, found, strict=True):
        print(f"{name}: eigenvalue {value:.4g}")
    write_sheet(arguments, generator, directions)
    return 0


def run_attributes(arguments: argparse.Namespace, generator: Generator) -> int:
    from models.editing.directions import save_directions
    from models.editing.studio_attributes import studio_directions

    directions = studio_directions(generator, count=arguments.people)
    print(save_directions(directions, arguments.output))
    header = directions.header
    for name, (low, high), unit in zip(header.names, header.ranges, header.units, strict=True):
        print(f"{name}: {low:g} to {high:g}, 1 is {unit:.3g} in w")
    write_sheet(arguments, generator, directions, SMALL)
    return 0


def run_published(arguments: argparse.Namespace, generator: Generator) -> int:
    import torch

    from models.editing.attributes import directions_of_normals
    from models.editing.boundary import attribute_by_name, project
    from models.editing.directions import save_directions

    width = generator.w_dim if arguments.space == "w" else generator.z_dim
    normals = {attribute_by_name(path): normal_of(str(path), width, arguments.space) for path in arguments.boundaries}
    kept = {attribute_by_name(path): normal_of(path, width, arguments.space) for path in arguments.condition}
    rows = torch.stack([project(normal, list(kept.values()), name) for name, normal in normals.items()])
    directions = directions_of_normals(generator, tuple(normals), rows, tuple(kept), arguments.space, arguments.distance)
    print(save_directions(directions, arguments.output))
    write_sheet(arguments, generator, directions)
    return 0


def run_boundary(arguments: argparse.Namespace, generator: Generator) -> int:
    from models.editing.attributes import directions_of, report, train_attributes
    from models.editing.boundary import save_boundary
    from models.editing.directions import save_directions

    codes, scores = scored_codes(arguments, generator)
    usual = tuple(name for name in STUDIO_ATTRIBUTES if name in scores.names)
    wanted = arguments.attributes or {STUDIO: usual, QUALITY: (QUALITY,)}.get(arguments.scores, scores.names)
    given = {Path(name).stem: normal_of(name, codes.shape[1], arguments.space) for name in arguments.condition if is_file(name)}
    conditions = [Path(name).stem if is_file(name) else name for name in arguments.condition]
    attributes = train_attributes(codes, scores, wanted, conditions, given, arguments.chosen, arguments.seed, Progress("boundaries"))
    directions = directions_of(generator, attributes, arguments.space, arguments.distance)
    print(save_directions(directions, arguments.output / "boundaries.safetensors"))
    suffix = "_w_boundary.npy" if arguments.space == "w" else "_boundary.npy"
    condition = "_c" + "".join(f"_{name}" for name in conditions) if conditions else ""
    for name, normal in zip(attributes.trained, attributes.normals, strict=True):
        save_boundary(arguments.output / f"{file_name(f'{arguments.generator.stem}_{name}{condition}')}{suffix}", normal)
    source = f"{arguments.generator.name}: {len(codes)} codes in {arguments.space.upper()}, scores by {Path(arguments.scores).name}"
    table = report(attributes, scores, source)
    print(table)
    tell_weak(attributes)
    if arguments.report:
        write_atomic(arguments.report, table.encode())
    write_sheet(arguments, generator, directions)
    return 0


def check_attributes(arguments: argparse.Namespace, known: Sequence[str]) -> None:
    """Raise StyleRigError for attributes that there are no scores of, before the long way there."""
    import torch

    from models.editing.scores import Scores

    scores = Scores(tuple(known), torch.empty(0, len(known)))
    for name in [*(arguments.attributes or ()), *(name for name in arguments.condition if not is_file(name))]:
        scores.column(name)


def studio_names(generator: Generator) -> tuple[str, ...]:
    """What z of a generator means. Raises StyleRigError for one that the studio did not teach."""
    import torch

    from models.editing.studio_people import people_of

    return people_of(generator).scores(torch.zeros(1, generator.z_dim)).names


def scored_codes(arguments: argparse.Namespace, generator: Generator) -> tuple[Tensor, Scores]:
    """Codes and their scores, from where ``--scores`` says."""
    from models.editing.codes import codes_of_seeds, studio_codes
    from models.editing.scores import read_scores
    from models.editing.studio_people import taught_by_studio

    if arguments.scores == STUDIO:
        check_attributes(arguments, studio_names(generator))
        return studio_codes(generator, arguments.samples or SAMPLES, arguments.seed, arguments.space, Progress("codes"))
    if arguments.scores == QUALITY:
        check_attributes(arguments, (QUALITY, *(studio_names(generator) if taught_by_studio(generator) else ())))
        drawn = range(arguments.seed, arguments.seed + (arguments.samples or DRAWN))
        return codes_of_seeds(generator, drawn, arguments.space), looked_at(generator, drawn)
    seeds, scores = read_scores(arguments.scores)
    check_attributes(arguments, scores.names)
    return codes_of_seeds(generator, seeds, arguments.space, Progress("codes")), scores


def looked_at(generator: Generator, seeds: Sequence[int]) -> Scores:
    """How well a face is found in what is drawn of seeds."""
    from models.editing.inversion.finding import FINDER
    from models.editing.quality import quality_scores
    from models.perception.face_finder import FaceFinder

    return quality_scores(generator, seeds, FaceFinder.load(FINDER), Progress("pictures"))


def tell_weak(attributes: Attributes) -> None:
    """Name the attributes that a plane hardly tells apart: their sliders change something else."""
    for name, found in attributes.trained.items():
        if found.validation < WEAK:
            print(f"note: {name} is hardly in these codes: {found.validation:.0%} of held-out ones are on their side.", file=sys.stderr)


def is_file(condition: str) -> bool:
    return condition.lower().endswith(".npy")


def normal_of(path: str, width: int, space: str) -> Tensor:
    """A boundary's normal; raises StyleRigError also for one that says by its name that it is of the other space."""
    from models.editing.boundary import load_boundary, space_by_name

    if space_by_name(path) not in (None, space):
        raise StyleRigError(
            f"{path} is a boundary of the other space.", f"Choose one in {space.upper()}, or the other --space.", code="bad_boundary"
        )
    return load_boundary(path, width)


def file_name(name: str) -> str:
    """A name as a file can have it everywhere."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in name)[:100]


class Progress:
    """Says how far a work of more than two seconds is."""

    def __init__(self, what: str):
        self.what, self.said = what, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.said >= SECONDS:
            self.said = time.monotonic()
            print(f"{done} of {total} {self.what}", file=sys.stderr, flush=True)
