"""The project's commands: setup, demo, test, check, lock, package, bench. Standard library only.

Everything is made inside the checkout: environments in .venv*, the extension in dist/,
private Blender folders and pip's cache in build/. Nothing is written anywhere else.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (what an older Python is told)
    sys.exit("error: build.py needs Python 3.11 or newer. Install one and run it with that: python3.13 build.py ...")
sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where PYTHONSAFEPATH leaves it out

from backend.project.checking import check
from backend.project.common import ROOT, BuildError, prepare_process, say
from backend.project.demo import demo
from backend.project.environments import MAIN, setup
from backend.project.extension import package
from backend.project.lock import lock
from backend.project.testing import test


def make_ready(arguments: argparse.Namespace) -> int:
    ready = setup(arguments.device)
    say(f"Ready: {', '.join(environment.folder for environment in ready)}")
    return 0


def write_zip() -> int:
    say(str(package()))
    return 0


def bench(arguments: argparse.Namespace) -> int:
    setup()
    command = [str(MAIN.executable), "-m", "tests.bench", *arguments.names]
    if arguments.json:
        command += ["--json", str(Path(arguments.json).absolute())]
    command += ["--quick"] * arguments.quick
    return subprocess.run(command, cwd=ROOT).returncode


COMMANDS = {  # each is given its options and the arguments that it does not know
    "setup": lambda known, _rest: make_ready(known),
    "demo": lambda known, _rest: demo(known),
    "test": lambda _known, rest: test(rest),
    "check": lambda known, _rest: check(known.fix),
    "lock": lambda _known, _rest: lock(),
    "package": lambda _known, _rest: write_zip(),
    "bench": lambda known, _rest: bench(known),
}


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="build.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("setup", help="make the environments, nothing else")
    command.add_argument("--device", choices=("cpu", "cuda"), help="which build of torch (default: what fits)")
    command = commands.add_parser("demo", help="render a keyframed portrait, from a seed to a film")
    command.add_argument("--frames", type=int, default=48, metavar="N")
    command.add_argument("--output", default=str(ROOT / "demo-output"), metavar="DIR")
    command.add_argument("--blender", metavar="PATH", help="a Blender program, 4.5 or newer")
    commands.add_parser("test", help="run all tests; arguments go to pytest", add_help=False)
    command = commands.add_parser("check", help="format, lint and type-check the sources")
    command.add_argument("--fix", action="store_true", help="mend what can be mended by itself, format the rest")
    commands.add_parser("lock", help="write the versions of what the pinned packages need into backend/constraints.txt")
    commands.add_parser("package", help="write the extension's zip into dist/")
    command = commands.add_parser("bench", help="measure speed")
    command.add_argument("names", nargs="*", metavar="NAME")
    command.add_argument("--json", metavar="FILE")
    command.add_argument("--quick", action="store_true", help="the least of everything, to see that it runs")
    known, rest = parser.parse_known_args(arguments)
    if rest and known.command != "test":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    return known, rest


def main(arguments: list[str]) -> int:
    known, rest = parse(arguments)
    try:
        return COMMANDS[known.command](known, rest)
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    prepare_process()
    sys.exit(main(sys.argv[1:]))
