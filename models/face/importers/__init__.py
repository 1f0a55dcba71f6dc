"""Face models of others: each file or folder, known by its content, becomes a FaceModel."""

from __future__ import annotations

from pathlib import Path

from models.errors import StyleRigError
from models.extras import extra_needed
from models.face.importers.raw_model import Source, build
from models.face.importers.validation import MAX_FILE
from models.face.model import FaceModel
from models.io.foreign import START, what_it_is
from models.io.regular_file import UnreadableFile, open_regular

__all__ = ["import_face_model"]
KNOWN = "an ICT-FaceKit folder, BFM 2009 (.mat), Deep3D's BFM_model_front.mat, BFM 2017 or 2019 (.h5), FLAME (.pkl), GNM (.npz)"


def import_face_model(path: Path) -> FaceModel:
    """The model at ``path``, in cm and in place; StyleRigError says what is wrong with it and where.

    Reads files of any origin without running anything in them.
    """
    return build(read_source(Path(path)))


def read_source(path: Path) -> Source:
    """What the file or folder holds, by its content and not by its name."""
    if path.is_dir():
        from models.face.importers.ict import is_ict, read_ict

        folder = is_ict(path)
        if folder is not None:
            return read_ict(folder)
        raise unknown(path, "it holds no generic_neutral_mesh.obj")
    try:
        with open_regular(path, MAX_FILE) as file:
            start = file.read(START)
    except UnreadableFile as error:
        raise unknown(path, error.reason) from error
    except OSError as error:
        raise unknown(path, error.strerror or str(error)) from error
    for known, reader in READERS.items():
        if start.startswith(known):
            return reader(path)
    foreign = what_it_is(start)
    raise unknown(path, "it begins like no face model" if foreign is None else f"it is {foreign.what}")


def unknown(path: Path, why: str) -> StyleRigError:
    """The error for something that is no face model."""
    return StyleRigError(
        f"{path} is not a face model that this version can read ({why}).",
        f"It reads {KNOWN}. Leave the face model out to use the head that ships.",
        code="unknown_face_model",
    )


def from_matlab(path: Path) -> Source:
    from models.face.importers.bfm import read_bfm_matlab

    return read_bfm_matlab(path)


def from_hdf5(path: Path) -> Source:
    with extra_needed():
        from models.face.importers.bfm_h5 import read_bfm_h5

    return read_bfm_h5(path)


def from_pickle(path: Path) -> Source:
    from models.face.importers.flame import read_flame

    return read_flame(path)


def from_npz(path: Path) -> Source:
    from models.face.importers.gnm import read_gnm

    return read_gnm(path)


READERS = {
    b"MATLAB": from_matlab,
    b"\x89HDF\r\n\x1a\n": from_hdf5,
    b"PK\x03\x04": from_npz,
    b"\x80": from_pickle,  # protocols 2 and later
    b"(dp": from_pickle,  # protocol 0, a dictionary
}
