"""Between the request schema and the models: portraits and controls, both ways, and a portrait's mesh."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import difflib
import hashlib
import io
import math
import threading
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from backend.server import schema
from models import rigging
from models.editing.directions import Directions, Header, check_directions, read_directions
from models.editing.errors import bad_directions
from models.editing.inversion.offsets import Offsets, bad_offsets, read_offsets
from models.editing.layers import parse_layers, style_layers
from models.editing.sefa import find_directions
from models.editing.sliders import check_usable
from models.errors import StyleRigError
from models.face import frame
from models.face.model import FaceModel
from models.face.parameters import RigParameters
from models.translation.errors import bad_style

MOST_OFFSETS = 64  # files of half a megabyte


def new_portrait(request: schema.LatentRequest, rig: rigging.Rig) -> rigging.Portrait:
    """The portrait of a seed, or of the latent that the request brings. Raises StyleRigError."""
    if request.w is None or request.w_shape is None:
        return rig.new_portrait(seed=request.seed, truncation=request.truncation)
    w = decode_w(request.w, request.w_shape, (rig.generator.num_ws, rig.generator.w_dim))
    head = parameters_from_schema(request.parameters, rig.face) if request.parameters else None
    return rig.portrait_from_latent(w, request.seed, request.truncation, head)


def portrait_to_schema(portrait: rigging.Portrait, rig: rigging.Rig) -> schema.Portrait:
    """A portrait as the client keeps it; float32 values survive the way there and back.

    Raises StyleRigError when its parameters are out of the schema's bounds, as those of a latent may be that no person has.
    """
    try:
        parameters = parameters_to_schema(portrait.parameters, rig.face)
    except ValidationError as error:
        raise damaged(f"the rig's parameters of its w are out of bounds: {schema.first_problem(error.errors())}") from error
    return schema.Portrait(
        model=portrait.model,
        weights_hash=portrait.weights_hash,
        seed=portrait.seed,
        truncation=portrait.truncation,
        w=encode(portrait.w),
        w_shape=list(portrait.w.shape),
        parameters=parameters,
        attributes=model_attributes(rig),
        directions=directions_to_schema(portrait.directions) if portrait.directions else None,
        frame=head_frame(portrait, rig.face) if rig.shows_whole_heads else None,
        offsets=offsets_to_schema(portrait.offsets) if portrait.offsets else None,
    )


def offsets_to_schema(found: Offsets) -> schema.Offsets:
    """Offsets with their file."""
    return schema.Offsets(sha256=found.digest, file=base64.b64encode(found.data).decode("ascii"))


class OffsetsSeen:
    """The last offsets that came with their file, by hash: requests that follow name them only. Safe in any thread."""

    def __init__(self, most: int = MOST_OFFSETS):
        self.most, self.lock = most, threading.Lock()
        self.seen: dict[str, Offsets] = {}

    def of(self, message: schema.Offsets, rig: rigging.Rig) -> Offsets:
        """Raises StyleRigError where they are not here, damaged, or of another generator."""
        with self.lock:
            found = self.seen.pop(message.sha256, None)
            if found is None:
                found = self.read(message)
            self.seen[message.sha256] = found
            while len(self.seen) > self.most:
                del self.seen[next(iter(self.seen))]
        if found.generator != rig.generator_hash:
            raise bad_offsets("they belong to another generator")
        return found

    @staticmethod
    def read(message: schema.Offsets) -> Offsets:
        if message.file is None:
            raise StyleRigError(
                f"The offsets {message.sha256[:8]} of this portrait are not here.",
                "Send the portrait with their file once, or open a file that holds it.",
                code="offsets_missing",
            )
        try:
            data = base64.b64decode(message.file, validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_offsets("they are not base64") from error
        if hashlib.sha256(data).hexdigest() != message.sha256:
            raise bad_offsets("they are not those that it names")
        return read_offsets(data)


OFFSETS = OffsetsSeen()


def head_frame(portrait: rigging.Portrait, face: FaceModel) -> schema.HeadFrame:
    """What a portrait's pictures show."""
    width = frame.half_width(face, portrait.parameters.identity.to(face.mean.device))
    return schema.HeadFrame(center=list(frame.ANCHOR), half_width=float(width))


