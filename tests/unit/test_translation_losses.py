"""Losses and schedules of looks against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import tensor

from models.translation import losses
from models.translation.image_pool import ImagePool
from models.translation.schedules import LENGTHS, SCHEDULES, diversity_weight, factor_at

LOG2 = math.log(2)


def softplus(value: float) -> float:
    return math.log(1 + math.exp(value))


def numbers(parts: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in parts.items()}


def test_gan_losses():
    scores = tensor([0.0, 2.0])
    assert float(losses.gan_loss(scores, True, "vanilla")) == pytest.approx((LOG2 + softplus(-2)) / 2)
    assert float(losses.gan_loss(scores, False, "vanilla")) == pytest.approx((LOG2 + softplus(2)) / 2)
    assert float(losses.gan_loss(scores, True, "lsgan")) == pytest.approx((1 + 1) / 2)
    assert float(losses.gan_loss(scores, False, "lsgan")) == pytest.approx((0 + 4) / 2)
    assert float(losses.gan_loss(scores, True, "wgangp")) == -1 and float(losses.gan_loss(scores, False, "wgangp")) == 1
    with pytest.raises(ValueError, match="hinge"):
        losses.gan_loss(scores, True, "hinge")


def test_pix2pix():
    fake, target = tensor([0.0, 1.0]), tensor([0.5, 1.0])
    parts = losses.pix2pix_loss(tensor([0.0]), fake, target)
    assert numbers(parts) == pytest.approx({"adversarial": LOG2, "l1": 100 * 0.25})
    judged = losses.patch_discriminator_loss(tensor([3.0]), tensor([1.0]))
    assert numbers(judged) == pytest.approx({"real": (3 - 1) ** 2 / 2, "fake": 0.5})
    judged = losses.patch_discriminator_loss(tensor([0.0]), tensor([0.0]), "vanilla")
    assert numbers(judged) == pytest.approx({"real": LOG2 / 2, "fake": LOG2 / 2})


def test_cyclegan():
    zero = torch.zeros(1, 3, 2, 2)
    parts = losses.cyclegan_loss((zero, zero), (zero + 0.1, zero - 0.2), (zero + 0.3, zero + 0.4), (tensor([0.0]), tensor([3.0])), (10, 5))
    expected = {"adversarial_b": 1.0, "adversarial_a": 4.0, "cycle_a": 1.0, "cycle_b": 1.0, "identity_a": 1.5, "identity_b": 1.0}
    assert numbers(parts) == pytest.approx(expected)
    without = losses.cyclegan_loss((zero, zero), (zero, zero), None, (tensor([1.0]), tensor([1.0])))
    assert "identity_a" not in without and sum(numbers(without).values()) == 0


def test_gradient_penalty():
    """Of scores 3a + 4b the slope is 5 long at every point: (5 - 1) squared."""
    discriminator = lambda image: 3 * image[:, 0] + 4 * image[:, 1]
    real, fake = torch.randn(4, 2, 1, 1), torch.randn(4, 2, 1, 1)
    assert float(losses.gradient_penalty(discriminator, real, fake, torch.rand(4, 1, 1, 1))) == pytest.approx(16, rel=1e-5)
    seen = []
    losses.gradient_penalty(lambda image: seen.append(image) or (image**2).flatten(1).sum(1), tensor([[[[1.0]]]]), tensor([[[[5.0]]]]),
                            tensor([[[[0.75]]]]))  # fmt: skip
    assert float(seen[0].detach()) == 2.0  # three quarters real


def test_gradient_penalty_teaches():
    weight = tensor([2.0], requires_grad=True)
    penalty = losses.gradient_penalty(lambda image: weight * image.flatten(1).sum(1), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1),
                                      torch.full((1, 1, 1, 1), 0.5))  # fmt: skip
    penalty.backward()
    assert float(weight.grad) == pytest.approx(2 * (2 - 1))


def test_stargan():
    logits, label = tensor([[0.0, 2.0], [0.0, 0.0]]), tensor([[1.0, 0.0], [0.0, 1.0]])
    assert float(losses.classification_loss(logits, label)) == pytest.approx((3 * LOG2 + softplus(2)) / 2)
    assert float(losses.classification_loss(logits, label, exclusive=True)) == pytest.approx((softplus(2) + LOG2) / 2)
    judged = losses.stargan_discriminator_loss(tensor([2.0]), tensor([0.5]), tensor(0.7), tensor(0.2))
    assert numbers(judged) == pytest.approx({"real": -2, "fake": 0.5, "classification": 0.7, "penalty": 2})
    joint = losses.classification_loss(torch.cat([torch.ones(2, 3), logits], dim=1), torch.cat([torch.zeros(2, 3), label], dim=1),
                                       columns=slice(3, 5))  # fmt: skip
    assert float(joint) == pytest.approx((3 * LOG2 + softplus(2)) / 2)
    fake = losses.stargan_loss(tensor([0.5]), tensor(0.7), tensor([0.2]), tensor([0.1]))
    assert numbers(fake) == pytest.approx({"adversarial": -0.5, "classification": 0.7, "reconstruction": 1})


def test_r1_penalty():
    """Half the squared slope, summed over an image and averaged over images: of the sum of squares, 4 times the squares."""
    real = tensor([[1.0, 2.0], [0.0, 3.0]], requires_grad=True)
    assert float(losses.r1_penalty(real.square().sum(dim=1), real).detach()) == pytest.approx((4 * 5 + 4 * 9) / 2 / 2)


def test_starganv2():
    judged = losses.starganv2_discriminator_loss(tensor([0.0]), tensor([0.0]), tensor(0.3), 2.0)
    assert numbers(judged) == pytest.approx({"real": LOG2, "fake": LOG2, "penalty": 0.6})
    fake, other = tensor([1.0, 0.0], requires_grad=True), tensor([0.0, 0.0], requires_grad=True)
    parts = losses.starganv2_loss(tensor([0.0]), fake, other, tensor([1.0]), tensor([0.5]), tensor([0.2]), tensor([0.0]), 2.0)
    assert numbers(parts) == pytest.approx({"adversarial": LOG2, "style_reconstruction": 0.5, "diversity": -1.0, "cycle": 0.2})
    parts["diversity"].backward()
    assert fake.grad is not None and other.grad is None


def test_cogan():
    """Two domains and one image: cross-entropy of (0, 2) and (0, 0)."""
    logits = tensor([[[0.0, 2.0], [0.0, 0.0]]])
    assert numbers(losses.cogan_loss(logits)) == pytest.approx({"adversarial": (softplus(-2) + LOG2) / 2})
    judged = losses.cogan_discriminator_loss(logits, logits)
    assert numbers(judged) == pytest.approx({"real": (softplus(-2) + LOG2) / 2, "fake": (softplus(2) + LOG2) / 2})


def test_the_image_pool_swaps_half():
    pool = ImagePool(size=3, seed=1)
    first = torch.arange(3.0)[:, None]
    assert torch.equal(pool.query(first), first)
    answers = [float(pool.query(tensor([[float(index)]]))) for index in range(3, 403)]
    fresh = sum(answer == index for index, answer in enumerate(answers, start=3))
    assert 150 < fresh < 250
    swapped = [answer for index, answer in enumerate(answers, start=3) if answer != index]
    assert len(swapped) == len(set(swapped))  # what was given back is no longer kept
    assert len(pool.images) == 3
    image = torch.ones(1, 1, requires_grad=True)
    assert not ImagePool(size=0).query(image).requires_grad


def test_the_image_pool_goes_on_from_its_state():
    pool, other = ImagePool(size=4, seed=1), ImagePool(size=4, seed=2)
    pool.query(torch.arange(10.0)[:, None])
    other.load_state(pool.state())
    more = torch.arange(10.0, 30.0)[:, None]
    assert torch.equal(other.query(more), pool.query(more))


@pytest.mark.parametrize("name", LENGTHS)
def test_a_schedule_is_stretched_over_a_training(name):
    length = LENGTHS[name]
    for step in (0, length // 3, length - 1):
        assert factor_at(name, step / length) == SCHEDULES[name](step)
    assert factor_at("constant", 0.7) == 1


def test_schedules():
    rate = SCHEDULES
    assert rate["constant"](10**6) == 1
    assert rate["linear"](99) == 1 and rate["linear"](100) == pytest.approx(1 - 1 / 101)
    assert rate["linear"](199) == pytest.approx(1 / 101)
    assert rate["linear-older"](99) == pytest.approx(1 - 1 / 101) and rate["linear-older"](98) == 1
    assert rate["step"](49) == 1 and rate["step"](100) == pytest.approx(0.01)
    assert rate["cosine"](50) == pytest.approx(0.5) and rate["cosine"](100) == pytest.approx(0)
    for name in ("stargan-intended", "stargan-published"):
        assert rate[name](0) == rate[name](100_999) == 1
    assert rate["stargan-intended"](101_000) == pytest.approx(0.99) and rate["stargan-intended"](150_500) == pytest.approx(0.5)
    assert rate["stargan-intended"](200_000) == 0
    assert rate["stargan-published"](200_000) == pytest.approx(0.999)  # 0.1 % in all


def test_published_decay_of_stargan_step_by_step():
    """As its loop counts, from the published figures."""
    lost = 0.0
    for iteration in range(200_000):
        if iteration in (100_998, 100_999, 101_000, 150_000, 199_999):
            assert SCHEDULES["stargan-published"](iteration) == pytest.approx(1 - lost)
        if (iteration + 1) % 1000 == 0 and iteration + 1 > 100_000:
            lost += 1 / 100_000


def test_diversity_decays():
    assert [diversity_weight(step, 2.0) for step in (0, 25_000, 100_000, 10**6)] == [2.0, 1.5, 0.0, 0.0]
