"""Pixels of a portrait in the picture of a scene: conversion, placing, layering. numpy only.

Pictures from the backend are float32 (H, W, C) with row 0 at the top; what these functions make
from them has row 0 at the bottom, as Blender's render passes have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from . import camera, conversions, frames
from .passes import COMBINED, EVERY_PASS, RenderPass

MATTES = ("Combined", "HeadMatte", *frames.MATTES)  # what fades with the portrait, and lies over another's by its alpha
FADING = (*MATTES, "Portrait")  # what has a soft end in a shot
FEATHER = 0.15  # of the crop's half width, inside its border: in a shot it has a soft end


@dataclass(frozen=True)
class Rectangle:
    """Pixels of a picture, origin at its lower left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.x, self.x + self.width)

    def within(self, other: Rectangle) -> Rectangle:
        """The part that lies in ``other``, seen from its corner; without area where they do not meet."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right, top = min(self.x + self.width, other.x + other.width), min(self.y + self.height, other.y + other.height)
        return Rectangle(x - other.x, y - other.y, max(right - x, 0), max(top - y, 0))


@dataclass(frozen=True)
class Square:
    """Where a square frame lies in a picture whose pixels may be wider than high."""

    x: int  # pixels, its lower left corner
    y: int
    side: float  # heights of a pixel
    aspect: float = 1.0  # width of a pixel / its height

    @property
    def spread(self) -> tuple[float, float]:
        """How many columns and rows it takes."""
        return self.side / self.aspect, self.side

    @property
    def rectangle(self) -> Rectangle:
        """The whole pixels that it reaches into."""
        columns, rows = (math.ceil(length - 1e-6) for length in self.spread)
        return Rectangle(self.x, self.y, columns, rows)

    def in_frame(self, centre: complex, axis: complex) -> tuple[complex, complex]:
        """A place and a vector in heights of a pixel, x + iy -> in NDC of the frame."""
        half = self.side / 2
        return (centre - complex(self.x * self.aspect, self.y)) / half - (1 + 1j), axis / half


def border_rectangle(width: int, height: int, border: tuple[float, float, float, float]) -> Rectangle:
    """Pixels of a render border (left, bottom, right, top, 0 to 1), cut off as Blender cuts them."""
    left, bottom, right, top = (np.float32(value) for value in border)
    x, y = int(left * np.float32(width)), int(bottom * np.float32(height))
    return Rectangle(x, y, int(right * np.float32(width)) - x, int(top * np.float32(height)) - y)


def union_bounds(parts: list[Rectangle], area: Rectangle) -> Rectangle:
    """The smallest rectangle of the picture that has all that lies in ``area`` of ``parts``; all of it where nothing does."""
    inside = [part for part in (part.within(area) for part in parts) if part.width and part.height]
    if not inside:
        return area
    x, y = min(part.x for part in inside), min(part.y for part in inside)
    right, top = max(part.x + part.width for part in inside), max(part.y + part.height for part in inside)
    return Rectangle(area.x + x, area.y + y, right - x, top - y)


def backend_size(side: float) -> int:
    """The size to ask the backend for, to fill a square of ``side`` pixels."""
    return min(max(round(side), frames.MIN_SIZE), frames.MAX_SIZE)


def to_blender(
    passes: dict[str, np.ndarray], head_to_world: np.ndarray | None = None, world_to_camera: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The backend's passes in Blender's units and row order.

    With the matrices (4, 4) of a head in a shot, Normal and Position are in the world and Depth is
    along the scene camera's axis; without, all are as the portrait's camera sees them, in Blender's
    axes and metres. There may be no passes of the mesh.
    """
    made = geometry(passes, head_to_world, world_to_camera) if "Depth" in passes else {}
    converted = {**passes, **made}
    return {entry.name: converted[entry.name][::-1] for entry in EVERY_PASS if entry.name in converted}


