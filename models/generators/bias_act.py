"""The elementwise work between convolutions, in as few passes over memory as possible.

At 128 x 128 these passes cost more than the convolutions when each runs alone. For training
they are gathered in two autograd functions whose formulas `torch.compile` turns into one
loop each; without a C++ compiler the same formulas run as they stand. Feature maps are
(N, C, H, W) outside and (N, H * W, C) inside, which for channels-last memory is a view.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

LEAK = 0.2
Result = TypeVar("Result")
_runner: dict[str, Callable] = {}


def rows(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H * W, C), without a copy for channels-last memory."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])


def unrows(x: Tensor, like: Tensor) -> Tensor:
    """(N, H * W, C) -> the shape of ``like`` (N, C, H, W), channels-last."""
    n, c, h, w = like.shape
    return x.view(n, h, w, c).permute(0, 3, 1, 2)


def activate_forward(x: Tensor, scale: Tensor, bias: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
    value = x.float() * scale + (bias + noise * strength)
    return torch.where(value > 0, value, value * LEAK).to(x.dtype)


def activate_backward(
    grad: Tensor, x: Tensor, scale: Tensor, bias: Tensor, noise: Tensor, strength: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x_float = x.float()
    value = x_float * scale + (bias + noise * strength)
    grad = torch.where(value > 0, grad.float(), grad.float() * LEAK)
    return (grad * scale).to(x.dtype), (grad * x_float).sum(1), grad.sum(1), (grad * noise).sum(1)


def modulate_forward(x: Tensor, scale: Tensor) -> Tensor:
    return (x.float() * scale).to(x.dtype)


def modulate_backward(grad: Tensor, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    return (grad.float() * scale).to(x.dtype), (grad.float() * x.float()).sum(1)


def run(function: Callable[..., Result], *arguments: Tensor) -> Result:
    # Detached, so that compiled code is shared between leaves and computed values.
    return _runner.get(function.__name__, function)(*(argument.detach() for argument in arguments))


class Activate(torch.autograd.Function):
    """leaky_relu(x * scale + bias + noise * strength)."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, scale: Tensor, bias: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
        parts = (rows(x), scale[:, None], bias[None, None], noise.reshape(1, -1, 1), strength.reshape(1, 1, 1))
        ctx.save_for_backward(x, scale, bias, noise, strength)
        return unrows(run(activate_forward, *parts), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, bias, noise, strength = ctx.saved_tensors
        parts = (rows(x), scale[:, None], bias[None, None], noise.reshape(1, -1, 1), strength.reshape(1, 1, 1))
        to_x, to_scale, to_bias, to_strength = run(activate_backward, rows(grad), *parts)
        return unrows(to_x, x), to_scale, to_bias.sum(0), None, to_strength.sum().reshape(strength.shape)


class Modulate(torch.autograd.Function):
    """x * scale, with one scale for each sample and channel."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(x, scale)
        return unrows(run(modulate_forward, rows(x), scale[:, None]), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, scale = ctx.saved_tensors
        to_x, to_scale = run(modulate_backward, rows(grad), rows(x), scale[:, None])
        return unrows(to_x, x), to_scale


def gathered(x: Tensor) -> bool:
    """Whether the autograd functions are on and worth it for ``x``."""
    return bool(_runner) and torch.is_grad_enabled() and x.requires_grad


def modulate(x: Tensor, scale: Tensor) -> Tensor:
    """x (N, C, H, W) times scale (N, C)."""
    if gathered(x):
        return Modulate.apply(x, scale)
    return x * scale.to(x.dtype)[:, :, None, None]


def activate(x: Tensor, scale: Tensor, bias: Tensor, noise: Tensor | None, strength: Tensor) -> Tensor:
    """Leaky ReLU of x (N, C, H, W) * scale (N, C) + bias (C,) + noise * strength.

    ``noise`` is None, (H, W), or (N, 1, H, W) for noise that differs per sample; ``strength``
    is a scalar.
    """
    if noise is not None and noise.dim() == 2 and gathered(x):
        return Activate.apply(x, scale, bias, noise, strength)
    offset = bias[None, :, None, None]
    if noise is not None:
        offset = offset + noise * strength
    return F.leaky_relu(torch.addcmul(offset.to(x.dtype), x, scale.to(x.dtype)[:, :, None, None]), LEAK)


@contextlib.contextmanager
def gathered_passes(compiled: bool = True) -> Iterator[None]:
    """Within: gradients of modulation and activation in one pass each (first derivatives only)."""
    functions = (activate_forward, activate_backward, modulate_forward, modulate_backward)
    before = dict(_runner)
    for function in functions:
        _runner[function.__name__] = torch.compile(function, dynamic=False) if compiled else function
    # One small loop is compiled for each layer's shape: more than the default limit allows.
    limit = torch._dynamo.config.patch(recompile_limit=256) if compiled else contextlib.nullcontext()
    try:
        with limit:
            yield
    finally:
        _runner.clear()
        _runner.update(before)


@contextlib.contextmanager
def plain_passes() -> Iterator[None]:
    """Within: ordinary torch operations, which can be differentiated twice."""
    before = dict(_runner)
    _runner.clear()
    try:
        yield
    finally:
        _runner.update(before)
