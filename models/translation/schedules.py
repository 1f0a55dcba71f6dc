"""Learning rates and weights over a training, as the published code has them, by name.

A schedule gives the part of the first learning rate at a step: an epoch for pix2pix and CycleGAN, an iteration for
StarGAN; steps count from 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]
SPAN, DECAY = 100, 100  # epochs of pix2pix and CycleGAN at the full rate, and then down
ITERATIONS, DECAY_ITERATIONS, UPDATE = 200_000, 100_000, 1_000  # of StarGAN: all, those of the decay, between two changes


def constant(step: int) -> float:
    return 1.0


def linear(step: int, span: int = SPAN, decay: int = DECAY, early: int = 0) -> float:
    """pix2pix and CycleGAN: full for ``span`` epochs, then down to almost nothing over ``decay``.

    Older versions of the published code went down one epoch earlier: ``early`` 1.
    """
    return 1.0 - max(0, step + 1 + early - span) / (decay + 1)


def linear_older(step: int) -> float:
    return linear(step, early=1)


def steps_down(step: int, every: int = 50) -> float:
    """pix2pix's "step": a tenth every 50 epochs."""
    return 0.1 ** (step // every)


def cosine(step: int, span: int = SPAN) -> float:
    """pix2pix's "cosine": down to 0 in ``span`` epochs."""
    return (1 + math.cos(math.pi * step / span)) / 2


def stargan_intended(step: int) -> float:
    """StarGAN as its paper says: linearly to 0 over the last 100,000 of 200,000 iterations, changed every 1,000."""
    return 1.0 - UPDATE * changes(step) / DECAY_ITERATIONS


def stargan_published(step: int) -> float:
    """StarGAN as its code does: each change takes what one iteration should, so that 0.1 % is lost in all."""
    return 1.0 - changes(step) / DECAY_ITERATIONS


def changes(step: int) -> int:
    """How often StarGAN's rate was changed before iteration ``step``: after every thousandth of those that decay."""
    return max(0, min(step, ITERATIONS) // UPDATE - (ITERATIONS - DECAY_ITERATIONS) // UPDATE)


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "linear": linear,
    "linear-older": linear_older,
    "step": steps_down,
    "cosine": cosine,
    "stargan-intended": stargan_intended,
    "stargan-published": stargan_published,
}

LENGTHS = {"linear": SPAN + DECAY, "linear-older": SPAN + DECAY, "step": SPAN + DECAY, "cosine": SPAN,
           "stargan-intended": ITERATIONS, "stargan-published": ITERATIONS}  # fmt: skip


def factor_at(name: str, fraction: float) -> float:
    """The schedule where ``fraction`` (0 to 1) of a training is done, however long that is: the published one, stretched to it."""
    return SCHEDULES[name](int(fraction * LENGTHS.get(name, 1) + 1e-6))  # so that a third of 300 is step 100


def diversity_weight(iteration: int, first: float = 1.0, iterations: int = 100_000) -> float:
    """StarGAN v2's weight of diversity at an iteration: linearly from ``first`` (1 CelebA-HQ, 2 AFHQ) to 0."""
    return first * max(0.0, 1.0 - iteration / iterations)