def geometry(passes: dict[str, np.ndarray], head_to_world: np.ndarray | None, world_to_camera: np.ndarray | None) -> dict[str, np.ndarray]:
    """Normal, Position, UV and Depth as ``to_blender`` has them, row 0 at the top."""
    to_world = portrait_to_world(passes.get("placement"), head_to_world)
    covered = passes["Depth"] < frames.FAR
    inside = covered.astype(np.float32)
    position = transform_points(to_world, passes["Position"]) * inside
    metres = passes["Depth"] / np.float32(conversions.CENTIMETRES_PER_METRE)
    if world_to_camera is not None:
        row = world_to_camera[2].astype(np.float32)
        metres = -(position.reshape(-1, 3) @ row[:3] + row[3]).reshape(covered.shape)
    return {
        "Normal": rotate_vectors(passes["Normal"], unit_columns(to_world[:3, :3]).astype(np.float32)),
        "Position": position,
        "UV": np.concatenate((passes["UV"] * inside, inside), axis=-1),
        "Depth": np.where(covered, metres, frames.FAR).astype(np.float32),
    }


def with_head_depth(passes: dict[str, np.ndarray], plane: float | None = None) -> dict[str, np.ndarray]:
    """Passes with HeadDepth, if they have Depth: where the portrait covers a pixel and its mesh does not, it is as far as ``plane``.

    By default that is as far as the mesh is on average.
    """
    depth = passes.get("Depth")
    if depth is None:
        return passes
    mesh = depth < frames.FAR
    if plane is None:
        plane = float(depth[mesh].mean()) if mesh.any() else frames.FAR
    filled = np.where(mesh | (passes["Combined"][..., 3:] == 0), depth, np.float32(plane))
    return {**passes, "HeadDepth": filled}


def portrait_to_world(placement: np.ndarray | None, head_to_world: np.ndarray | None) -> np.ndarray:
    """(4, 4) from the world of the portrait's camera (cm) to Blender's, where ``placement`` says how the head stands in the first."""
    if head_to_world is None or placement is None:
        return conversions.MODEL_TO_BLENDER
    standing = np.eye(4)
    standing[:3, :3] = camera.rotation_to_matrix(placement[:3])
    standing[:3, 3] = placement[3:]
    return head_to_world @ np.linalg.inv(standing)


def transform_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (H, W, 3) through a matrix (4, 4)."""
    moved = rotate_vectors(points, matrix[:3, :3].astype(np.float32))
    moved += matrix[:3, 3].astype(np.float32)
    return moved


def rotate_vectors(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Vectors (H, W, 3) through a matrix (3, 3): one product of two dimensions, which numpy has fast."""
    return (vectors.reshape(-1, 3) @ matrix.T).reshape(vectors.shape)


