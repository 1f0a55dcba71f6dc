"""The command line. Each command is a module with ``add_arguments(parser)`` and ``run(arguments)``.

A command's module is imported only when it is called, so that ``--help`` and ``doctor`` also work
where a package is missing. Exit statuses: 0 all is done, 1 a fault of ours (Python's own, with its traceback), 2 something
that the caller can put right, 3 a part is not done (frames that failed, a training that was stopped), 130 and 143 the
signals SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from backend.cli.hints import hint_of
from backend.cli.terminal import one_line, outputs
from models.errors import StyleRigError
from models.extras import missing_package

PROGRAM = "python -m backend"
COMMANDS = {  # name: (module, what it does)
    "serve": ("backend.cli.serve", "answer the add-on over HTTP on this machine"),
    "render": ("backend.cli.render", "render a rig file into a sequence of pictures"),
    "sample": ("backend.cli.sample", "render portraits of seeds, with shared components or interpolated"),
    "film": ("backend.cli.film", "make a film and a contact sheet of a folder's frames"),
    "exr": ("backend.cli.exr", "turn EXRs of Blender into what Nuke, Fusion and Natron expect"),
    "job-type": ("backend.cli.job_type", "copy the job type of a farm's manager into its folder"),
    "schema": ("backend.cli.schema", "print the JSON schema of rig files"),
    "directions": ("backend.cli.directions", "find what can be edited: by SeFa in the weights, by InterFaceGAN from scores"),
    "portrait": ("backend.cli.portrait", "make a portrait of photos of a person"),
    "look": ("backend.cli.look", "put a look on pictures, sequences and EXRs"),
    "convert": ("backend.cli.convert", "turn a checkpoint of a generator or a look into safetensors"),
    "data people": ("backend.cli.data_people", "render people with their truth as training data, on one machine or on many"),
    "data join": ("backend.cli.data_join", "make one set of several"),
    "data variations": ("backend.cli.data_variations", "render people with one thing changed, for evaluate judge-noise"),
    "data motions": ("backend.cli.data_motions", "render people in slow motions, for evaluate steadiness"),
    "data makeovers": ("backend.cli.data_makeovers", "render people with other hair, glasses, beards and ages, for train look"),
    "train generator": ("backend.cli.train_generator", "train a generator on a folder of pictures"),
    "train guided": ("backend.cli.train_guided", "train a generator that renderings of the rig steer"),
    "train disco": ("backend.cli.train_disco", "train a DiscoFaceGAN, whose z says who, expression, light and rotation apart"),
    "train features": ("backend.cli.train_features", "train the network whose features measure generators"),
    "train face-finder": ("backend.cli.train_face_finder", "train the network that finds faces in photographs"),
    "train look": ("backend.cli.train_look", "train a look: pix2pix, CycleGAN, CoGAN, StarGAN or StarGAN v2"),
    "train rig": ("backend.cli.train_rig", "train the networks that read and steer a generator"),
    "evaluate generator": ("backend.cli.evaluate_generator", "measure a generator against its training pictures"),
    "evaluate rig": ("backend.cli.evaluate_rig", "measure how well the rig follows its controls"),
    "evaluate attributes": ("backend.cli.evaluate_attributes", "measure what a model's sliders change, and what they leave"),
    "evaluate inversion": ("backend.cli.evaluate_inversion", "measure portraits of photos of people held out"),
    "evaluate methods": ("backend.cli.evaluate_methods", "compare all ways to steer a StyleGAN on the same requests"),
    "evaluate judge-noise": ("backend.cli.evaluate_judge_noise", "measure what the judge reads where nothing changed"),
    "evaluate ablations": ("backend.cli.evaluate_ablations", "train and measure the rig's losses without each term"),
    "evaluate look": ("backend.cli.evaluate_look", "measure a look on people whom its training never saw, and its flicker"),
    "evaluate sheets": ("backend.cli.evaluate_sheets", "draw the sheets and the film that people judge a rig by"),
    "evaluate steadiness": ("backend.cli.evaluate_steadiness", "measure whether skin's detail goes where the skin goes"),
    "doctor": ("backend.cli.doctor", "say what is there and what is wrong"),
}
USER_ERROR = 2
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def main(arguments: list[str], rig_loader: Callable | None = None) -> int:
    """Run one command and return the exit status.

    ``rig_loader(device) -> Rig`` replaces the shipped rig: tests pass their own.
    """
    with outputs() as (out, _), terminable() as terminated:
        status = run_command(arguments, rig_loader)
        if status == INTERRUPTED and terminated.is_set():
            status = TERMINATED
        out.flush()
        if out.lost and out.problem:
            return complain(f"What this command says cannot be written: {out.problem.strerror}.", "Free some space where it goes.")
        return status


def run_command(arguments: list[str], rig_loader: Callable | None) -> int:
    """The exit status of a command; what a person can put right is told in one line."""
    name, rest = split_command(arguments)
    if name is None:
        return usage(arguments)
    try:
        module = importlib.import_module(COMMANDS[name][0])
        parser = argparse.ArgumentParser(prog=f"{PROGRAM} {name}", description=sentence(COMMANDS[name][1]))
        module.add_arguments(parser)
        parsed = parser.parse_args(rest)
        parsed.rig_loader = rig_loader
        return module.run(parsed) or 0
    except ModuleNotFoundError as error:
        return complain_of(missing_package(error))
    except StyleRigError as error:
        return complain_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED


@contextlib.contextmanager
def terminable() -> Iterator[threading.Event]:
    """SIGTERM ends a command as Ctrl-C does, what is being written is removed, child processes are ended; and sets the event.

    Only a process's main thread can have that.
    """
    terminated = threading.Event()

    def end(*_: object) -> None:
        terminated.set()
        raise KeyboardInterrupt  # of a kind of our own, libraries that catch it would make this one

    if threading.current_thread() is not threading.main_thread():
        yield terminated
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def sentence(words: str) -> str:
    """Words as a sentence; names in them stay as they are written."""
    return words[:1].upper() + words[1:] + "."


def split_command(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The command that ``arguments`` begin with, or None, and what follows it."""
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return name, arguments[words:]
    return None, arguments


def usage(arguments: list[str]) -> int:
    """Explain the commands; those of a group (``train``) when only its name is given."""
    words = [word for word in arguments if not word.startswith("-")]
    group = words[0] if words else ""
    chosen = [name for name in COMMANDS if name.split()[0] == group] or list(COMMANDS)
    lines = [f"  {name:<20}  {COMMANDS[name][1]}" for name in chosen]
    asked = any(word in ("-h", "--help") for word in arguments)
    text = "\n".join([f"usage: {PROGRAM} COMMAND [--help]", "", *lines])
    print(text, file=sys.stdout if asked else sys.stderr)
    if asked:
        return 0
    wrong = f"There is no command {' '.join(words)!r}." if words else "A command is missing."
    return complain(wrong, "Choose one of the above.")


def complain_of(error: StyleRigError) -> int:
    return complain(error.message, hint_of(error))


def complain(message: str, hint: str) -> int:
    print(f"error: {one_line(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {one_line(hint)}", file=sys.stderr)
    return USER_ERROR