def parameters_to_schema(parameters: RigParameters, face: FaceModel) -> schema.Parameters:
    """The first head's parameters by value. Raises ValidationError."""
    values: dict[str, Any] = {name: part[0].tolist() for name, part in parameters.parts().items()}
    return schema.Parameters(**values | {"expression": dict(zip(face.expression_names, values["expression"], strict=True))})


def portrait_from_schema(message: schema.Portrait, rig: rigging.Rig) -> rigging.Portrait:
    """The portrait for ``rig``; raises StyleRigError when it was made by other weights or does not fit."""
    if message.weights_hash != rig.weights_hash:
        raise weights_missing(message, rig)
    return rigging.Portrait(
        model=message.model,
        weights_hash=message.weights_hash,
        seed=message.seed,
        truncation=message.truncation,
        w=decode_w(message.w, message.w_shape, (rig.generator.num_ws, rig.generator.w_dim)),
        parameters=parameters_from_schema(message.parameters, rig.face),
        directions=directions_from_schema(message.directions, rig) if message.directions else None,
        offsets=OFFSETS.of(message.offsets, rig) if message.offsets else None,
    )


def controls_from_schema(message: schema.Controls, face: FaceModel) -> rigging.Controls:
    """Controls for the rig; raises StyleRigError for an expression that ``face`` does not have."""
    check_expressions(message.expression, face)
    return rigging.Controls(
        rotation=cast("tuple[float, float, float]", tuple(message.rotation)) if message.rotation else None,
        expression=dict(message.expression),
        light=None if message.light is None else np.array(message.light, dtype=np.float32),
        translation=cast("tuple[float, float]", tuple(message.translation)) if message.translation else None,
        scale=message.scale,
        distance=message.distance,
        attributes=dict(message.attributes),
        looks=tuple(map(look_from_schema, message.looks)),
    )


def look_from_schema(message: schema.LookUse) -> rigging.LookUse:
    """Raises StyleRigError for a style that is none."""
    style = None if message.style is None else tuple(decode_style(message.style).tolist())
    return rigging.LookUse(message.name, message.sha256, message.strength, message.label, message.seed, style, message.mask)