def unit_columns(matrix: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) of a matrix with scale."""
    return matrix / np.maximum(np.linalg.norm(matrix, axis=0), 1e-12)


def feather(passes: dict[str, np.ndarray], to_crop: tuple[complex, complex]) -> dict[str, np.ndarray]:
    """The portrait fading out towards the border of its crop, so that shoulders have no hard end.

    ``to_crop`` (a, b): the place z = x + iy of the frame, NDC, is a z + b of the crop. The passes of the mesh
    stay as they are.
    """
    factor, offset = to_crop
    size = passes["Combined"].shape[0]
    line = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    faded = {name: passes[name].copy() for name in FADING if name in passes}
    for rows, columns in border_bands(size, -offset / factor, (1 - FEATHER) / (abs(factor.real) + abs(factor.imag))):
        x, y = line[None, columns], line[rows, None]
        inside = smooth_falloff(np.float32(factor.real) * x + np.float32(-factor.imag) * y, offset.real)
        inside *= smooth_falloff(np.float32(factor.imag) * x + np.float32(factor.real) * y, offset.imag)
        for picture in faded.values():
            # Half the time of a product, which buffers the one value that goes with all channels of a pixel.
            np.einsum("hwc,hw->hwc", picture[rows, columns], inside, out=picture[rows, columns])
    return {**passes, **faded}


def border_bands(size: int, centre: complex, half: float) -> list[tuple[slice, slice]]:
    """The parts (rows, columns) of a square picture, row 0 at the bottom, around an upright square in it: NDC."""
    ends = ((middle + side * half + 1) * size / 2 for middle in (centre.imag, centre.real) for side in (-1, 1))
    low, high, left, right = (min(max(round(end), 0), size) for end in ends)
    beside = slice(low, high)
    return [
        (slice(0, low), slice(None)), (slice(high, size), slice(None)), (beside, slice(0, left)), (beside, slice(right, size))
    ]  # fmt: skip


def smooth_falloff(place: np.ndarray, offset: float) -> np.ndarray:
    """1 where ``place + offset`` is around 0, down to 0 at -1 and 1, smoothly. In the memory of ``place``."""
    place += np.float32(offset)
    np.abs(place, out=place)
    np.subtract(1, place, out=place)
    place /= FEATHER
    np.clip(place, 0, 1, out=place)
    slope = place * -2
    slope += 3
    place *= place
    place *= slope
    return place


def paste(passes: dict[str, np.ndarray], square: Square, area: Rectangle) -> dict[str, np.ndarray]:
    """Passes of a square frame in a picture of the ``area``, which is otherwise empty.

    Where a pixel of the frame is one of the picture they are copied; else colours go through a
    triangle filter and the rest takes its nearest pixel.
    """
    target = square.rectangle.within(area)
    seen = Rectangle(target.x + area.x - square.x, target.y + area.y - square.y, target.width, target.height)
    placed = {}
    for entry in EVERY_PASS:
        if entry.name in passes:
            pixels = passes[entry.name]
            picture = filled(area, pixels.shape[2], entry.outside)
            picture[target.rows, target.columns] = resample(pixels, square, seen, entry.smooth)
            placed[entry.name] = picture
    return placed


def resample(pixels: np.ndarray, square: Square, seen: Rectangle, smooth: bool) -> np.ndarray:
    """The part ``seen`` (h, w, C) of a frame (S, S, C) that fills ``square``, whose pixels may have another size."""
    for axis, spread, part in ((1, square.spread[0], seen.columns), (0, square.spread[1], seen.rows)):
        source = resample_weights(pixels.shape[axis], spread, part, smooth)
        if isinstance(source, slice):
            pixels = pixels[:, source] if axis else pixels[source]
        elif source.ndim == 1:
            pixels = pixels.take(source, axis)
        else:
            pixels = np.moveaxis(np.tensordot(source, pixels, axes=(1, axis)), 0, axis)
    return pixels


def resample_weights(size: int, spread: float, part: slice, smooth: bool) -> slice | np.ndarray:
    """Which of ``size`` pixels, or what mixture (N, size) of them, shows ``part`` of those that they are spread over."""
    if size == spread:
        return part
    centres = (np.arange(part.start, part.stop) + 0.5) * size / spread
    if not smooth:
        return np.clip(centres.astype(int), 0, size - 1)
    distance = np.abs(np.arange(size)[None] - (centres[:, None] - 0.5)) / max(size / spread, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    return (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)


def empty(area: Rectangle, passes: tuple[RenderPass, ...]) -> dict[str, np.ndarray]:
    """Combined and ``passes`` of a picture without a portrait."""
    return {entry.name: filled(area, entry.count, entry.outside) for entry in (COMBINED, *passes)}


def filled(area: Rectangle, channels: int, value: float) -> np.ndarray:
    """A picture of one value; zeros come from the system without being written."""
    shape = area.height, area.width, channels
    return np.full(shape, value, dtype=np.float32) if value else np.zeros(shape, dtype=np.float32)


def over(front: dict[str, np.ndarray], back: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One portrait over another: Combined and mattes by its alpha, other passes where that is at least half, or nothing is behind.

    A matte that one of them lacks is 0 there.
    """
    alpha = front["Combined"][..., 3:]
    covers = alpha >= 0.5
    if "Depth" in back:
        covers |= (back["Depth"] >= frames.FAR) & (back["Combined"][..., 3:] == 0)
    result = {}
    for name in front.keys() | back.keys():
        if name in MATTES:
            result[name] = front.get(name, 0) + (1 - alpha) * back.get(name, 0)
        else:
            result[name] = np.where(covers, front[name], back[name])
    return result


def over_colour(combined: np.ndarray, colour: tuple[float, float, float]) -> np.ndarray:
    """Premultiplied (H, W, 4) over a colour, opaque; in the picture's own memory."""
    seen = 1 - combined[..., 3]
    for channel, value in enumerate((*colour, 1.0)):
        combined[..., channel] += seen * np.float32(value)
    return combined
