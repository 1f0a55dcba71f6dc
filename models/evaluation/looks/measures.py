"""The published measures of looks, on images (N, 3, R, R) in [-1, 1] of people whom the training never saw.

Where the papers use networks of ImageNet, features and opinions are those of the classifier here: figures compare looks
that were measured with it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from models.evaluation.generator.distances import frechet_distance
from models.evaluation.looks.classifier import Classifier
from models.translation.look import CoGANLook, Look, StarGANv2Look

HAIR_COLOURS = ("black", "brown", "blond", "red", "grey")  # nobody has two of them
STYLES = 4  # of each image and domain, whose differences are its diversity


def psnr(images: Tensor, others: Tensor) -> float:
    """Mean peak signal-to-noise ratio of images in [-1, 1], dB."""
    squares = (images.clamp(-1, 1) - others).square().mean(dim=(1, 2, 3)).clamp(min=1e-10)
    return float((10 * torch.log10(4 / squares)).mean())


def error(images: Tensor, others: Tensor) -> float:
    """Mean absolute difference of images in [-1, 1], on the scale from 0 to 1."""
    return float((images.clamp(-1, 1) - others.clamp(-1, 1)).abs().mean()) / 2


def ssim(images: Tensor, others: Tensor) -> float:
    """Mean structural similarity of images in [-1, 1] (Wang et al. 2004): a Gaussian of 1.5 in windows of 11, each channel by itself."""
    steps = torch.arange(11.0) - 5
    gaussian = torch.exp(-0.5 * (steps / 1.5) ** 2)
    kernel = torch.outer(gaussian, gaussian).div(gaussian.sum() ** 2).view(1, 1, 11, 11)
    one, other = ((part.clamp(-1, 1) * 0.5 + 0.5).flatten(0, 1)[:, None] for part in (images, others))
    mean = lambda values: conv2d(values, kernel)
    m1, m2 = mean(one), mean(other)
    v1, v2, both = mean(one * one) - m1 * m1, mean(other * other) - m2 * m2, mean(one * other) - m1 * m2
    return float(((2 * m1 * m2 + 1e-4) * (2 * both + 9e-4) / ((m1 * m1 + m2 * m2 + 1e-4) * (v1 + v2 + 9e-4))).mean())


def of_pairs(look: Look, given: Tensor, wanted: Tensor) -> dict[str, float]:
    """pix2pix: how near the answer comes to what it should be, and how near what goes in is."""
    made = look(given)
    return {"psnr": psnr(made, wanted), "ssim": ssim(made, wanted), "input_psnr": psnr(given, wanted)}


def of_cycle(there: Look, back: Look | None, images: Tensor, domain: int, judge: Classifier) -> dict[str, float]:
    """CycleGAN: how often the answer is taken for one of the ``domain`` it goes to, and what there and back loses."""
    made = there(images)
    found = {"domain_accuracy": float(judge.says(made)[:, domain].float().mean())}
    return found if back is None else found | {"cycle_error": error(back(made), images)}


def of_attributes(look: Look, images: Tensor, labels: Tensor, names: tuple[str, ...], judge: Classifier) -> dict[str, float]:
    """StarGAN: how often the label that was asked for is seen, by label and in all, and what there and back loses.

    ``labels`` (N, C) are those of the images; one is changed at a time, hair colours against each other.
    """
    found, lost = {}, []
    for index, name in enumerate(names):
        wanted = changed(labels, names, index, exclusive=False)
        made = look(images, wanted)
        found[f"accuracy_{name}"] = float((judge.says(made)[:, index] == (wanted[:, index] > 0.5)).float().mean())
        lost.append(error(look(made, labels), images))
    return {"accuracy": sum(found.values()) / len(found), "reconstruction_error": sum(lost) / len(lost), **found}


def changed(labels: Tensor, names: tuple[str, ...], index: int, exclusive: bool) -> Tensor:
    """``labels`` (N, C) with the one of ``index`` changed: chosen where only one can be, as of hair's colours, else turned over."""
    others = range(len(names)) if exclusive else [place for place, name in enumerate(names) if is_hair_colour(name)]
    result = labels.clone()
    if index in others:
        result[:, list(others)] = 0
        result[:, index] = 1
    else:
        result[:, index] = 1 - result[:, index]
    return result


def is_hair_colour(name: str) -> bool:
    words = name.lower().replace("_", " ").split()
    return "hair" in words and any(colour in words for colour in HAIR_COLOURS)


def of_styles(look: StarGANv2Look, images: Sequence[Tensor], real: Sequence[Tensor], judge: Classifier) -> dict[str, float]:
    """StarGAN v2, by latents and by references: mean over pairs of domains of diversity and Fréchet distance, on own features.

    ``images`` (N, 3, R, R) of each domain are changed; ``real`` (M, 3, R, R) of each are what the answers are held against, and references.
    """
    figures: dict[str, list[float]] = {}
    for source, given in enumerate(images):
        for target in range(len(images)):
            if source == target:
                continue
            for way, styles in (("latent", latent_styles(look, target)), ("reference", look.style_of(real[target][:STYLES], target))):
                features = [judge.features(look(given, style=style[None])) for style in styles]
                apart = [float((one - other).norm(dim=1).mean()) for one, other in combinations(features, 2)]
                figures.setdefault(f"{way}_diversity", []).append(sum(apart) / max(len(apart), 1))
                figures.setdefault(f"{way}_frechet", []).append(frechet_distance(torch.cat(features), judge.features(real[target])))
    return {name: sum(values) / len(values) for name, values in figures.items()}


def latent_styles(look: StarGANv2Look, domain: int) -> Tensor:
    return look.style(torch.randn(STYLES, look.config.latent_dim, generator=torch.Generator().manual_seed(0)), domain)


def of_latent_pairs(look: CoGANLook, judge: Classifier, count: int) -> dict[str, float]:
    """CoGAN, and a conditional GAN: how often both images of a latent agree in what the classifier sees, beside images of two latents.

    ``pair_distance`` is how far they are apart on own features, as a share of that of two latents.
    """
    latents = torch.rand(count, look.config.latent_dim, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first, second = look.draw(latents).unbind(dim=1)[:2]
    agree = lambda one, other: float((judge.says(one) == judge.says(other)).float().mean())
    apart = lambda one, other: float((judge.features(one) - judge.features(other)).norm(dim=1).mean())
    others = second.roll(1, dims=0)
    return {
        "pair_agreement": agree(first, second),
        "agreement_of_strangers": agree(first, others),
        "pair_distance": apart(first, second) / max(apart(first, others), 1e-9),
    }


def table(figures: Mapping[str, float]) -> str:
    width = max(map(len, figures))
    return "\n".join(f"{name:<{width}}  {value:.4f}" for name, value in figures.items())
