"""Runs benchmarks: python -m tests.bench [NAME…] [--json FILE] [--quick].

A benchmark is a module bench_NAME.py beside this file with ``run(quick) -> dict[str, float]``:
measured figures by name, the unit at the end of each name. ``quick`` does the least of everything.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from models.errors import StyleRigError
from models.io.atomic_write import write_atomic


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="build.py bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="the least of everything, to see that it runs: the figures mean nothing")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names()))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names())}")
    try:
        measure(arguments.names or names(), arguments.json, arguments.quick)
    except StyleRigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def measure(chosen: list[str], path: Path | None, quick: bool) -> None:
    """Run the benchmarks, print their figures as they come, write them to ``path`` if it is given."""
    results = {}
    for name in chosen:
        results[name] = importlib.import_module(f"tests.bench.bench_{name}").run(quick)
        for figure, value in results[name].items():
            print(f"{name:12} {figure:32} {value:10.2f}", flush=True)
    if path:
        write_atomic(path, json.dumps(results, indent=2).encode())


if __name__ == "__main__":
    sys.exit(main())
