"""Runs benchmarks: python -m tests.bench [NAME…] [--json FILE].

A benchmark is a module bench_NAME.py beside this file with ``run() -> dict[str, float]``:
measured figures by name, the unit at the end of each name.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from models.files import write_atomic


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="build.py bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names()))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names())}")
    results = {}
    for name in arguments.names or names():
        results[name] = importlib.import_module(f"tests.bench.bench_{name}").run()
        for figure, value in results[name].items():
            print(f"{name:12} {figure:32} {value:10.2f}", flush=True)
    if arguments.json:
        write_atomic(arguments.json, json.dumps(results, indent=2).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
