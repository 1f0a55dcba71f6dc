"""CIE Lab of sRGB colours: D65, the observer of 2 degrees, with the constants that skimage and so the published colouriser uses."""

from __future__ import annotations

import torch
from torch import Tensor

from models.colour import linear_to_srgb, srgb_to_linear

XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)
LINEAR_BELOW = 0.008856  # of the white; 0.2068966 is its cube root
SLOPE, OFFSET = 7.787, 16 / 116
AB_RANGE = 110.0  # what a network's [-1, 1] stands for; lightness is 0 to 100


def rgb_to_lab(image: Tensor) -> Tensor:
    """sRGB (N, 3, H, W), 0 to 1, to L (0 to 100), a and b."""
    white = image.new_tensor(WHITE)[:, None, None]
    xyz = mix(srgb_to_linear(image), image.new_tensor(XYZ_OF_RGB)) / white
    x, y, z = torch.where(xyz > LINEAR_BELOW, xyz.clamp(min=LINEAR_BELOW) ** (1 / 3), SLOPE * xyz + OFFSET).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """The inverse, clipped to 0 to 1."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    roots = torch.stack([a / 500 + y, y, (y - b / 200).clamp(min=0)], dim=1)
    xyz = torch.where(roots > LINEAR_BELOW ** (1 / 3), roots**3, (roots - OFFSET) / SLOPE)
    xyz = xyz * lab.new_tensor(WHITE)[:, None, None]
    rgb_of_xyz = torch.linalg.inv(torch.tensor(XYZ_OF_RGB, dtype=torch.float64))
    return linear_to_srgb(mix(xyz, rgb_of_xyz.to(lab)))


def mix(image: Tensor, matrix: Tensor) -> Tensor:
    """The matrix's product with the colour of every pixel."""
    return torch.einsum("ij,njhw->nihw", matrix, image)


def lightness_of(image: Tensor) -> Tensor:
    """A colouriser's input (N, 1, H, W) in [-1, 1] of an image (N, 3, H, W) in [-1, 1]."""
    return rgb_to_lab((image + 1) / 2)[:, :1] / 50 - 1


def colours_of(image: Tensor) -> Tensor:
    """What a colouriser should answer (N, 2, H, W) for an image (N, 3, H, W) in [-1, 1]."""
    return rgb_to_lab((image + 1) / 2)[:, 1:] / AB_RANGE


def coloured(lightness: Tensor, colours: Tensor) -> Tensor:
    """The image (N, 3, H, W) in [-1, 1] of a colouriser's input and its output (N, 2, H, W)."""
    return lab_to_rgb(torch.cat([(lightness + 1) * 50, colours * AB_RANGE], dim=1)) * 2 - 1
