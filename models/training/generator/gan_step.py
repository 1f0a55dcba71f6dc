"""One step of a generator and its discriminator, updated together from one pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.training.generator import losses


def discriminator_step(
    discriminator: nn.Module,
    fake: Tensor,
    real: Tensor,
    pairs: int,
    adversarial_weight: float,
    feature_weight: float,
    r1_weight: float = 0.0,
    augment: Callable[[Tensor], Tensor] = lambda images: images,
) -> tuple[dict[str, float], Tensor]:
    """Add the discriminator's gradients; returns figures and the gradient of the generator's loss at ``fake``.

    Images (N, 4, R, R); the first ``pairs`` of ``fake`` show what ``real`` shows, and their features are matched.
    One pass through the discriminator serves both networks. R1 is left out with a weight of 0.
    """
    fake = fake.detach().requires_grad_()
    augmented = augment(real)
    real_logits, real_features = discriminator(augmented)
    fake_logits, fake_features = discriminator(augment(fake))
    realism = losses.generator_loss(fake_logits)
    generator_loss = adversarial_weight * realism
    values = {"generator": realism.item()}
    if pairs and feature_weight > 0:
        difference = losses.feature_loss([f[:pairs] for f in fake_features], [f[:pairs].detach() for f in real_features])
        generator_loss = generator_loss + feature_weight * difference
        values["features"] = difference.item()
    (gradient,) = torch.autograd.grad(generator_loss, fake, retain_graph=True)
    loss = losses.discriminator_loss(real_logits, fake_logits)
    loss.backward(inputs=list(discriminator.parameters()))
    values |= {"discriminator": loss.item(), "real_sign": real_logits[0].sign().mean().item()}
    if r1_weight:
        penalty = losses.r1_penalty(discriminator, augmented)
        (penalty * r1_weight).backward()
        values["r1"] = penalty.item()
    return values, gradient


def within_matte(raw: Tensor) -> Tensor:
    """Images (N, 4, R, R) in [-1, 1] with colour limited to the matte, as they are shown."""
    return torch.cat((torch.minimum(raw[:, :3], raw[:, 3:]), raw[:, 3:]), dim=1)


def focus_weights(middle: Tensor | float, landmarks: Tensor, resolution: int, strength: float) -> tuple[Tensor, Tensor]:
    """What each place of images weighs (N, 1, R, R), mean 1, and how much of that is for eyes, brows and mouth.

    ``middle`` is what it weighs without these, which weigh ``strength`` more; landmarks (N, 68, 2), y up.
    """
    near = strength * losses.feature_map(landmarks, resolution)
    weight = middle + near
    return weight / weight.mean(), near / weight.mean()
