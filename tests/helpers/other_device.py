"""A device that is none: tensors on it are computed by the processor, but mix with others no more than a GPU's do.

Within ``other_device()`` whatever is moved to, or made on, ``DEVICE`` carries that device. An operation that
takes tensors of both devices raises, as PyTorch does for a GPU; so does reading such a tensor as an array.
The numbers are the processor's to the bit, so that what is computed on either can be compared exactly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

# A device type that every build of PyTorch knows, for which none brings code, and whose gradients
# are computed in the processor's thread.
DEVICE = torch.device("lazy", 0)
MOVES = (torch.ops.aten.copy_.default, torch.ops.aten._foreach_copy_.default)
INDEXING = {  # these take positions from either device: how many of their tensors count
    torch.ops.aten.index.Tensor: 1,
    torch.ops.aten.index_put_.default: 1,
    torch.ops.aten.index_put.default: 1,
}


class Elsewhere(Tensor):
    """A tensor of that device; ``inner`` holds its numbers."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> Self:
        return Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype, device=DEVICE
        )

    def __init__(self, inner: Tensor):
        self.inner = inner

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})

    def __reduce_ex__(self, protocol: int) -> Any:
        """Saved as what ``map_location="cpu"`` reads."""
        return self.inner.detach().__reduce_ex__(protocol)


@contextlib.contextmanager
def other_device() -> Iterator[None]:
    """Within: ``DEVICE`` can be used like a GPU."""
    with Lists(), Operations():
        yield


class Operations(TorchDispatchMode):
    """Also those that only name the device."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Lists(TorchFunctionMode):
    """Tensors from and to Python's lists, which PyTorch makes without asking the other mode."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is Tensor.new_tensor and isinstance(args[0], Elsewhere):
            kwargs = {"dtype": args[0].dtype, "device": DEVICE} | kwargs
            function, args = torch.tensor, args[1:]
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return torch.tensor(*args, **{**kwargs, "device": None}).to(kwargs["device"])
        if function is Tensor.tolist:
            args = (args[0].cpu(),)
        if function in (Tensor.__getitem__, Tensor.__setitem__):
            args = (args[0], places(args[1]), *args[2:])
        return function(*args, **kwargs)


def places(index: Any) -> Any:
    """An index whose lists are tensors."""
    if isinstance(index, tuple):
        return tuple(torch.tensor(part) if isinstance(part, (list, tuple)) else part for part in index)
    return torch.tensor(index) if isinstance(index, list) else index


def compute(operation, args: tuple, kwargs: dict) -> Any:
    """Run an operation on the processor; its results lie where a GPU's would."""
    flat, tree = tree_flatten((args, kwargs))
    tensors = [value for value in flat if isinstance(value, Tensor)]
    away = any(isinstance(value, Elsewhere) for value in tensors)
    if away and operation not in MOVES:
        check(operation, tensors[: INDEXING.get(operation, len(tensors))])
    asked = [value for value in flat if isinstance(value, torch.device)]
    if asked:
        away = asked[0].type == DEVICE.type
    known = {id(value.inner): value for value in flat if isinstance(value, Elsewhere)}
    args, kwargs = tree_unflatten([on_processor(value) for value in flat], tree)
    results = operation(*args, **kwargs)
    if not away:
        return results
    found, shape = tree_flatten(results)
    return tree_unflatten([marked(value, known) for value in found], shape)


def check(operation, tensors: list[Tensor]) -> None:
    """Raise for tensors of both devices, but for single numbers, which a GPU takes from anywhere."""
    strangers = [value for value in tensors if not isinstance(value, Elsewhere) and value.ndim]
    if strangers:
        shapes = [tuple(value.shape) for value in strangers]
        raise RuntimeError(f"{operation} mixes devices: of the processor are tensors of the shapes {shapes}")


def on_processor(value: Any) -> Any:
    if isinstance(value, Elsewhere):
        return value.inner
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == DEVICE.type else value


def marked(value: Any, known: dict[int, Elsewhere]) -> Any:
    """A result as a tensor of the device; one that was changed in place stays itself."""
    if not isinstance(value, Tensor):
        return value
    return known[id(value)] if id(value) in known else Elsewhere(value)
