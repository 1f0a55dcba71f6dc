"""Keeping what the rig does not describe: an expression changes the picture only where it moves the face.

RigNet edits w, which holds the whole picture, so a smile also moves a few hairs and a blink the mouth. Here
the same head is drawn once more with the portrait's own expression, and the edited picture takes its place
only where the face moves, from either of the two places. Both are pure functions of portrait and controls,
so is the result. Of the edited picture only that part is drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from models.face import FaceModel
from models.face.alignment import place
from models.face.camera import PORTRAIT_CAMERA
from models.face.fragments import seen_triangles
from models.face.parameters import RigParameters
from models.generators import Box
from models.rigging.similarity_transform import MovedCamera, Similarity

SIZE = 128  # side of the mask; it is soft, so that it need not be larger
GROWN, SOFT = 7, 9  # pixels of the mask by which it is wider than what moves, and over which it fades
STILL, MOVING = 0.02, 0.08  # cm by which a point of the face moves: up to here not at all, from here on wholly
STEPS = 64  # across the picture: a part that is drawn begins and ends at one, so that there are few sizes of parts


@torch.no_grad()
def face_area(face: FaceModel, parameters: RigParameters, size: int) -> Tensor:
    """Where the face of each head is (N, 1, size, size), 0–1, by whole triangles."""
    mesh = face.proxy or face
    return seen_area(mesh, face_mask(mesh), PORTRAIT_CAMERA.project(placed(mesh, parameters)), size)


@torch.no_grad()
def moving_area(face: FaceModel, parameters: RigParameters, moved: Sequence[Similarity]) -> Tensor:
    """Where the face is that differs between two heads of one identity: (1, 1, SIZE, SIZE), 0–1, by whole triangles.

    Of both, N = 2, each where its similarity brings it.
    """
    mesh = face.proxy or face
    change = (parameters.expression[1:] - parameters.expression[:1]) @ mesh.expression.flatten(1)
    distance = change.view(-1, 3).norm(dim=1)
    weights = face_mask(mesh) * ((distance - STILL) / (MOVING - STILL)).clamp(0, 1)
    cameras = (MovedCamera(PORTRAIT_CAMERA, similarity) for similarity in moved)
    points = [camera.project(part) for camera, part in zip(cameras, placed(mesh, parameters).split(1), strict=True)]
    return seen_area(mesh, weights, torch.cat(points), SIZE).amax(dim=0, keepdim=True)


def face_mask(mesh: FaceModel) -> Tensor:
    return mesh.masks.get("face", torch.ones_like(mesh.mean[:, 0]))


def placed(mesh: FaceModel, parameters: RigParameters) -> Tensor:
    return place(mesh.vertices(parameters.identity, parameters.expression), parameters)


def seen_area(mesh: FaceModel, weights: Tensor, points: Tensor, size: int) -> Tensor:
    """What a frame shows of vertices' weights (V,) where they are at all: (N, 1, size, size), each triangle of one value."""
    values = weights[mesh.triangles].mean(dim=1)
    chosen = values > 0  # nothing of the head lies before its face
    values = torch.cat((values[chosen], values.new_zeros(1)))  # the last is what -1 points at
    return values[seen_triangles(points, mesh.triangles[chosen], size)].unsqueeze(1)


def grown(area: Tensor) -> Tensor:
    """(N, 1, SIZE, SIZE), wider by GROWN // 2 pixels all around."""
    wide = pad(area, (GROWN // 2,) * 4)
    return wide.unfold(3, GROWN, 1).amax(dim=-1).unfold(2, GROWN, 1).amax(dim=-1)


def faded(wide: Tensor, size: int) -> Tensor:
    """(N, 1, SIZE, SIZE) faded over SOFT pixels and brought to (N, 1, size, size)."""
    fade = fading(size, str(wide.device))
    return (fade @ wide @ fade.mT).clamp(0, 1)


@functools.lru_cache(maxsize=4)
def fading(size: int, device: str) -> Tensor:
    """(size, SIZE): the average of SOFT pixels, then interpolation, of one line. Both are linear, and the same for columns."""
    line = torch.eye(SIZE).unsqueeze(1)
    soft = avg_pool2d(line.unsqueeze(1), (1, SOFT), 1, (0, SOFT // 2), count_include_pad=False)[:, 0]
    return interpolate(soft, size=size, mode="linear", align_corners=False)[:, 0].T.contiguous().to(device)


def wanted_part(wide: Tensor, moved: Similarity, resolution: int, size: int) -> Box:
    """The part of a crop of ``resolution``² pixels that ``faded(wide)`` shows of it, where ``moved`` brings it to ``size``² pixels.

    ``wide`` is not 0 everywhere.
    """
    rows, columns = (wide[0, 0].amax(dim=axis).nonzero().squeeze(1) for axis in (1, 0))
    reach = SOFT // 2 + 1  # of the fading, and of the interpolation
    top, left = (int(places[0]) - reach for places in (rows, columns))
    bottom, right = (int(places[-1]) + 1 + reach for places in (rows, columns))
    corners = torch.tensor([(x, y) for x in (left, right) for y in (top, bottom)], dtype=torch.float64)
    flip = torch.tensor((1.0, -1.0), dtype=torch.float64)
    crop = (moved.to_crop((corners / (SIZE / 2) - 1) * flip) * flip + 1) / 2
    # What is shown smaller was filtered before; either way a pixel that is read lies next to its place.
    margin = 2.0 / min(resolution, max(round(size * moved.scale), 1))
    steps = min(STEPS, resolution)
    low = ((crop.amin(dim=0) - margin) * steps).floor().clamp(0, steps - 1).long() * resolution // steps
    high = (((crop.amax(dim=0) + margin) * steps).ceil().long().clamp(1, steps) * resolution + steps - 1) // steps
    return Box(int(low[1]), int(high[1]), int(low[0]), int(high[0]))
