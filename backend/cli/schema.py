"""schema: the JSON schema of rig files, from what ``render`` accepts."""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""


def run(arguments: argparse.Namespace) -> int:
    from backend.server.schema import RigFile

    described = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | RigFile.model_json_schema()
    print(json.dumps(described | {"title": "StyleRig rig file"}, indent=2))
    return 0
