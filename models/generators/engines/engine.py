"""Choosing an engine, and what all have in common."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from models.errors import StyleRigError
from models.generators import guided, stylegan2, stylegan3
from models.generators.cpu import usable_precision
from models.generators.engines.scheduler import CpuScheduler, WorkerSlot
from models.generators.generator import Generator, raw_channels
from models.generators.noise import check_noise, draw_noise
from models.generators.roi import Box
from models.generators.stylegan2 import over_backdrop, split_matte

EXACTNESS = ("exact", "fast")
Boxes = Sequence[Box | None] | None  # for each picture, None is the whole
Fusible = stylegan2.SynthesisNetwork | stylegan3.SynthesisNetwork | guided.GuidedSynthesisNetwork
MAX_SMALL = 512  # side of images up to which several are drawn at the same time


class Runner(Protocol):
    """How an engine computes: w (N, num_ws, w_dim) -> the network's own channels (N, C, R, R) float32.

    ``boxes``: the part of each picture that is wanted; the rest may be drawn or 0, whichever is quicker.
    ``guide`` (N, G, R, R): the maps of a generator that renderings steer. Safe to call from several threads; the result
    is the caller's own.
    """

    def raw(self, w: Tensor, noise: str, seed: int, boxes: Boxes, guide: Tensor | None) -> Tensor: ...


class Engine:
    """A generator's synthesis by the quickest means at hand; safe to call from several threads.

    ``name`` says how it computes, ``notice`` why it is not as was asked for, or is empty.
    """

    def __init__(self, generator: Generator, runner: Runner, name: str, notice: str = ""):
        self.generator, self.runner, self.name, self.notice = generator, runner, name, notice

    @torch.no_grad()
    def raw(self, w: Tensor, noise: str = "const", seed: int = 0, boxes: Boxes = None, guide: Tensor | None = None) -> Tensor:
        """w (N, num_ws, w_dim) -> the network's own channels (N, C, R, R) float32, not limited.

        ``boxes``: the part of each picture that is wanted; the rest may be drawn or 0. ``guide`` (N, G, R, R): the maps
        that steer it, of a generator that has ``guide_channels``.
        """
        check_noise(noise)
        if w.dim() != 3 or tuple(w.shape[1:]) != (self.generator.num_ws, self.generator.w_dim):
            raise ValueError(f"w has the shape {tuple(w.shape)}, expected (N, num_ws, w_dim)")
        if guide is not None and tuple(guide.shape[:2]) != (len(w), self.generator.guide_channels):
            raise ValueError(f"the guide has the shape {tuple(guide.shape)}, expected {len(w)} of {self.generator.guide_channels} maps")
        return self.runner.raw(w.float(), noise, seed, boxes, guide)

    def synthesis(self, w: Tensor, noise: str = "const", seed: int = 0) -> Tensor:
        """w (N, num_ws, w_dim) -> picture (N, 3, R, R) in [-1, 1], as the network's ``synthesis``."""
        return over_backdrop(self.raw(w, noise, seed)[:, : self.generator.img_channels])

    def foreground(self, w: Tensor, noise: str = "const", seed: int = 0, boxes: Boxes = None) -> tuple[Tensor, Tensor]:
        """w -> premultiplied sRGB colour (N, 3, R, R) and alpha (N, 1, R, R), as ``Generator.foreground``; ``boxes`` as in ``raw``."""
        return split_matte(self.raw(w, noise, seed, boxes)[:, : self.generator.img_channels])


class TorchRunner:
    """The network itself, in ``dtype``."""

    def __init__(self, generator: Generator, dtype: torch.dtype, scheduler: CpuScheduler):
        self.network, self.dtype, self.scheduler = generator.synthesis, dtype, scheduler
        self.lock = threading.Lock()  # the network's type is changed meanwhile

    def raw(self, w: Tensor, noise: str, seed: int, boxes: Boxes, guide: Tensor | None = None) -> Tensor:
        with self.lock:
            return self.scheduler.map(self.draw, [(w, noise, seed, guide)])[0]

    def draw(self, w: Tensor, noise: str, seed: int, guide: Tensor | None, slot: WorkerSlot) -> Tensor:
        before = self.network.dtype
        self.network.dtype = self.dtype
        try:
            return raw_channels(self.network, w, noise, seed, guide)
        finally:
            self.network.dtype = before


class Fused(Protocol):
    """A prepared network: w (num_ws, w_dim) and maps, or a noise for each layer, -> (C, R, R)."""

    @property
    def noise_sizes(self) -> Sequence[int]: ...

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def raw(self, w: Tensor, beside: Any, box: Box | None, slot: WorkerSlot) -> Tensor:
        """At least what lies in ``box``; the result is the caller's own. A slot draws one image at a time."""
        ...


