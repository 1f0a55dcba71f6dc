"""Tinted light: images are those that the studio would have developed of the same scene."""

from __future__ import annotations

import numpy as np
import torch

from models.device_rng import DeviceRng
from models.synthetic.tonemap import encode, tone, untone
from models.training.guided_generator.tint import LEAST, MOST, tinted, tints


def developed(radiance: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Images in [-1, 1] of linear radiance (N, 3, R, R) and alpha (N, 1, R, R)."""
    return torch.cat((torch.from_numpy(encode(tone(radiance.numpy()))) * alpha, alpha), dim=1) * 2 - 1


def test_the_tone_curve_is_undone():
    radiance = np.linspace(0, 4, 200)  # beyond, all is white
    assert np.abs(untone(tone(radiance)) - radiance).max() < 1e-9


def test_a_tinted_image_is_that_of_the_scene_in_tinted_light():
    rng = torch.Generator().manual_seed(1)
    radiance, alpha = 1.5 * torch.rand(2, 3, 8, 8, generator=rng), 0.1 + 0.9 * torch.rand(2, 1, 8, 8, generator=rng)
    gains = torch.tensor([[1.7, 0.8, 0.4], [1.0, 1.0, 1.0]])
    plain = developed(radiance, alpha)
    shown = tinted(plain, gains)
    assert torch.allclose(shown, developed(radiance * gains[:, :, None, None], alpha), atol=2e-4)
    assert torch.equal(shown[1], plain[1]) and (shown[0] - plain[0]).abs().mean() > 0.05


def test_what_is_transparent_stays_so():
    shown = tinted(torch.full((1, 4, 2, 2), -1.0), torch.tensor([[1.5, 1.5, 1.5]]))
    assert (shown == -1).all()


def test_gains_are_bounded_and_leave_a_share_as_it_is():
    gains = tints(400, 0.5, DeviceRng(1))
    plain = (gains == 1).all(dim=1)
    assert 0.4 < plain.float().mean() < 0.6 and (tints(9, 0.0, DeviceRng(1)) == 1).all()
    assert gains.min() >= LEAST and gains.max() <= MOST and gains.std() > 0.1
