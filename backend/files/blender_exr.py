"""Multilayer EXRs of Blender's File Output node as ``render`` writes them: as Nuke, Fusion and Natron expect them.

Blender calls the picture Combined and every single number V, and stores all in 32 bits. Here the picture is plain R, G, B, A, depth is
depth.Z, letters are those of the pass, and what half floats are enough for is half.
"""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path

import numpy as np

from backend.files.images import exr_name, exr_pixels, write_channels
from backend.files.pictures import bad_picture, read_exr
from backend.protocol.frames import ExrCompression
from backend.protocol.passes import COMBINED, CRYPTOMATTE, EVERY_PASS
from models.io.atomic_write import write_atomic

BY_NAME = {entry.name: entry for entry in EVERY_PASS}
EXACT = {entry.name for entries in CRYPTOMATTE.values() for entry in entries}  # names in bits
LETTERS = {"VALUE": "V", "VECTOR": "XYZW", "COLOR": "RGBA"}  # as Blender writes sockets


def convert(path: Path, output: Path, compression: ExrCompression) -> Path:
    """Write ``output`` of an EXR of *Set Up Sequence Output*. Raises StyleRigError for any other file, OSError where it cannot be written."""
    try:
        parts = read_exr(path).parts
    except (RuntimeError, ValueError, OSError, struct.error) as error:
        raise bad_picture(path, "it is damaged or no EXR", "Render this frame again.") from error
    read = {name: channel.pixels for part in parts for name, channel in part.channels.items()}
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, pixels in read.items():
        layer, _, letter = name.rpartition(".")
        layers.setdefault(layer, {})[letter.upper()] = pixels
    if COMBINED.name not in layers:
        raise bad_picture(path, "it has no layer Combined", "Choose one that Set Up Sequence Output writes, without stereo.")
    channels: dict[str, np.ndarray] = {}
    exact: dict[str, np.ndarray] = {}
    for layer, found in layers.items():
        group = exact if layer in EXACT or layer not in BY_NAME else channels
        group |= named(layer, found)
    texts = {
        name: value for name, value in parts[0].header.items() if isinstance(value, str) and name not in ("BlenderMultiChannel", "name")
    }
    return write_atomic(output, partial(write_channels, channels=channels, exact=exact, texts=texts, compression=compression))


def named(layer: str, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A layer's channels by the names and in the types that ``render`` has; of an unknown layer as they are."""
    entry = BY_NAME.get(layer)
    if entry is None or layer in EXACT:
        return {f"{layer}.{letter}" if layer else letter: pixels for letter, pixels in found.items()}
    written = LETTERS[entry.kind]
    pairs = [(letter, found.get(letter, found.get(written[index]))) for index, letter in enumerate(entry.channels)]
    return {exr_name(f"{layer}.{letter}"): exr_pixels(layer, pixels) for letter, pixels in pairs if pixels is not None}