class PerImageRunner:
    """A fused network, which makes its images singly: one batch of them does not pay on a processor."""

    def __init__(self, fused: Fused, scheduler: CpuScheduler, guided: bool = False):
        self.fused, self.scheduler, self.guided = fused, scheduler, guided

    def raw(self, w: Tensor, noise: str, seed: int, boxes: Boxes = None, guide: Tensor | None = None) -> Tensor:
        if not len(w):
            return w.new_zeros(0, *self.fused.shape)
        images = list(zip(w, self.beside(len(w), noise, seed, guide), boxes or [None] * len(w), strict=True))
        return torch.stack(self.scheduler.map(self.fused.raw, images, small=self.fused.shape[-1] <= MAX_SMALL))

    def beside(self, count: int, noise: str, seed: int, guide: Tensor | None) -> Sequence[Any]:
        """What the network takes beside w for each image: its maps, or a noise for each layer."""
        if self.guided:
            return [None] * count if guide is None else list(guide)
        if noise != "random":
            return [[noise] * len(self.fused.noise_sizes)] * count
        drawn = draw_noise(self.fused.noise_sizes, count, seed, torch.device("cpu"))
        return [[values[index, 0] for values in drawn] for index in range(count)]


def load_engine(
    generator: Generator, exactness: str = "fast", device: str | torch.device = "cpu", scheduler: CpuScheduler | None = None
) -> Engine:
    """An engine for ``generator`` on ``device``, whose weights it moves there.

    On a CPU it draws with the threads of ``scheduler``; None: with as many as torch uses now.

    "exact" stays within 1e-3 of the plain float32 network on [-1, 1]; "fast" convolves in bfloat16
    where the hardware does (some 50 dB and more), else it is the exact one. Raises StyleRigError
    for a device that is not there.
    """
    if exactness not in EXACTNESS:
        raise ValueError(f"exactness is one of {EXACTNESS}, not {exactness!r}")
    device = torch.device(device)
    if device.type == "cuda":
        return cuda_engine(generator, exactness, device)
    if device.type != "cpu":
        raise no_device(device)
    dtype, notice = precision(exactness, device)
    generator, scheduler = generator.to(device), scheduler or CpuScheduler()
    if not isinstance(generator.synthesis, Fusible):
        return Engine(generator, TorchRunner(generator, torch.float32, scheduler), "plain torch, float32", notice)
    try:
        runner = PerImageRunner(fuse(generator.synthesis, dtype), scheduler, guided=generator.guide_channels > 0)
    except StyleRigError as error:
        notice = f"{error.message} {error.hint} {notice}".strip()
        return Engine(generator, TorchRunner(generator, dtype, scheduler), f"plain torch, {name_of(dtype)}", notice)
    return Engine(generator, runner, f"fused kernels, {name_of(dtype)}", notice)


def kernels_place() -> Path | None:
    """The folder in which the compiled kernels are kept, or None where each process compiles them anew.

    Raises StyleRigError where they cannot be compiled at all.
    """
    try:
        from models.compiling import place_of
        from models.generators.engines.kernels import limited

        limited(np.float32(1), np.float32(1), np.float32(1))
    except Exception as error:  # numba and LLVM fail in many ways, by many switches
        raise no_kernels(error) from error
    return place_of(limited)


def fuse(network: Fusible, dtype: torch.dtype) -> Fused:
    """The network prepared for the fused kernels; raises StyleRigError where these cannot be compiled."""
    kernels_place()
    from models.generators.engines.fused2 import FusedStyleGAN2
    from models.generators.engines.fused3 import FusedStyleGAN3
    from models.generators.engines.fused_guided import FusedGuided

    if isinstance(network, stylegan2.SynthesisNetwork):
        return FusedStyleGAN2(network, dtype)
    if isinstance(network, stylegan3.SynthesisNetwork):
        return FusedStyleGAN3(network, dtype)
    return FusedGuided(network, dtype)


def cuda_engine(generator: Generator, exactness: str, device: torch.device) -> Engine:
    from models.generators.engines.cuda import CudaRunner

    if not torch.cuda.is_available():
        raise no_device(device)
    dtype, notice = precision(exactness, device)
    generator = generator.to(device)
    runner = CudaRunner(generator.synthesis, dtype)
    return Engine(generator, runner, f"{torch.cuda.get_device_name(device)}, {name_of(dtype)}", notice)


def precision(exactness: str, device: torch.device) -> tuple[torch.dtype, str]:
    """The type that convolutions run in, and a word if it is not the one that was asked for."""
    name, notice = usable_precision("bf16" if exactness == "fast" else "float32", device)
    return (torch.bfloat16 if name == "bf16" else torch.float32), notice


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def no_device(device: torch.device) -> StyleRigError:
    return StyleRigError(
        f"There is no device {str(device)!r} that a generator can run on.",
        'Choose "cpu", or install a CUDA build of torch.',
        code="no_device",
    )


def no_kernels(error: Exception) -> StyleRigError:
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    switches = ", ".join(name for name in sorted(os.environ) if name.startswith("NUMBA_"))
    hint = f"Unset {switches}." if switches else "Make the environment again."
    return StyleRigError(
        f"numba cannot compile the kernels ({reason}): the plain network draws, several times as slow.", hint, code="no_kernels"
    )
