"""How surely a face is found in a picture, as a score."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from models.editing.inversion.finding import FINDER
from models.editing.quality import quality_of, quality_scores
from models.editing.studio_scores import studio_scores
from models.generators import Generator, latents_from_seed
from models.generators.config import StyleGAN2Config
from models.generators.engines.scheduler import torch_threads
from models.generators.semantic_mapping.studio_v1 import LATENT_SIZE
from models.perception.face_finder import FaceFinder
from tests.data.official_format import lively
from tests.helpers import photos

SIZES = {"resolution": 16, "mapping_layers": 2, "channels": {4: 8, 8: 8, 16: 8}}


@pytest.fixture(scope="module")
def finder() -> Iterator[FaceFinder]:
    with torch_threads(1):
        yield FaceFinder.load(FINDER)


def test_a_whole_face_scores_above_a_spoilt_one_and_above_noise(finder):
    whole = torch.from_numpy(photos.person(3)).movedim(-1, 0).float() / 255
    noise = torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(1))
    tiles = whole.unfold(1, 64, 64).unfold(2, 64, 64)
    spoilt = torch.cat([torch.cat(row.unbind(1), dim=2) for row in tiles.flip(1).unbind(1)], dim=1)
    whole, spoilt, nothing = (quality_of(picture, finder) for picture in (whole, spoilt, noise))
    assert 0.8 < whole <= 1 and whole > spoilt + 0.05 and whole > nothing + 0.3


def test_scores_are_of_the_seeds_whichever_others_are_asked_for(finder):
    generator, said = lively(Generator.create(StyleGAN2Config(z_dim=12, w_dim=12, **SIZES), seed=1)), []
    found = quality_scores(generator, range(9), finder, lambda done, total: said.append((done, total)))
    assert found.names == ("quality",) and found.values.shape == (9, 1) and said == [(8, 9), (9, 9)]
    assert torch.allclose(quality_scores(generator, [8, 2], finder).values, found.values[[8, 2]], atol=1e-4)
    assert found.values.unique().numel() > 5


def test_what_z_means_is_known_beside_it_where_the_studio_taught(finder):
    generator = Generator.create(StyleGAN2Config(w_dim=12, **SIZES), seed=1)
    generator.metadata["scene_latents"] = LATENT_SIZE
    found = quality_scores(generator, range(2), finder)
    z = torch.cat([latents_from_seed(seed, 1, 512) for seed in range(2)])
    assert found.names[0] == "quality" and torch.equal(found.column("yaw"), studio_scores(z).column("yaw"))
