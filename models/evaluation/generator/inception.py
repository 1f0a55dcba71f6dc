"""The Inception network of 2015 whose features define FID, from weights that the person supplies.

The weights are the published conversion of ``inception-2015-12-05`` to PyTorch (the state
dictionary of pytorch-fid, in torchvision's layout with 1008 classes). As the graph was
published, average pooling leaves padding out and the last block pools by maximum. Resizing is
bilinear as in pytorch-fid, which differs from the original graph's by about 0.1 FID.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.errors import StyleRigError

SIZE = 299
CLASSES = 1008  # torchvision's own weights have 1000, and distances on them are not FID
NORM_EPSILON = 1e-3
A_BLOCKS, C_BLOCKS = ("5b", "5c", "5d"), ("6b", "6c", "6d", "6e")


class Inception:
    """Pictures (N, 3, R, R) 0..1 -> the last pooled features (N, 2048)."""

    def __init__(self, state: dict[str, Tensor]):
        self.state = state

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        x = F.interpolate(pictures, (SIZE, SIZE), mode="bilinear", align_corners=False) * 2 - 1
        x = self.conv(x, "Conv2d_1a_3x3", stride=2, padded=False)
        x = self.conv(self.conv(x, "Conv2d_2a_3x3", padded=False), "Conv2d_2b_3x3")
        x = self.conv(F.max_pool2d(x, 3, 2), "Conv2d_3b_1x1")
        x = F.max_pool2d(self.conv(x, "Conv2d_4a_3x3", padded=False), 3, 2)
        for name in A_BLOCKS:
            x = self.block_a(x, f"Mixed_{name}.")
        x = self.block_b(x, "Mixed_6a.")
        for name in C_BLOCKS:
            x = self.block_c(x, f"Mixed_{name}.")
        x = self.block_d(x, "Mixed_7a.")
        x = self.block_e(x, "Mixed_7b.", mean_pool)
        return self.block_e(x, "Mixed_7c.", lambda y: F.max_pool2d(y, 3, 1, 1)).mean((2, 3))

    def conv(self, x: Tensor, name: str, stride: int = 1, padded: bool = True) -> Tensor:
        """Convolution without bias, batch normalisation by its statistics, ReLU."""
        weight = self.state[f"{name}.conv.weight"]
        x = F.conv2d(x, weight, None, stride, [k // 2 if padded else 0 for k in weight.shape[2:]])
        mean, variance, scale, shift = (self.state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, mean, variance, scale, shift, eps=NORM_EPSILON))

    def chain(self, x: Tensor, block: str, *names: str) -> Tensor:
        for name in names:
            x = self.conv(x, block + name)
        return x

    def block_a(self, x: Tensor, block: str) -> Tensor:
        return torch.cat((
            self.chain(x, block, "branch1x1"),
            self.chain(x, block, "branch5x5_1", "branch5x5_2"),
            self.chain(x, block, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
            self.chain(mean_pool(x), block, "branch_pool"),
        ), dim=1)  # fmt: skip

    def block_b(self, x: Tensor, block: str) -> Tensor:
        double = self.chain(x, block, "branch3x3dbl_1", "branch3x3dbl_2")
        return torch.cat((
            self.conv(x, block + "branch3x3", stride=2, padded=False),
            self.conv(double, block + "branch3x3dbl_3", stride=2, padded=False),
            F.max_pool2d(x, 3, 2),
        ), dim=1)  # fmt: skip

    def block_c(self, x: Tensor, block: str) -> Tensor:
        return torch.cat((
            self.chain(x, block, "branch1x1"),
            self.chain(x, block, *(f"branch7x7_{i}" for i in range(1, 4))),
            self.chain(x, block, *(f"branch7x7dbl_{i}" for i in range(1, 6))),
            self.chain(mean_pool(x), block, "branch_pool"),
        ), dim=1)  # fmt: skip

    def block_d(self, x: Tensor, block: str) -> Tensor:
        narrow = self.chain(x, block, "branch3x3_1")
        wide = self.chain(x, block, "branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3")
        return torch.cat((
            self.conv(narrow, block + "branch3x3_2", stride=2, padded=False),
            self.conv(wide, block + "branch7x7x3_4", stride=2, padded=False),
            F.max_pool2d(x, 3, 2),
        ), dim=1)  # fmt: skip

    def block_e(self, x: Tensor, block: str, pool: Callable[[Tensor], Tensor]) -> Tensor:
        single = self.chain(x, block, "branch3x3_1")
        double = self.chain(x, block, "branch3x3dbl_1", "branch3x3dbl_2")
        return torch.cat((
            self.chain(x, block, "branch1x1"),
            self.conv(single, block + "branch3x3_2a"), self.conv(single, block + "branch3x3_2b"),
            self.conv(double, block + "branch3x3dbl_3a"), self.conv(double, block + "branch3x3dbl_3b"),
            self.chain(pool(x), block, "branch_pool"),
        ), dim=1)  # fmt: skip


def mean_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def load_inception(path: str | Path) -> Inception:
    """Read the weights from a .safetensors or a PyTorch state dictionary; no code in it is run.

    Raises StyleRigError for a file that is missing, damaged, or holds another network.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ValueError("there is no such file")
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("it is not a state dictionary")
        if "fc.weight" not in state or state["fc.weight"].shape != (CLASSES, 2048):
            raise ValueError(f"it has not the {CLASSES} classes of the network of 2015")
        network = Inception({name: value.float() for name, value in state.items()})
        if network(torch.zeros(1, 3, 32, 32)).shape != (1, 2048):
            raise ValueError("its features are not 2048")
    except (OSError, ValueError, RuntimeError, KeyError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StyleRigError(
            f"{path} cannot be used as the Inception network of FID: {reason}.",
            "Give pytorch-fid's pt_inception-2015-12-05 weights, or leave that network out: the other figures need none.",
            code="bad_inception",
        ) from error
    return network
