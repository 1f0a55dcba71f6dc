"""What tests and pictures measure on our head: where lips and lids meet, what is seen, random expressions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.face import FaceModel
from models.face.camera import Camera
from models.face.fragments import rasterize
from models.face.own_head.contact import halves, interpolation
from models.face.own_head.measurements import read_figures
from models.face.own_head.topology import FULL, chart_sheet

CONTRARY = (("eyeLookUp", "eyeLookDown"), ("eyeLookIn", "eyeLookOut"), ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"))


class Contact:
    """The contact lines of our head's full mesh."""

    def __init__(self):
        self.sheet = chart_sheet(FULL, read_figures())
        self.lips = self.sheet.rings["mouth"][sum(FULL.lip_rings[:2]) - 1]
        self.lashes = {side: self.sheet.rings[f"eye_{side}"][FULL.lid_rings[0] - 1] for side in ("L", "R")}
        self.lids = {side: self.sheet.rings[f"eye_{side}"][: FULL.lid_rings[0]] for side in ("L", "R")}

    def gap(self, vertices: Tensor, ring: np.ndarray, along: int = 0) -> np.ndarray:
        """How far a ring's upper half lies above its lower half, cm, at the upper half's vertices; negative when crossed."""
        points = vertices.numpy().astype(float)
        upper, lower = halves(self.sheet.points, ring)
        return points[upper, 1] - interpolation(points[lower, along], points[upper, along]) @ points[lower, 1]


def random_expressions(face: FaceModel, count: int, seed: int = 0) -> Tensor:
    """Weights (N, E) of faces that people make: a seventh of the expressions at work, sides alike, none against its contrary.

    The lips close no further than the jaw is open.
    """
    generator = torch.Generator().manual_seed(seed)
    names = face.expression_names
    weights = torch.rand(count, len(names), generator=generator)
    weights = weights * (torch.rand(count, len(names), generator=generator) < 0.14)
    for i, name in enumerate(names):
        if name.endswith("_R"):
            left = weights[:, names.index(f"{name[:-2]}_L")]
            change = 1 + 0.2 * torch.randn(count, generator=generator)
            weights[:, i] = (left * change).clamp(0, 1)
    for first, second in CONTRARY:
        for side in ("_L", "_R") if f"{first}_L" in names else ("",):
            a, b = names.index(first + side), names.index(second + side)
            weights[:, b] *= weights[:, a] == 0
    for a, b in (("eyeLookIn_L", "eyeLookOut_R"), ("eyeLookOut_L", "eyeLookIn_R")):  # both eyes look the same way
        weights[:, names.index(b)] = weights[:, names.index(a)]
    weights[:, names.index("mouthClose")] *= weights[:, names.index("jawOpen")]
    return weights


def seen(face: FaceModel, vertices: Tensor, mask: str, size: int = 192) -> int:
    """How many pixels of a frontal picture show a part of the face, by the name of its mask."""
    return seen_parts(face, vertices, (mask,), size)[mask]


def seen_parts(face: FaceModel, vertices: Tensor, masks: tuple[str, ...], size: int = 192) -> dict[str, int]:
    """How many pixels of a frontal picture show each part of the face, by the names of their masks."""
    ndc = Camera(120.0, 10.0).project(vertices[None] - torch.tensor([0.0, 0.5, 0.0]))
    triangle = rasterize(ndc, face.triangles, size).triangle
    shown = triangle[triangle >= 0]
    return {mask: int((face.masks[mask] > 0.5)[face.triangles].all(dim=1)[shown].sum()) for mask in masks}
