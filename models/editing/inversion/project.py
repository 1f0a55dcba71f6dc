"""Projecting photographs into a generator: w from its mean, layers of their own by a little, then the weights themselves.

After the projector of StyleGAN2 (Karras et al. 2020), e4e's deltas that stay small (Tov et al. 2021) and pivotal tuning (Roich
et al. 2022); the loss is colour and slope on a pyramid, within the matte, and the tuning is of low rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import avg_pool2d

from models.editing.inversion.offsets import Tuning
from models.errors import StyleRigError
from models.generators import Generator, latents_from_seed, stylegan2
from models.generators.guided import GuidedSynthesisNetwork
from models.generators.stylegan2 import split_matte

POPULATION = 2000  # people whose mean w is the start
SMALLEST = 8  # pixels of the pyramid's last level
SLOPES = 1.0  # weight of slopes, relative to colours
MATTE = 0.5  # of the matte's loss, relative to colour's
NOISE, NOISE_ENDS = 0.05, 0.75  # of w while it is sought, in spreads, until so much of the steps is done
RAMP_UP, RAMP_DOWN = 0.05, 0.25  # of the learning rate
PRIOR, DELTA_PRIOR, TUNING_PRIOR = 2e-4, 2e-3, 0.1
MOST_CHANGE = 0.5  # of a weight, relative to it
PER_STEP = 2  # photographs


@dataclass(frozen=True, eq=False)
class Views:
    """N photographs in the generator's frame, and what steers the generator to their poses."""

    pictures: Tensor  # (N, 3, R, R) straight sRGB, 0–1
    mattes: Tensor  # (N, 1, R, R)
    weights: Tensor  # (N, 1, R, R): how much each pixel counts; 0 beyond the photograph
    moved: Tensor  # (N, L, D): what pose, expression and light add to w
    guides: Tensor | None  # (N, G, R, R) of a generator that maps steer

    def __len__(self) -> int:
        return len(self.pictures)

    def at(self, rows: list[int], size: int) -> Views:
        """Some of them, in ``size``² pixels."""
        factor = self.pictures.shape[-1] // size
        small = lambda image: image[rows] if factor == 1 else avg_pool2d(image[rows], factor)
        guides = None if self.guides is None else self.guides[rows]
        return Views(small(self.pictures), small(self.mattes), small(self.weights), self.moved[rows], guides)


class Raw(nn.Module):
    """A synthesis network's own channels, as a module whose weights can be exchanged."""

    def __init__(self, generator: Generator):
        super().__init__()
        synthesis = generator.synthesis
        if not isinstance(synthesis, GuidedSynthesisNetwork | stylegan2.SynthesisNetwork):
            raise StyleRigError(
                "Photographs are only projected into generators of the StyleGAN2 kind.", "Choose another model.", code="bad_generator"
            )
        self.synthesis: GuidedSynthesisNetwork | stylegan2.SynthesisNetwork = synthesis

    def forward(self, w: Tensor, guides: Tensor | None, size: int) -> Tensor:
        if isinstance(self.synthesis, GuidedSynthesisNetwork):
            return self.synthesis.raw(w, resolution=size, guide=guides)
        return self.synthesis.raw(w, "const", size)


