"""What the networks of looks are taught with, as pure functions.

Each gives its weighted parts by name; what is minimised is their sum. Weights are the published defaults. Scores are
what discriminators give, of any shape; those of fake images come from detached images in a discriminator's loss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Parts = dict[str, Tensor]

# pix2pix and CycleGAN (Isola et al., CVPR 2017; Zhu et al., ICCV 2017)


def gan_loss(scores: Tensor, real: bool, mode: str = "lsgan") -> Tensor:
    """How far ``scores`` are from those of ``real`` or fake images.

    "vanilla" is cross-entropy with logits (Goodfellow et al. 2014; pix2pix), "lsgan" the squared distance from 1 or 0
    (Mao et al., ICCV 2017; CycleGAN), "wgangp" the mean score (Gulrajani et al., NIPS 2017).
    """
    if mode == "vanilla":
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))
    if mode == "lsgan":
        return F.mse_loss(scores, torch.full_like(scores, float(real)))
    if mode == "wgangp":
        return -scores.mean() if real else scores.mean()
    raise ValueError(f"there is no GAN loss {mode!r}")


def patch_discriminator_loss(real_scores: Tensor, fake_scores: Tensor, mode: str = "lsgan") -> Parts:
    """pix2pix's and CycleGAN's discriminator: half of each. pix2pix judges pairs (input and output on each other)."""
    return {"real": gan_loss(real_scores, True, mode) / 2, "fake": gan_loss(fake_scores, False, mode) / 2}


def pix2pix_loss(fake_scores: Tensor, fake: Tensor, target: Tensor, l1_weight: float = 100.0, mode: str = "vanilla") -> Parts:
    """pix2pix's generator: to be taken for real, and to be near the target."""
    return {"adversarial": gan_loss(fake_scores, True, mode), "l1": l1_weight * F.l1_loss(fake, target)}


def cyclegan_loss(
    images: tuple[Tensor, Tensor],
    reconstructed: tuple[Tensor, Tensor],
    identity: tuple[Tensor, Tensor] | None,
    fake_scores: tuple[Tensor, Tensor],
    cycle_weights: tuple[float, float] = (10.0, 10.0),
    identity_weight: float = 0.5,
    mode: str = "lsgan",
) -> Parts:
    """CycleGAN's two generators at once; every pair is of the domains A and B.

    ``reconstructed`` are the images after there and back. ``identity`` are A through the generator that makes A, and B likewise
    (None: without that part); ``identity_weight`` counts in the weight of its domain's cycle. ``fake_scores`` are those
    of the fake B by B's discriminator, and of the fake A by A's.
    """
    parts = {f"adversarial_{side}": gan_loss(scores, True, mode) for side, scores in zip("ba", fake_scores, strict=True)}
    for index, side in enumerate("ab"):
        parts[f"cycle_{side}"] = cycle_weights[index] * F.l1_loss(reconstructed[index], images[index])
        if identity is not None and identity_weight:
            parts[f"identity_{side}"] = identity_weight * cycle_weights[index] * F.l1_loss(identity[index], images[index])
    return parts


# StarGAN (Choi et al., CVPR 2018)


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """WGAN-GP: how far the slope of the scores is from 1, squared, at points between real and fake images.

    ``discriminator`` gives scores of images (N, …); ``mix`` (N, 1, 1, 1) in [0, 1) is the real images' part.
    """
    between = (mix * real + (1 - mix) * fake).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()


def classification_loss(logits: Tensor, label: Tensor, exclusive: bool = False, columns: slice = slice(None)) -> Tensor:
    """Cross-entropy of attributes (N, C): each by itself, summed (CelebA), or exclusive as one class of C (RaFD).

    Of label sets that are trained jointly each batch knows its own alone: ``columns`` are where those stand.
    """
    logits, label = logits[:, columns], label[:, columns]
    if exclusive:
        return F.cross_entropy(logits, label.argmax(dim=1))
    return F.binary_cross_entropy_with_logits(logits, label, reduction="sum") / len(logits)


def stargan_discriminator_loss(
    real_scores: Tensor,
    fake_scores: Tensor,
    classification: Tensor,
    penalty: Tensor,
    classification_weight: float = 1.0,
    gradient_penalty_weight: float = 10.0,
) -> Parts:
    """StarGAN's discriminator; ``classification`` is ``classification_loss`` of the real images, ``penalty`` is ``gradient_penalty``."""
    return {
        "real": -real_scores.mean(),
        "fake": fake_scores.mean(),
        "classification": classification_weight * classification,
        "penalty": gradient_penalty_weight * penalty,
    }


def stargan_loss(
    fake_scores: Tensor,
    classification: Tensor,
    reconstructed: Tensor,
    image: Tensor,
    classification_weight: float = 1.0,
    reconstruction_weight: float = 10.0,
) -> Parts:
    """StarGAN's generator; ``classification`` is ``classification_loss`` of the fake images with the wanted label."""
    return {
        "adversarial": -fake_scores.mean(),
        "classification": classification_weight * classification,
        "reconstruction": reconstruction_weight * F.l1_loss(reconstructed, image),
    }


# StarGAN v2 (Choi et al., CVPR 2020)


def r1_penalty(scores: Tensor, real: Tensor) -> Tensor:
    """Half of the mean squared slope (Mescheder et al., ICML 2018) of ``scores`` at ``real``, which takes gradients."""
    (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return slope.square().flatten(1).sum(dim=1).mean() / 2


def starganv2_discriminator_loss(real_logits: Tensor, fake_logits: Tensor, penalty: Tensor, penalty_weight: float = 1.0) -> Parts:
    """StarGAN v2's discriminator; ``penalty`` is ``r1_penalty``."""
    return {
        "real": gan_loss(real_logits, True, "vanilla"),
        "fake": gan_loss(fake_logits, False, "vanilla"),
        "penalty": penalty_weight * penalty,
    }


def starganv2_loss(
    fake_logits: Tensor,
    fake: Tensor,
    other: Tensor,
    found_style: Tensor,
    style: Tensor,
    reconstructed: Tensor,
    image: Tensor,
    diversity_weight: float,
    style_weight: float = 1.0,
    cycle_weight: float = 1.0,
) -> Parts:
    """StarGAN v2's generator.

    ``found_style`` is the style encoder's of ``fake``. ``other`` is a fake of the same image with another style: the two
    are pushed apart, but only ``fake`` learns. ``reconstructed`` is ``fake`` with the image's own style (and the masks of
    the fake). ``diversity_weight`` decays: see ``schedules.diversity_weight``.
    """
    return {
        "adversarial": gan_loss(fake_logits, True, "vanilla"),
        "style_reconstruction": style_weight * F.l1_loss(found_style, style),
        "diversity": -diversity_weight * F.l1_loss(fake, other.detach()),
        "cycle": cycle_weight * F.l1_loss(reconstructed, image),
    }


# CoGAN (Liu and Tuzel, NIPS 2016)


def cogan_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Parts:
    """CoGAN's discriminators: cross-entropy of "fake" and "real", all domains at once; logits (N, domains, 2)."""
    return {"real": two_class_loss(real_logits, 1), "fake": two_class_loss(fake_logits, 0)}


def cogan_loss(fake_logits: Tensor) -> Parts:
    """CoGAN's generators: to be taken for real in every domain; logits (N, domains, 2)."""
    return {"adversarial": two_class_loss(fake_logits, 1)}


def two_class_loss(logits: Tensor, answer: int) -> Tensor:
    logits = logits.flatten(0, -2)
    return F.cross_entropy(logits, logits.new_full((len(logits),), answer, dtype=torch.long))
