"""A process of its own that opens files of others: a line "reader path" in, one line out for what came of it.

Memory and processor time are limited, so that a file that asks for too much ends this process and not the machine.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from models.errors import StyleRigError

SPARE = 3 << 30  # bytes beyond what the process takes before it reads anything
SECONDS = 20  # of processor time for one file; a good one takes a tenth of a second

try:
    import resource
except ImportError:  # Windows
    resource = None


def generator(path: Path) -> None:
    from models.generators import load_generator

    load_generator(path)


def face(path: Path) -> None:
    from models.face.importers import read_source

    read_source(path)


def whole_face(path: Path) -> None:
    from models.face.importers import import_face_model

    import_face_model(path)


def network(path: Path) -> None:
    from models.io.weights_file import read_network

    read_network(path, "rignet")


def recipe(path: Path) -> None:
    from backend.cli.render import read_rig_file

    read_rig_file(path)


def look(path: Path) -> None:
    from models.translation import load_look

    load_look(path)


READERS = {reader.__name__: reader for reader in (generator, look, face, whole_face, network, recipe)}


def limit_memory() -> None:
    pages = Path("/proc/self/statm")
    if resource and pages.exists():
        taken = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + SPARE, taken + SPARE))


def limit_time() -> None:
    """From now on: past the limit the system ends the process."""
    if resource:
        used = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + SECONDS, hard))


def outcome(reader: str, path: Path) -> str:
    limit_time()
    try:
        READERS[reader](path)
    except StyleRigError as error:
        return f"refused {error}" if error.hint and error.message.isprintable() else f"UNCLEAR {error!r}"
    except BaseException:
        return "BROKEN " + traceback.format_exc().replace("\n", " | ")
    return "read"


def main() -> None:
    import h5py  # noqa: F401  all that readers need is loaded before memory is limited
    import torch

    import backend.cli.render  # noqa: F401
    import models.face.importers.gnm
    import models.generators
    import models.translation  # noqa: F401

    torch.set_num_threads(1)
    limit_memory()
    print("ready", flush=True)
    for line in sys.stdin:
        reader, path = line.rstrip("\n").split(" ", 1)
        print(outcome(reader, Path(path)).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
