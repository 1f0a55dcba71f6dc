"""What the readers of other programs' StyleGAN checkpoints share: our layers' names, shapes, checks."""

from __future__ import annotations

from torch import Tensor

from models.generators.errors import CheckpointError
from models.io.pickles import PickleError

MAPPING_RATE = 0.01  # learning rate multiplier of the mapping, where a file does not keep it; never changed in the repositories


def conv_name(index: int) -> str:
    """The convolution with this number, counted through all resolutions: b4.conv1, b8.conv0, b8.conv1, …"""
    return f"b{4 << (index + 1) // 2}.conv{1 - index % 2}"


def without_batch(value: Tensor, dimensions: int) -> Tensor:
    """``value`` without its leading dimensions of size 1, so that ``dimensions`` are left; raises PickleError."""
    extra = value.dim() - dimensions
    if extra < 0 or any(size != 1 for size in value.shape[:extra]):
        raise PickleError(f"a tensor has the shape {tuple(value.shape)}")
    return value.reshape(value.shape[extra:])


def check_labels(z_dim: int, w_dim: int) -> None:
    """Refuse what was converted from a network with labels: its mapping takes z and an embedded label as one."""
    if z_dim > w_dim:
        raise CheckpointError(
            f"its mapping begins with {z_dim} numbers where w has {w_dim}: it was converted from a network with labels, "
            "whose embedding is not in the file",
            "Use the checkpoint that it was converted from, which has the embedding.",
        )
