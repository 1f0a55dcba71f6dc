"""The plain network on a CUDA device: channels last, compiled, as one CUDA graph."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from models.generators.generator import Synthesis, raw_channels

MOST_GRAPHS = 4


class CudaRunner:
    """``network`` in ``dtype``: float32 without TF32, or bfloat16.

    Pictures of one size and noise mode run as a CUDA graph, so that launching a hundred small
    kernels costs nothing; torch.compile fuses the passes between convolutions where Triton is there.
    """

    def __init__(self, network: Synthesis, dtype: torch.dtype):
        self.network, self.dtype = network, dtype
        self.function = compiled(network.raw)
        self.lock = threading.Lock()  # a graph has one place for w and one for the picture
        self.graphs: dict[tuple[int, str], tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def raw(self, w: Tensor, noise: str, seed: int, boxes: object = None, guide: Tensor | None = None) -> Tensor:
        w = w.to(next(self.network.parameters()).device)
        with self.lock, exact_products():
            before, self.network.dtype = self.network.dtype, self.dtype
            try:
                if noise == "random" or guide is not None:  # drawn anew, by other maps for each picture: nothing to record
                    return raw_channels(self.network, w, noise, seed, guide)
                return self.replay(w, noise).clone()
            finally:
                self.network.dtype = before

    def replay(self, w: Tensor, noise: str) -> Tensor:
        """The result lies in the graph's own memory until the next picture."""
        key = len(w), noise
        if key not in self.graphs:
            if len(self.graphs) >= MOST_GRAPHS:
                self.graphs.pop(next(iter(self.graphs)))
            self.graphs[key] = self.first(w, noise)
        graph, place, result = self.graphs[key]
        place.copy_(w)
        graph.replay()
        return result

    def first(self, w: Tensor, noise: str) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        try:
            return self.record(w, noise)
        except Exception:  # torch.compile fails in many ways where Triton finds no compiler
            if self.function == self.network.raw:
                raise
            self.function = self.network.raw
            return self.record(w, noise)

    def record(self, w: Tensor, noise: str) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        place = w.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # what is compiled or tuned at the first call must not be recorded
            for _ in range(3):
                self.function(place, noise)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self.function(place, noise)
        return graph, place, result


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``function`` by torch.compile where it can be; else as it is."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return function
    return torch.compile(function, dynamic=False)


class exact_products:
    """Within: float32 means float32, as on the CPU, not TF32."""

    def __enter__(self) -> None:
        self.before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    def __exit__(self, *_: object) -> None:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = self.before
