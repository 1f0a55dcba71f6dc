"""The processes of one training: one alone, or several started by torchrun."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn

from models.devices import choose_device


class World:
    """Rank, size and device of this process. ``close`` it when the training ends.

    Under torchrun (environment variables RANK, WORLD_SIZE, LOCAL_RANK) the processes are joined
    by NCCL on GPUs and by Gloo on CPUs. ``device`` is auto, cpu or cuda.
    """

    def __init__(self, device: str = "auto"):
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = own_device(device)
        if self.size > 1:
            self.join()

    def join(self) -> None:
        # Functions of this module keep the group that is there when it is first imported, which any
        # optimizer does. Gloo's threads would then outlive ``close``, and one that lets go of a tensor
        # just when Python ends aborts its process.
        importlib.import_module("torch.distributed.nn")
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """How much of a ``batch`` each process takes."""
        return -(-batch // self.size)

    def barrier(self) -> None:
        """Return when every process has come this far."""
        self.reduce_max([0.0])

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in one exchange."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def mean(self, values: Iterable[float]) -> list[float]:
        """The mean of each number over the processes."""
        return (self.reduce(values, distributed.ReduceOp.SUM) / self.size).tolist()

    def reduce_max(self, values: Iterable[float]) -> list[float]:
        """The largest of each number over the processes."""
        return self.reduce(values, distributed.ReduceOp.MAX).tolist()

    def reduce(self, values: Iterable[float], operation: distributed.ReduceOp.RedOpType) -> Tensor:
        numbers = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        if self.size > 1:
            distributed.all_reduce(numbers, operation)
        return numbers.cpu()

    def close(self) -> None:
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def own_device(name: str) -> torch.device:
    """The device of ``choose_device``; of several GPUs this process's own."""
    if choose_device(name) == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
