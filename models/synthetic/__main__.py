"""``python -m models.synthetic --people N --output DIR``: photograph people that do not exist, four times each.

Every picture depends only on seed and number, is written whole or not at all, and carries its truth
beside it; what is there already is kept, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

import torch
from tqdm import tqdm

from models.errors import StyleRigError
from models.face import load_face_model
from models.synthetic.blender.process import default_python
from models.synthetic.dataset import (
    HEAD,
    contact_sheet,
    picture_path,
    size_of,
    write_index,
    write_picture,
)
from models.synthetic.message import Assets, prepare
from models.synthetic.photographer import Photographer, set_jobs
from models.synthetic.shot import SHOTS

ON_SHEET = 24  # people


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.synthetic", description=__doc__.splitlines()[0])
    add_set_arguments(parser)
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="Blender processes, one thread each")
    options = parser.parse_args(arguments)
    options.large_size = options.large_size or 2 * options.size
    return options


def add_set_arguments(parser: argparse.ArgumentParser) -> None:
    """What says which pictures are made; ``large_size`` None is twice the size."""
    parser.add_argument("--people", type=positive, default=1000, help="how many people; four pictures of each")
    parser.add_argument("--size", type=positive, default=256, help="side of a picture in pixels")
    parser.add_argument("--large-size", type=positive, help="side of the pictures of every fourth person (default: twice the size)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other people")
    parser.add_argument("--output", type=Path, required=True, help="a folder; pictures in it are kept")
    parser.add_argument("--blender-python", default=default_python(), help="an interpreter that has bpy (default: %(default)s)")


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above zero")
    return int(text)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    torch.set_num_threads(1)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StyleRigError(f"{options.output} can't be made: {error.strerror}", "Choose another --output.", code="bad_folder") from error
    face = load_face_model(HEAD)
    write_index(options.output, options.size, options.large_size, options.seed, options.people, face)
    missing = [person for person in range(options.people) if any(missing_shots(options.output, person))]
    if missing:
        photograph(options, prepare(face), missing)
    contact_sheet(options.output, min(options.people, ON_SHEET))
    return 0


def missing_shots(output: Path, person: int) -> list[int]:
    """Numbers of the pictures of a person that are not there."""
    return [number for number in range(person * SHOTS, (person + 1) * SHOTS) if not picture_path(output, number).exists()]


def taken(options: argparse.Namespace, assets: Assets, people: Iterable[int], log: Path) -> Iterator[Path]:
    """The missing pictures of people, by a Blender of their own: each is there when its path comes."""
    jobs = (
        job
        for person in people
        for job in set_jobs(
            assets, options.seed, person, missing_shots(options.output, person), size_of(person, options.size, options.large_size)
        )
    )
    with Photographer(assets, options.blender_python, log) as photographer:
        for job, frame in photographer.take(jobs):
            path = picture_path(options.output, job.number)
            write_picture(path, frame, job.latent, job.person, job.shot, assets.face)
            yield path


def photograph(options: argparse.Namespace, assets: Assets, people: list[int]) -> None:
    """Share the people among the workers, under one progress bar; the first error stops them all."""
    workers = min(options.workers, len(people))
    lock, stop = Lock(), Event()
    todo = sum(len(missing_shots(options.output, person)) for person in people)
    with tqdm(total=options.people * SHOTS, initial=options.people * SHOTS - todo, unit="picture", desc="photographing") as bar:

        def work(worker: int) -> None:
            try:
                for _ in taken(options, assets, people[worker::workers], options.output / f"blender-{worker}.log"):
                    with lock:
                        bar.update()
                    if stop.is_set():
                        break
            except BaseException:
                stop.set()
                raise

        with ThreadPoolExecutor(workers) as pool:
            jobs = [pool.submit(work, worker) for worker in range(workers)]
            try:
                for job in jobs:
                    job.result()
            finally:
                stop.set()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StyleRigError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on where this left off.")
