"""What lies beyond the alignment (roll, translation, scale): a similarity of the finished crop."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from models.face.camera import Camera

MARGIN = 0.08  # NDC beyond the crop into which its border is continued, so that a small roll leaves no notch


@dataclass(frozen=True)
class Similarity:
    """out = pivot + shift + scale · turn(angle) · (crop - pivot), in NDC, x right and y up; angle in radians, +x to +y."""

    angle: float
    scale: float
    pivot: tuple[float, float]
    shift: tuple[float, float]

    @property
    def is_identity(self) -> bool:
        return self.angle == 0 and self.scale == 1 and self.shift == (0, 0)

    def to_crop(self, points: Tensor) -> Tensor:
        """Points (…, 2) of the output -> of the crop."""
        turn = self.turn(-self.angle).to(points) / self.scale
        pivot, shift = points.new_tensor(self.pivot), points.new_tensor(self.shift)
        return (points - pivot - shift) @ turn.mT + pivot

    def to_output(self, points: Tensor) -> Tensor:
        """Points (…, 2) of the crop -> of the output."""
        turn = self.turn(self.angle).to(points) * self.scale
        pivot, shift = points.new_tensor(self.pivot), points.new_tensor(self.shift)
        return (points - pivot) @ turn.mT + pivot + shift

    @staticmethod
    def turn(angle: float) -> Tensor:
        value = torch.tensor(angle, dtype=torch.float64)
        c, s = value.cos(), value.sin()
        return torch.stack((torch.stack((c, -s)), torch.stack((s, c))))

    def sources(self) -> Tensor:
        """(2, 3) float64 from a pixel of the output to the crop's, in NDC with y down as torch samples pictures."""
        corners = torch.tensor(((0.0, 0.0), (1.0, 0.0), (0.0, -1.0)), dtype=torch.float64)
        middle, right, below = self.to_crop(corners) * torch.tensor((1.0, -1.0), dtype=torch.float64)
        return torch.stack((right - middle, below - middle, middle), dim=1)

    def warp(self, image: Tensor, size: int | None = None, outside: float = 0.0) -> Tensor:
        """Move a crop (1, C, H, W), row 0 at the top, into a picture of ``size``² pixels (None: its own size).

        ``outside`` fills what the crop does not show.
        """
        height, width = (size, size) if size else image.shape[2:]
        if self.is_identity and (height, width) == tuple(image.shape[2:]):
            return image
        sources = self.sources()
        grid = affine_grid(sources.to(image).unsqueeze(0), [1, 1, height, width], align_corners=False)
        moved = grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
        # The farthest that a pixel's source lies from the middle is at a corner.
        if sources.abs().sum(dim=1).max() <= 1 + MARGIN:
            return moved
        inside = (grid.abs().amax(dim=-1) <= 1 + MARGIN).to(image)
        return moved * inside + outside * (1 - inside)


@dataclass(frozen=True)
class MovedCamera:
    """``camera`` whose picture is moved by a similarity: what it draws lies where ``warp`` brings a crop."""

    camera: Camera
    similarity: Similarity

    def project(self, points: Tensor) -> Tensor:
        """World points (N, V, 3) cm -> (N, V, 3): NDC x, NDC y, depth in cm along the camera's own axis."""
        ndc = self.camera.project(points)
        return torch.cat((self.similarity.to_output(ndc[..., :2]), ndc[..., 2:]), dim=-1)
