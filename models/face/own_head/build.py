"""Builds our head and stores it as the files that ``load_face_model`` loads.

python -m models.face.own_head.build                  write the files of both editions
python -m models.face.own_head.build --edition 1      of one
python -m models.face.own_head.build --check          build, and say whether the files hold the same, to the last bit
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from models.face.own_head import edition_1, edition_2, storage

COARSER = {"expression": 2, "albedo": 2}  # of edition 1, whose file is to stay below 4 MB


def build(edition: int) -> dict[str, np.ndarray]:
    """An edition of our head, packed."""
    return storage.pack(edition_1.build(), COARSER) if edition == 1 else storage.pack(edition_2.build())


def check(edition: int) -> bool:
    """Whether the file of an edition holds what this code builds."""
    path = storage.FILES[edition]
    same = storage.fingerprint(build(edition)) == storage.fingerprint(storage.read(path))
    print(f"{path} {'is' if same else 'is not'} what this code builds.")
    return same


def write(edition: int) -> None:
    """Build an edition and store it."""
    path, built = storage.FILES[edition], build(edition)
    storage.write(built, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {storage.fingerprint(built)}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", type=int, choices=sorted(storage.FILES), help="only this one")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file differs")
    options = parser.parse_args(arguments)
    editions = [options.edition] if options.edition else sorted(storage.FILES)
    if options.check:
        same = [check(edition) for edition in editions]  # each says what it found
        return 0 if all(same) else 1
    for edition in editions:
        write(edition)
    return 0


if __name__ == "__main__":
    sys.exit(main())
