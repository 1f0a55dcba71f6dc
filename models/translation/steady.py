"""Looks that are steady in time: each frame is blended with the one before, which is moved as the picture moves."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

TOLERANCE = 0.06  # of display values: where the pictures themselves differ by more, nothing is taken from the frame before
UV_CELLS = 512  # on a side of the table from a surface's coordinates to pixels


def flow_from_vectors(vectors: np.ndarray) -> np.ndarray:
    """Blender's Vector pass (H, W, 2 or more), row 0 at the top -> flow (H, W, 2).

    A flow is where each pixel was in the frame before, from where it is, in pixels, x right and y down; NaN where that is not known.
    """
    return np.stack((vectors[..., 0], -vectors[..., 1]), axis=2).astype(np.float32)


def flow_from_uv(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Flow (H, W, 2), as above, of two UV passes (H, W, 2), which are 0 where there is no surface: a point keeps its coordinates."""
    there, was_there = now.any(axis=2), before.any(axis=2)
    if not there.any() or not was_there.any():
        return np.full(now.shape, np.nan, np.float32)
    table = splat(torch.from_numpy(before[was_there]).float(), torch.from_numpy(np.argwhere(was_there)[:, ::-1].copy()).float())
    places = torch.from_numpy(now[there]).float() * 2 - 1
    found = grid_sample(table[None], places[None, None], align_corners=False, padding_mode="border")[0, :, 0].T.numpy()
    flow = np.full(now.shape, np.nan, np.float32)
    flow[there] = found - np.argwhere(there)[:, ::-1]
    return flow


def splat(places: Tensor, values: Tensor) -> Tensor:
    """Values (N, C) at places (N, 2) from 0 to 1 as a table (C, UV_CELLS, UV_CELLS); what is between is filled from around."""
    cells = (places * UV_CELLS - 0.5).clamp(0, UV_CELLS - 1.001)
    corner, part = cells.long(), cells - cells.floor()
    table = torch.zeros(values.shape[1] + 1, UV_CELLS * UV_CELLS)
    weighted = torch.cat([values, torch.ones(len(values), 1)], dim=1)
    for right in (0, 1):
        for down in (0, 1):
            share = (part[:, 0] if right else 1 - part[:, 0]) * (part[:, 1] if down else 1 - part[:, 1])
            index = (corner[:, 1] + down) * UV_CELLS + corner[:, 0] + right
            table.index_add_(1, index, (weighted * share[:, None]).T)
    return filled(table.view(1, -1, UV_CELLS, UV_CELLS))[0]


def filled(table: Tensor) -> Tensor:
    """Sums and their weights (1, C + 1, S, S) -> means (1, C, S, S); where there is no weight, those of coarser cells."""
    sums, weights = table[:, :-1], table[:, -1:]
    means = sums / weights.clamp(min=1e-6)
    if table.shape[-1] == 1 or (weights > 1e-3).all():
        return means
    coarse = interpolate(filled(avg_pool2d(table, 2)), scale_factor=2, mode="bilinear", align_corners=False)
    return torch.where(weights > 1e-3, means, coarse)


def completed(flow: np.ndarray) -> np.ndarray:
    """A flow (H, W, 2) without gaps: what is not known, as hair that has no surface, moves with what is next to it."""
    known = np.isfinite(flow).all(axis=2)
    if known.all() or not known.any():
        return np.where(known[..., None], flow, 0).astype(np.float32)
    height, width = known.shape
    side = 1 << (max(height, width) - 1).bit_length()
    table = torch.zeros(1, 3, side, side)
    table[0, :2, :height, :width] = torch.from_numpy(np.where(known[..., None], flow, 0)).movedim(2, 0)
    table[0, 2, :height, :width] = torch.from_numpy(known.astype(np.float32))
    return filled(table)[0, :, :height, :width].movedim(0, 2).numpy()


def warped(image: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frame before (H, W, C) moved by a flow without gaps to where this one has it; and which pixels (H, W) it shows."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    places = np.stack((columns + flow[..., 0], rows + flow[..., 1]), axis=2)
    ndc = torch.from_numpy(((places + 0.5) / (width, height) * 2 - 1).astype(np.float32))[None]
    source = torch.from_numpy(np.ascontiguousarray(image, np.float32)).movedim(2, 0)[None]
    moved = grid_sample(source, ndc, align_corners=False, padding_mode="border")[0].movedim(0, 2).numpy()
    inside = np.logical_and(places >= -0.5, places <= np.array((width, height)) - 0.5).all(axis=2)
    return moved, np.asarray(inside)


class Steadier:
    """Makes the frames of a sequence steady, one after the other; ``amount`` 0 to 1 is how much comes from the frame before."""

    def __init__(self, amount: float):
        self.amount = amount
        self.before: tuple[np.ndarray, np.ndarray] | None = None

    def frame(self, shown: np.ndarray, looked: np.ndarray, flow: np.ndarray | None) -> np.ndarray:
        """The next frame: the picture and what the look makes of it (H, W, 3), 0 to 1, and its flow, None where none is known."""
        result = looked
        if self.before is not None and flow is not None and self.before[0].shape == shown.shape:
            whole = completed(flow)
            picture, inside = warped(self.before[0], whole)
            trust = self.amount * inside * np.exp(-((np.abs(picture - shown).max(axis=2) / TOLERANCE) ** 2))
            result = looked + trust[..., None].astype(np.float32) * (warped(self.before[1], whole)[0] - looked)
        self.keep(shown, result)
        return result

    def keep(self, shown: np.ndarray, result: np.ndarray) -> None:
        """Go on from a frame that was made before."""
        self.before = shown, result


def flicker(frames: list[np.ndarray], flows: list[np.ndarray | None]) -> float:
    """Mean absolute change of display values from frame to frame where nothing but motion should change them.

    ``flows[i]`` leads from frame i to the one before; without one (None) nothing moves.
    """
    changes = []
    for before, now, flow in zip(frames[:-1], frames[1:], flows[1:], strict=True):
        moved, inside = warped(before, completed(flow) if flow is not None else np.zeros((*now.shape[:2], 2), np.float32))
        changes.append(float(np.abs(now - moved)[inside].mean()) if inside.any() else 0.0)
    return float(np.mean(changes)) if changes else 0.0
