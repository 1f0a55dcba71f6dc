"""Domains that are made of photographs, and the plans of the looks that ship."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.cli.train_look import PLANS
from models.data.image_set import is_held_out
from models.training.translation.config import load_plan
from models.training.translation.made import INK, MADE, PAPER, black_and_white, line_drawing, made_of
from models.translation.look import ResNetLook, UNetLook, make_look

SHIPPED = {"colourise": "pix2pix", "drawing": "cyclegan", "attributes": "stargan", "styles": "starganv2", "cogan-glasses": "cogan"}


def step_edge(left: float, right: float, size: int = 64) -> torch.Tensor:
    """Brightness ``left`` in the left half and ``right`` in the right one, 0 to 1, as an image in [-1, 1]."""
    image = torch.full((1, 3, size, size), right)
    image[..., : size // 2] = left
    return image * 2 - 1


def brightness(images: torch.Tensor) -> torch.Tensor:
    return (images * 0.5 + 0.5).mean(dim=1)[0]


def test_a_drawing_has_ink_where_brightness_changes_and_paper_where_it_does_not():
    drawn = line_drawing(step_edge(0.55, 0.8))
    row = brightness(drawn)[32]
    paper, ink = np.mean(PAPER), np.mean(INK)
    assert row[:20].min() == pytest.approx(paper, abs=1e-3) and row[44:].min() == pytest.approx(paper, abs=1e-3)
    darkest = int(row.argmin())
    assert row[darkest] < (paper + ink) / 2 and abs(darkest - 32) <= 2


def test_what_is_dark_is_filled_with_ink_and_no_colour_is_left():
    drawn = line_drawing(step_edge(0.05, 0.9))
    inside = (drawn[0, :, 32, 4] * 0.5 + 0.5).tolist()
    assert inside == pytest.approx(INK, abs=0.02)
    ramp = torch.tensor(PAPER) - torch.tensor(INK)
    along = (drawn[0] * 0.5 + 0.5 - torch.tensor(INK)[:, None, None]) / ramp[:, None, None]
    assert (along[0] - along[1]).abs().max() < 1e-5 and along.min() > -1e-5 and along.max() < 1 + 1e-5


def test_a_drawing_is_the_same_at_twice_the_size():
    small, large = (brightness(line_drawing(step_edge(0.55, 0.8, size))) for size in (128, 256))
    halved = torch.nn.functional.avg_pool2d(large[None, None], 2)[0, 0]
    assert (small - halved).abs().mean() < 0.01


def test_black_and_white_is_pillows_grey():
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    made = black_and_white(image)
    assert torch.allclose(made[:, 0], made[:, 2]) and torch.allclose(
        made[:, 0], (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    )


@pytest.mark.parametrize("count", [2, 3])
def test_each_person_is_in_one_domain_and_held_out_ones_are_in_all(count):
    people = np.arange(4096)
    places = made_of(people, count)
    held_out = is_held_out(people)
    for part in (held_out, ~held_out):
        shares = np.bincount(places[part], minlength=count) / part.sum()
        assert shares.min() > 0.9 / count
    assert "photo" in MADE


def test_the_looks_that_ship_have_plans_and_fit_in_20_megabytes():
    numbers = 0
    for name, kind in SHIPPED.items():
        plan = load_plan(kind, PLANS / f"{name}.toml")
        assert sum(stage.minutes for stage in plan.stages) <= 90
        look = make_look(plan.generator)
        assert not isinstance(look, UNetLook | ResNetLook) or plan.size == 256  # these have no size of their own
        numbers += sum(value.numel() for value in look.network.parameters())
        numbers += sum(value.numel() for value in look.network.parameters()) if name == "drawing" else 0  # there and back
    assert 2 * numbers <= 20e6
