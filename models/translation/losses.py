"""What the networks of looks are taught with, as pure functions.

Each gives its weighted parts by name; what is minimised is their sum. Weights are the published defaults. Scores are
what discriminators give, of any shape. Made images that the discriminator's loss sees are without gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Parts = dict[str, Tensor]

# pix2pix and CycleGAN (Isola et al., CVPR 2017; Zhu et al., ICCV 2017)


def gan_loss(scores: Tensor, real: bool, mode: str = "lsgan") -> Tensor:
    """How far ``scores`` are from those of ``real`` or made images.

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


def patch_discriminator_loss(real_scores: Tensor, made_scores: Tensor, mode: str = "lsgan") -> Parts:
    """pix2pix's and CycleGAN's discriminator: half of each. pix2pix judges pairs (input and output on each other)."""
    return {"real": gan_loss(real_scores, True, mode) / 2, "made": gan_loss(made_scores, False, mode) / 2}


def pix2pix_loss(made_scores: Tensor, made: Tensor, target: Tensor, l1_weight: float = 100.0, mode: str = "vanilla") -> Parts:
    """pix2pix's generator: to be taken for real, and to be near the target."""
    return {"adversarial": gan_loss(made_scores, True, mode), "l1": l1_weight * F.l1_loss(made, target)}


def cyclegan_loss(
    images: tuple[Tensor, Tensor],
    restored: tuple[Tensor, Tensor],
    same: tuple[Tensor, Tensor] | None,
    made_scores: tuple[Tensor, Tensor],
    cycle_weights: tuple[float, float] = (10.0, 10.0),
    identity_weight: float = 0.5,
    mode: str = "lsgan",
) -> Parts:
    """CycleGAN's two generators at once; every pair is of the domains A and B.

    ``restored`` are the images after there and back. ``same`` are A through the generator that makes A, and B likewise
    (None: without that part); ``identity_weight`` counts in the weight of its domain's cycle. ``made_scores`` are those
    of the made B by B's discriminator, and of the made A by A's.
    """
    parts = {f"adversarial_{side}": gan_loss(scores, True, mode) for side, scores in zip("ba", made_scores, strict=True)}
    for index, side in enumerate("ab"):
        parts[f"cycle_{side}"] = cycle_weights[index] * F.l1_loss(restored[index], images[index])
        if same is not None and identity_weight:
            parts[f"identity_{side}"] = identity_weight * cycle_weights[index] * F.l1_loss(same[index], images[index])
    return parts


# StarGAN (Choi et al., CVPR 2018)


def gradient_penalty(judge: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, mix: Tensor) -> Tensor:
    """WGAN-GP: how far the slope of the scores is from 1, squared, at points between real and made images.

    ``judge`` gives scores of images (N, …); ``mix`` (N, 1, 1, 1) in [0, 1) is the real images' part.
    """
    between = (mix * real + (1 - mix) * made).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(judge(between).sum(), between, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()


def attribute_loss(logits: Tensor, label: Tensor, exclusive: bool = False) -> Tensor:
    """Cross-entropy of attributes (N, C): each by itself, summed (CelebA), or exclusive as one class of C (RaFD)."""
    if exclusive:
        return F.cross_entropy(logits, label.argmax(dim=1))
    return F.binary_cross_entropy_with_logits(logits, label, reduction="sum") / len(logits)


def stargan_discriminator_loss(
    real_scores: Tensor,
    made_scores: Tensor,
    attributes: Tensor,
    penalty: Tensor,
    attribute_weight: float = 1.0,
    penalty_weight: float = 10.0,
) -> Parts:
    """StarGAN's discriminator; ``attributes`` is ``attribute_loss`` of the real images, of a joint set's own slice alone."""
    return {
        "real": -real_scores.mean(),
        "made": made_scores.mean(),
        "attributes": attribute_weight * attributes,
        "penalty": penalty_weight * penalty,
    }


def stargan_loss(
    made_scores: Tensor,
    attributes: Tensor,
    restored: Tensor,
    image: Tensor,
    attribute_weight: float = 1.0,
    restoring_weight: float = 10.0,
) -> Parts:
    """StarGAN's generator; ``attributes`` is ``attribute_loss`` of the made images with the wanted label."""
    return {
        "adversarial": -made_scores.mean(),
        "attributes": attribute_weight * attributes,
        "restoring": restoring_weight * F.l1_loss(restored, image),
    }


# StarGAN v2 (Choi et al., CVPR 2020)


def r1_penalty(scores: Tensor, real: Tensor) -> Tensor:
    """Half of the mean squared slope (Mescheder et al., ICML 2018) of ``scores`` at ``real``, which takes gradients."""
    (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return slope.square().flatten(1).sum(dim=1).mean() / 2


def starganv2_discriminator_loss(real_logits: Tensor, made_logits: Tensor, penalty: Tensor, penalty_weight: float = 1.0) -> Parts:
    """StarGAN v2's discriminator; ``penalty`` is ``r1_penalty``."""
    return {
        "real": gan_loss(real_logits, True, "vanilla"),
        "made": gan_loss(made_logits, False, "vanilla"),
        "penalty": penalty_weight * penalty,
    }


def starganv2_loss(
    made_logits: Tensor,
    made: Tensor,
    other: Tensor,
    found_style: Tensor,
    style: Tensor,
    restored: Tensor,
    image: Tensor,
    diversity_weight: float,
    style_weight: float = 1.0,
    cycle_weight: float = 1.0,
) -> Parts:
    """StarGAN v2's generator.

    ``found_style`` is the style encoder's of ``made``; ``other`` is made of the same image with another style, and is
    pushed away without being moved itself; ``restored`` is ``made`` with the image's own style (and the masks of the
    made image). ``diversity_weight`` decays: see ``diversity_weight`` of the schedules.
    """
    return {
        "adversarial": gan_loss(made_logits, True, "vanilla"),
        "style": style_weight * F.l1_loss(found_style, style),
        "diversity": -diversity_weight * F.l1_loss(made, other.detach()),
        "cycle": cycle_weight * F.l1_loss(restored, image),
    }


# CoGAN (Liu and Tuzel, NIPS 2016)


def cogan_discriminator_loss(real_logits: Tensor, made_logits: Tensor) -> Parts:
    """CoGAN's discriminators: cross-entropy of "made" and "real", all domains at once; logits (N, domains, 2)."""
    return {"real": two_class_loss(real_logits, 1), "made": two_class_loss(made_logits, 0)}


def cogan_loss(made_logits: Tensor) -> Parts:
    """CoGAN's generators: to be taken for real in every domain; logits (N, domains, 2)."""
    return {"adversarial": two_class_loss(made_logits, 1)}


def two_class_loss(logits: Tensor, answer: int) -> Tensor:
    logits = logits.flatten(0, -2)
    return F.cross_entropy(logits, logits.new_full((len(logits),), answer, dtype=torch.long))
