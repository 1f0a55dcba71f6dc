"""Writes docs/rig-file.schema.json, the JSON schema of rig files, from what the backend accepts.

python -m docs.rig_file_schema [--output FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from backend.server.schema import RigFile

FILE = Path(__file__).parent / "rig-file.schema.json"


def schema() -> str:
    """The schema as the text of its file."""
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | RigFile.model_json_schema()
    return json.dumps(described | {"title": "StyleRig rig file"}, indent=2) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.rig_file_schema", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FILE)
    arguments = parser.parse_args()
    arguments.output.write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