class Projection:
    """What is found: one w for all layers, a small change of each layer, the tuning. ``generator`` itself stays."""

    def __init__(self, generator: Generator, views: Views, rank: int):
        self.generator, self.views, self.raw = generator, views, Raw(generator)
        with torch.no_grad():
            z = torch.cat([latents_from_seed(seed, 500, generator.z_dim) for seed in range(POPULATION // 500)])
            people = torch.cat([generator.mapping(part)[:, 0] for part in z.split(250)])
        self.mean = people.mean(dim=0)
        self.std = (people - self.mean).square().sum(dim=1).mean().sqrt() / math.sqrt(generator.w_dim)
        self.spread = people.std(dim=0).clamp(min=0.05 * self.std)
        self.w = nn.Parameter(self.mean.clone())
        self.delta = nn.Parameter(torch.zeros(generator.num_ws, generator.w_dim))
        self.tuning = Tuning(generator.synthesis, rank)
        self.tuned = False

    def state(self) -> dict[str, Tensor]:
        """All that was found so far."""
        return {
            "w": self.w.detach(),
            "delta": self.delta.detach(),
            **{name: value.detach() for name, value in self.tuning.state_dict().items()},
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state``; raises KeyError or RuntimeError where it is of another projection."""
        self.w.copy_(state["w"])
        self.delta.copy_(state["delta"])
        self.tuning.load_state_dict({name: value for name, value in state.items() if name not in ("w", "delta")})

    def code(self) -> Tensor:
        """w (L, D) of the person, without pose."""
        return self.w + self.delta

    def draw(self, views: Views, noise: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Premultiplied colour (N, 3, S, S) and alpha (N, 1, S, S), 0–1, as large as ``views``."""
        codes = self.code() + noise + views.moved
        arguments = (codes, views.guides, views.pictures.shape[-1])
        weights = {f"synthesis.{name}": value for name, value in self.tuning.changed().items()} if self.tuned else {}
        raw = functional_call(self.raw, weights, arguments) if weights else self.raw(*arguments)
        return split_matte(raw[:, : self.generator.img_channels])

    def loss(self, views: Views, noise: Tensor | float = 0.0) -> Tensor:
        """How far the drawing is from the photographs."""
        colour, alpha = self.draw(views, noise)
        if self.generator.img_channels == 3:
            return pyramid_loss((colour - views.pictures), views.weights * views.mattes)
        loss = pyramid_loss(colour - views.pictures * views.mattes, views.weights)
        return loss + MATTE * pyramid_loss(alpha - views.mattes, views.weights)

    def steps(self, stage: str, count: int, size: int, start: int = 0) -> Iterator[int]:
        """Do the steps of "w", "layers" or "tuning", from number ``start``; yields the number of each when it is done."""
        parameters, rate = {
            "w": ([self.w], 0.1),
            "layers": ([self.w, self.delta], 0.02),
            "tuning": (list(self.tuning.parameters()), 4e-3),
        }[stage]
        self.tuned = stage == "tuning"
        optimizer = torch.optim.Adam(parameters, lr=rate)
        rng = torch.Generator().manual_seed(303)
        for step in range(start, count):
            views = self.views.at([(step * PER_STEP + index) % len(self.views) for index in range(min(PER_STEP, len(self.views)))], size)
            optimizer.param_groups[0]["lr"] = rate * schedule(step / count)
            strength = NOISE * float(self.std) * max(0.0, 1 - step / count / NOISE_ENDS) ** 2 if stage == "w" else 0.0
            noise = strength * torch.randn(self.w.shape, generator=rng) if strength else 0.0
            loss = self.loss(views, noise) + self.prior(stage)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if self.tuned:
                self.tuning.bound(MOST_CHANGE)
            yield step + 1

    def prior(self, stage: str) -> Tensor:
        """What keeps a stage near where people are."""
        if stage == "tuning":
            return TUNING_PRIOR * self.tuning.size()
        near = PRIOR * ((self.w - self.mean) / self.spread).square().mean()
        return near + DELTA_PRIOR * (self.delta / self.spread).square().mean()


def schedule(done: float) -> float:
    """The learning rate's factor: up over the first twentieth, down over the last quarter."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - done) / RAMP_DOWN))
    return down * min(1.0, (done + 1e-2) / RAMP_UP)


def pyramid_loss(difference: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of |difference| (N, C, S, S) over levels down to ``SMALLEST``, and of its slopes at the first two."""
    total, levels = difference.new_zeros(()), 0
    while difference.shape[-1] >= SMALLEST:
        total = total + mean_of(difference, weights)
        if levels < 2:
            total = total + SLOPES * (
                mean_of(difference.diff(dim=3), weights[..., 1:]) + mean_of(difference.diff(dim=2), weights[..., 1:, :])
            )
        difference, weights, levels = avg_pool2d(difference, 2), avg_pool2d(weights, 2), levels + 1
    return total / max(levels, 1)


def mean_of(difference: Tensor, weights: Tensor) -> Tensor:
    return (difference.abs() * weights).sum() / (weights.sum() * difference.shape[1]).clamp(min=1e-6)
