"""The looks that ship: each is there with its card, is small, and changes a picture."""

from __future__ import annotations

import pytest
import torch

from models.translation.library import SHIPPED, LookLibrary

LIBRARY = LookLibrary([SHIPPED])
KINDS = {"attributes": "stargan", "colourise": "pix2pix", "drawing": "cyclegan", "styles": "starganv2"}
OTHERWISE = {"attributes": "grey hair", "styles": "grey hair"}  # what is asked of those that have to be asked
MOST = 20_000_000  # bytes of all


def test_all_are_there_with_cards_and_small():
    entries = {entry.name: entry for entry in LIBRARY.entries()}
    assert {name: entry.kind for name, entry in entries.items()} == KINDS
    assert all(entry.title and entry.metadata["images"] > 0 for entry in entries.values())
    assert sum(entry.path.stat().st_size for entry in entries.values()) <= MOST
    assert all("License: GPL-3.0-or-later" in entry.path.with_suffix(".md").read_text() for entry in entries.values())


@pytest.mark.parametrize("name", KINDS)
def test_a_look_changes_a_picture(name):
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    changed = LIBRARY.get(name).at_own_size(image, OTHERWISE.get(name))
    assert changed.shape == image.shape and changed.isfinite().all()
    assert (changed - image).abs().mean() > 0.01


def test_a_drawing_is_ink_on_paper():
    drawn = LIBRARY.get("drawing")(torch.zeros(1, 3, 64, 64))
    assert drawn.mean() > 0.7 and (drawn[:, 0] - drawn[:, 2]).abs().mean() < 0.3  # nothing is there: paper


def test_colours_come_with_the_lightness_that_went_in():
    grey = torch.linspace(-0.8, 0.8, 64).expand(1, 3, 64, 64)
    coloured = LIBRARY.get("colourise")(grey)
    assert (coloured.mean(dim=1) - grey.mean(dim=1)).abs().mean() < 0.1
