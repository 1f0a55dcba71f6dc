"""What can be asked of a frame, and how its pixels cross HTTP: limits, passes, headers of raw arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

MIN_SIZE, MAX_SIZE = 16, 2048  # pixels of a frame's side
MIN_SCALE, MAX_SCALE = 0.125, 8.0  # of the head against the portrait's own
MIN_DISTANCE, MAX_DISTANCE = 40.0, 600.0  # cm of the camera from a whole head
WHOLE_HEAD_TURN = (75, 35)  # degrees of yaw and pitch that generators of whole heads are taught
CROP_TURN = (40, 20)  # the same of aligned crops
MAX_LIGHT = 1000.0  # of any coefficient
MAX_SHIFT = 100.0  # widths of the frame
MAX_SEED = 2**63 - 1  # what 64 bits with a sign hold
FAR = 1e10  # Depth where there is nothing, as Blender's own engines write it

MatteName = Literal["SkinMatte", "HairMatte", "EyesMatte", "MouthMatte", "ClothesMatte", "GlassesMatte"]
LayerName = Literal["Portrait", "HeadMatte", "FaceMask", "Normal", "Albedo", "Shading", "Specular", "Occlusion", "Depth", "UV", "Position"]
PassName = Literal[LayerName, MatteName]
ShotPassName = Literal["HeadDepth", "Vector"]  # of a head that stands in a scene, made of others where it is placed
ExrCompression = Literal["ZIP", "DWAA"]
LookMask = Literal["head", "face", "hair"]  # where a look is put
MAX_LOOKS = 8  # of a frame
COMBINED = "Combined"  # the portrait itself, which is in every frame
MATTES: tuple[MatteName, ...] = get_args(MatteName)  # of parts, which whole heads have; else 0
PASSES: tuple[PassName, ...] = get_args(PassName)
SHOT_PASSES: tuple[ShotPassName, ...] = get_args(ShotPassName)
LETTERS = ("RGB", "X", "X", "XYZ", "RGB", "RGB", "RGB", "X", "Z", "UV", "XYZ", *("X" for _ in MATTES))
CHANNELS = {COMBINED: "RGBA"} | dict(zip(PASSES, LETTERS, strict=True))
SHOT_CHANNELS = dict(zip(SHOT_PASSES, ("Z", "XYZW"), strict=True))

ARRAY_TYPE = "<f4"  # numpy's name of it
ARRAY_TYPE_HEADER, ARRAY_SHAPE_HEADER, ARRAY_CHANNELS_HEADER = "X-Array-Type", "X-Array-Shape", "X-Array-Channels"
PLACEMENT_HEADER = "X-StyleRig-Placement"  # yaw, pitch, roll in radians, x, y, z in cm, of the head in the frame
SUPERSEDE_HEADER, CLIENT_HEADER = "X-StyleRig-Supersede", "X-StyleRig-Client"  # of requests


def channel_names(passes: Sequence[str]) -> list[str]:
    """The channels of a raw array that holds these passes: ``Normal.X`` and so on."""
    return [f"{name}.{letter}" for name in passes for letter in (CHANNELS | SHOT_CHANNELS)[name]]


def array_headers(shape: tuple[int, ...], channels: list[str]) -> dict[str, str]:
    """The headers that describe a raw array (H, W, C) of ``ARRAY_TYPE``."""
    return {
        ARRAY_SHAPE_HEADER: ",".join(map(str, shape)),
        ARRAY_TYPE_HEADER: ARRAY_TYPE,
        ARRAY_CHANNELS_HEADER: ",".join(channels),
    }


def passes_from_array(body: bytes, headers: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Raw pixels cut into passes, float32 (H, W, C), by their headers (names in lower case). Raises KeyError, ValueError or TypeError."""
    shape = tuple(int(number) for number in headers[ARRAY_SHAPE_HEADER.lower()].split(","))
    channels = [name.strip() for name in headers[ARRAY_CHANNELS_HEADER.lower()].split(",")]
    pixels = np.frombuffer(body, dtype=headers[ARRAY_TYPE_HEADER.lower()]).reshape(shape)
    if len(shape) != 3 or shape[2] != len(channels):
        raise ValueError("the array has not the channels that its headers name")
    places: dict[str, list[int]] = {}  # a pass's channels come one after another
    for index, channel in enumerate(channels):
        places.setdefault(channel.rpartition(".")[0], []).append(index)
    parts = {name: pixels[..., indices[0] : indices[-1] + 1] for name, indices in places.items()}
    return {name: np.ascontiguousarray(part, dtype=np.float32) for name, part in parts.items()}


def placement_header(placement: Iterable[float]) -> dict[str, str]:
    """The header that says where the head stands, of six numbers."""
    return {PLACEMENT_HEADER: ",".join(map(repr, map(float, placement)))}


def placement_from_header(headers: Mapping[str, str]) -> np.ndarray:
    """The six numbers of the header (names in lower case). Raises KeyError or ValueError."""
    return np.array([float(number) for number in headers[PLACEMENT_HEADER.lower()].split(",")]).reshape(6)