def decode_style(text: str) -> np.ndarray:
    """A look's style in base64, float32 (S,). Raises StyleRigError."""
    try:
        return decode(text, (len(base64.b64decode(text, validate=True)) // 4,), "the style")
    except (binascii.Error, ValueError, StyleRigError) as error:
        raise bad_style("it is not base64 of little-endian float32", "Ask for it again: POST /v1/looks/style gives it.") from error


def model_attributes(rig: rigging.Rig) -> list[schema.Attribute]:
    """The attributes that a rig's model comes with."""
    return [schema.Attribute(name=name, minimum=low, maximum=high) for name, (low, high) in rig.attribute_ranges().items()]


def directions_to_schema(found: Directions) -> schema.Directions:
    """Directions as a portrait carries them."""
    parts = zip(found.header.names, found.header.ranges, found.header.each_layers, found.steps, strict=True)
    each = [
        schema.Direction(name=name, minimum=low, maximum=high, layers=list(layers), step=encode(step.numpy()))
        for name, (low, high), layers, step in parts
    ]
    return schema.Directions(generator=found.header.generator, directions=each)


def directions_from_schema(message: schema.Directions, rig: rigging.Rig) -> Directions:
    """Directions that a portrait carries, for ``rig``; raises StyleRigError when they do not fit its generator."""
    each = message.directions
    width = rig.generator.w_dim
    steps = torch.from_numpy(np.stack([decode(entry.step, (width,), "a direction") for entry in each]))
    lengths = steps.norm(dim=1)
    if not ((lengths > 1e-6) & (lengths < 1000)).all():
        raise damaged("a direction of it has no length that can be used")
    header = Header(
        kind="attributes",
        generator=message.generator,
        layers=tuple(sorted({layer for entry in each for layer in entry.layers})),
        row_layers=tuple(tuple(entry.layers) for entry in each),
        names=tuple(entry.name for entry in each),
        ranges=tuple((entry.minimum, entry.maximum) for entry in each),
        units=tuple(lengths.tolist()),
    )
    found = Directions(header, steps / lengths[:, None])
    check_directions(found, "The portrait", rig.generator)
    return found


def read_directions_file(request: schema.DirectionsRequest, rig: rigging.Rig) -> schema.Directions:
    """A file's directions, checked, for the portraits of ``rig``. Raises StyleRigError."""
    try:
        data = base64.b64decode(request.file, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_directions(request.name, "it did not come whole") from error
    found = read_directions(data, request.name, rig.generator)
    check_usable(found, request.name)
    return directions_to_schema(at_most(found, schema.MAX_DIRECTIONS, request.name))


def at_most(found: Directions, most: int, name: str) -> Directions:
    """The directions; raises StyleRigError for more than a portrait can carry."""
    if len(found) > most:
        raise bad_directions(name, f"they are {len(found)}, a portrait carries {most}", "Save fewer of them.")
    return found


def sefa_directions(request: schema.SefaRequest, rig: rigging.Rig) -> schema.Directions:
    """SeFa's directions for the portraits of ``rig``, which go from -1 to 1. Raises StyleRigError."""
    layers = parse_layers(request.layers, len(style_layers(rig.generator.synthesis)))
    found = find_directions(rig.generator, layers, request.count, 1.0)
    label = "SeFa" if request.layers.strip() == "all" else f"SeFa {request.layers.strip()}"
    names = tuple(f"{label}: {number}"[-64:] for number in range(1, request.count + 1))
    header = found.header.model_copy(update={"names": names, "units": (request.distance,) * len(found)})
    return directions_to_schema(dataclasses.replace(found, header=header))


def weights_missing(message: schema.Portrait, rig: rigging.Rig) -> StyleRigError:
    made_by, here = f"{message.model} {message.weights_hash[:8]}", f"{rig.name} {rig.weights_hash[:8]}"
    return StyleRigError(
        f"The weights that made this portrait ({made_by}) are not here; here are {here}.",
        f"Install the version of StyleRig that holds them, or make a new portrait (its seed was {message.seed}).",
        code="weights_missing",
    )


def encode(values: np.ndarray) -> str:
    """Numbers as base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def decode(text: str, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Numbers in base64 as float32 of exactly ``shape``. Raises StyleRigError, which calls them ``what``, for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise damaged(f"{what} is not base64") from error
    size = 4 * math.prod(shape)
    if len(data) != size:
        raise damaged(f"{what} holds {len(data)} bytes, {shape} float32 are {size}")
    values = np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(shape)
    if not (np.abs(values) <= schema.MAX_LATENT).all():  # nor where one is not a number
        raise damaged(f"{what} holds values that are not numbers within ±{schema.MAX_LATENT:g}")
    return values


def decode_w(text: str, given: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """The latent w in base64 as float32 (L, 512). Raises StyleRigError unless it has exactly ``shape``."""
    if tuple(given) != shape:
        raise damaged(f"its w has the shape {tuple(given)}, the generator's is {shape}")
    return decode(text, shape, "its w")


def parameters_from_schema(message: schema.Parameters, face: FaceModel) -> RigParameters:
    """Rig parameters of one head (N = 1). Raises StyleRigError when they belong to another face model."""
    check_expressions(message.expression, face)
    for name, modes in (("identity", face.identity), ("reflectance", face.albedo)):
        count = len(getattr(message, name))
        if count != len(modes):
            raise damaged(f"it has {count} {name} parameters, the face model {len(modes)}")
    expression = [message.expression.get(name, 0.0) for name in face.expression_names]
    parts = (message.identity, message.reflectance, expression, message.light, message.rotation, message.translation)
    return RigParameters(*(torch.tensor([part], dtype=torch.float32) for part in parts))


def check_expressions(expression: dict[str, float], face: FaceModel) -> None:
    for name in expression:
        if name not in face.expression_names:
            near = difflib.get_close_matches(name, face.expression_names, n=1, cutoff=0.4)
            meant = f"Did you mean {near[0]!r}? " if near else ""
            raise StyleRigError(
                f"The face model has no expression {name!r}.",
                f"{meant}GET /v1/models lists all {len(face.expression_names)}.",
                code="unknown_expression",
            )


def damaged(reason: str) -> StyleRigError:
    return StyleRigError(
        f"This portrait cannot be used: {reason}.",
        "Make a new portrait, or restore the one in the file from a copy.",
        code="bad_portrait",
    )


def portrait_mesh(portrait: rigging.Portrait, face: FaceModel) -> dict[str, np.ndarray]:
    """The portrait's head for another program, in model space (y up, +z forward, cm).

    vertices (V, 3): identity in, expression neutral. expression (E, V, 3): offset of each expression
    at 1; expression_values (E,): what the portrait itself shows. Polygons: polygon_sizes (P,) and
    their corners (C,) one after another, counter-clockwise from outside; uv (C, 2), v up. albedo
    (V, 3) linear. landmarks (68,) vertex indices. groups (G, V): weights named by group_names.
    eye_centers (2, 3): left, right.
    """
    p = portrait.parameters.to(face.mean.device)
    with torch.no_grad():
        vertices = face.vertices(p.identity, torch.zeros_like(p.expression))[0]
        albedo = face.albedo_for(p.reflectance)[0]
        eyes = face.eyes_for(p.identity)[0]
    sizes, corners, uv = polygons(face)
    names = list(face.groups)
    groups = torch.stack([face.groups[name] for name in names])
    floats = {
        "vertices": vertices,
        "albedo": albedo,
        "eye_centers": eyes,
        "uv": uv,
        "groups": groups,
        "expression": face.expression,
        "expression_values": p.expression[0],
    }
    whole = {"polygon_sizes": sizes, "corners": corners, "landmarks": face.landmarks}
    return {
        **{name: value.cpu().numpy().astype("<f4") for name, value in floats.items()},
        **{name: value.cpu().numpy().astype("<i4") for name, value in whole.items()},
        "expression_names": np.array(face.expression_names, dtype=np.str_),
        "group_names": np.array(names, dtype=np.str_),
    }


def polygons(face: FaceModel) -> tuple[Tensor, Tensor, Tensor]:
    """Polygon sizes (P,), corners (C,) and their uv (C, 2) of a face's quads, else of its triangles.

    Parts that are see-through, which the face leaves out of its triangles, are left out here too. A face
    without a UV layout has all corners at the origin.
    """
    if face.quads is None:
        faces, uv_faces = face.triangles, face.uv_triangles
    else:
        drawn = torch.zeros(len(face.mean) + 1, dtype=torch.bool, device=face.mean.device)
        drawn[face.triangles] = drawn[-1] = True  # the last is what -1 points at
        keep = drawn[face.quads].all(dim=1)
        faces, uv_faces = face.quads[keep], None if face.uv_quads is None else face.uv_quads[keep]
    used = faces >= 0
    corners = faces[used]
    uv = corners.new_zeros(len(corners), 2) if face.uv is None or uv_faces is None else face.uv[uv_faces[used]]
    return used.sum(dim=1), corners, uv


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """The arrays as an uncompressed npz, to be read with ``np.load(…, allow_pickle=False)``."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()
