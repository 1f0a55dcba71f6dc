"""The looks that ship: each is there with its card, is small, and changes a portrait as its kind does."""

from __future__ import annotations

import pytest
import torch

from models.translation.library import SHIPPED, LookLibrary
from models.translation.look import CoGANLook, StarGANv2Look

LIBRARY = LookLibrary([SHIPPED])
NAMES = ("attributes", "cogan-glasses", "colourise", "drawing", "styles")
MOST = 20_000_000  # bytes of all


def test_all_are_there_with_cards_and_small():
    entries = {entry.name: entry for entry in LIBRARY.entries()}
    assert tuple(sorted(entries)) == NAMES
    assert all(entry.title and entry.metadata["images"] > 0 for entry in entries.values())
    assert sum(entry.path.stat().st_size for entry in entries.values()) <= MOST
    assert all("License: GPL-3.0-or-later" in entry.path.with_suffix(".md").read_text() for entry in entries.values())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cogan-glasses"])
def test_a_look_changes_a_picture(name):
    look = LIBRARY.get(name)
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    label = {look.labels[0]: 1.0} if look.labels else look.domains[0] if look.domains else None
    style = look.style(torch.zeros(1, look.config.latent_dim), label) if isinstance(look, StarGANv2Look) else None
    changed = look.at_own_size(image, label, style)
    assert changed.shape == image.shape and changed.isfinite().all()
    assert (changed - image).abs().mean() > 0.01


def test_a_latent_draws_a_pair():
    look = LIBRARY.get("cogan-glasses")
    assert isinstance(look, CoGANLook) and look.domains == ("no glasses", "glasses")
    pair = look.draw(torch.zeros(1, look.config.latent_dim))
    assert pair.shape[1] == 2 and (pair[:, 0] - pair[:, 1]).abs().mean() > 0.005
