"""What skin mirrors of a light, against the integrals that the formulas stand for."""

from __future__ import annotations

import math

import pytest
import torch

from models.face import gloss, harmonics
from models.face.rasterizer import render
from tests.helpers.synthetic_face import synthetic_face
from tests.unit.test_rasterizer import lit_parameters

COUNT = 400


@pytest.mark.parametrize("roughness", [0.2, 0.4, 0.7])
def test_the_lobe_is_ggxs(roughness: float) -> None:
    """Means of Legendre's polynomials over facets drawn as GGX has them."""
    chance = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    slope = roughness**4 * chance / (1 - chance)
    mirrored = 2 / (1 + slope) - 1  # cosine of twice the facet's angle
    wanted = (1.0, mirrored.mean().item(), ((3 * mirrored**2 - 1) / 2).mean().item())
    found = gloss.lobe(roughness)
    assert (found[0], found[1], found[4]) == pytest.approx(wanted, abs=1e-3)
    assert found == (found[0], *[found[1]] * 3, *[found[4]] * 5)


@pytest.mark.parametrize("cosine", [1.0, 0.7, 0.4])
def test_the_share_is_that_of_ggx_with_fresnel_and_shadowing(cosine: float) -> None:
    """Sampled facets (Karis, "Real Shading in Unreal Engine 4", 2013): 4 v·h n·l F G / (4 n·v n·l) n·h, on average."""
    alpha = gloss.SKIN_ROUGHNESS**2
    line = (torch.arange(COUNT, dtype=torch.float64) + 0.5) / COUNT
    chance, turn = torch.meshgrid(line, 2 * math.pi * line, indexing="ij")
    cos = ((1 - chance) / (1 + (alpha**2 - 1) * chance)).sqrt()
    sin = (1 - cos * cos).sqrt()
    view_half = math.sqrt(1 - cosine**2) * sin * turn.cos() + cosine * cos
    light = 2 * view_half * cos - cosine
    fresnel = gloss.SKIN_F0 + (1 - gloss.SKIN_F0) * (1 - view_half.clamp(0, 1)) ** 5

    def smith(value):
        return 2 * value / (value + (alpha**2 + (1 - alpha**2) * value * value).sqrt())

    shadowed = smith(torch.tensor(cosine).double()) * smith(light.clamp(min=1e-9))
    wanted = torch.where(light > 0, shadowed * view_half * fresnel / (cos * cosine), 0.0).mean()
    found = gloss.mirrored_share(torch.tensor(cosine))
    assert found.item() == pytest.approx(wanted.item(), rel=0.3, abs=0.004)


def test_a_mirror_turns_the_view_about_the_normal() -> None:
    normals, view = (torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(i)), dim=1) for i in (0, 1))
    mirrored = gloss.mirror(normals, view)
    assert torch.allclose(mirrored + view, 2 * (normals * view).sum(1, keepdim=True) * normals, atol=1e-6)
    assert torch.allclose(mirrored.norm(dim=1), torch.ones(50), atol=1e-5)


def test_a_head_in_even_light_shines_by_fresnel_alone() -> None:
    face = synthetic_face(1000)
    parameters = lit_parameters(face)
    even = parameters.replace(light=harmonics.ambient_light(torch.ones(1, 3)))
    drawn = render(face, even, 48, outputs=("specular", "normals", "position", "depth", "mask"))
    inside = drawn["mask"][..., 0] == 1
    x, y, _ = drawn["position"][inside].unbind(-1)
    view = torch.nn.functional.normalize(torch.stack((-x, -y, drawn["depth"][inside][:, 0]), dim=-1), dim=1)
    share = gloss.mirrored_share((drawn["normals"][inside] * view).sum(1, keepdim=True))
    assert torch.allclose(drawn["specular"][inside], share.expand(-1, 3), atol=1e-5)
    assert not drawn["specular"][drawn["mask"][..., 0] == 0].any()


def test_the_highlight_lies_towards_the_lamp_and_doubles_with_it() -> None:
    face = synthetic_face(1000)
    parameters = lit_parameters(face).replace(rotation=torch.zeros(1, 3))
    lamp = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0, 1.0]]), dim=1)
    light = harmonics.directional_light(lamp, torch.ones(1, 3))
    one, two = (render(face, parameters.replace(light=times * light), 48, outputs=("specular",))["specular"][0] for times in (1.0, 2.0))
    assert torch.allclose(2 * one, two, atol=1e-6)
    assert one[:, 24:].sum() > 1.5 * one[:, :24].sum()
