"""A guided StyleGAN2 on a processor: the fused kernels of StyleGAN2, with what the maps tell in place of the noise."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from models.generators.engines.convolution import array, padded
from models.generators.engines.fused2 import FusedStyleGAN2, Layer
from models.generators.engines.guided_kernels import COLOURED, comb, paint_person
from models.generators.engines.scheduler import WorkerSlot, torch_threads
from models.generators.guided import PAINTED, GuidedLayer, GuidedSynthesisNetwork, pyramid
from models.generators.layers import GAIN
from models.generators.roi import Box


class GuidedFusedLayer(Layer):
    """A modulated convolution and the convolution of the maps that is added to it, prepared."""

    def prepare_noise(self, layer: GuidedLayer) -> None:
        self.guide = padded(layer.guide.detach() * GAIN, self.channels)

    def told(self, maps: Tensor) -> np.ndarray:
        """What maps (G, R, R) of the layer's size add, (R, R, C)."""
        channels, size, _ = maps.shape
        if self.guide.shape[-1] == 1:  # of every pixel alone
            return array(maps.reshape(channels, -1).T @ self.guide[:, :, 0, 0].T).reshape(size, size, -1)
        return array(conv2d(maps[None], self.guide, padding=self.guide.shape[-1] // 2)[0].permute(1, 2, 0).contiguous())

    def noise(self, drawn: np.ndarray, part: Box) -> np.ndarray:
        """The part of what the maps add."""
        return np.ascontiguousarray(drawn[part.place])


class FusedGuided(FusedStyleGAN2):
    """The synthesis network of ``network``, as ``FusedStyleGAN2``."""

    layer_type = GuidedFusedLayer

    def __init__(self, network: GuidedSynthesisNetwork, dtype: torch.dtype):
        super().__init__(network, dtype)
        self.sizes, self.network = network.block_resolutions, network
        self.told: dict[tuple[int, ...], np.ndarray] = {}  # where each slot paints
        self.pattern = None if network.strands is None else array(network.strands.pattern[0].movedim(0, -1).contiguous())
        self.last: tuple[bytes, Tensor] | None = None  # w, and its planes: frames of one portrait ask for them again

    def raw(self, w: Tensor, beside: Tensor | None, box: Box | None, slot: WorkerSlot) -> Tensor:
        """w (num_ws, w_dim), maps (G, R, R), None for the mean head's -> (outputs, R, R) float32, 0 outside ``box``.

        Smaller maps than the network's picture draw a smaller one, by the blocks up to their size.
        """
        # [None] alone would leave strides in which torch does not see that all channels of a pixel lie together.
        maps = self.network.mean_maps(self.sizes[-1]) if beside is None else beside.movedim(0, -1)[None].movedim(-1, 1)
        sizes = [size for size in self.sizes if size <= maps.shape[-1]]
        seen = self.seen(maps, sizes, w, slot)
        layers = cast(list[GuidedFusedLayer], [layer for layer in self.layers if layer.size <= sizes[-1]])
        told = [layer.told(seen[layer.size][0]) for layer in layers]
        drawn, part = super().raw(w, told, box, slot), box or Box.whole(sizes[-1])
        if self.network.strands is not None:
            shown = array(pyramid(maps, sizes[-1:])[sizes[-1]][0].movedim(0, -1).contiguous())
            gains = array(self.network.strands.strength(w[-1:])[0])
            combed = shown, self.pattern, gains, array(drawn), self.network.hair, part.top, part.left, part.right
            slot.share(comb, combed, part.height, shown.size)
        return drawn

    def seen(self, maps: Tensor, sizes: list[int], w: Tensor, slot: WorkerSlot) -> dict[int, Tensor]:
        """What layers of ``sizes`` are told by maps (1, G, R, R) and w (num_ws, w_dim), (1, C, S, S) each, as ``GuidedSynthesisNetwork.told``."""
        planes, most = self.planes(w), sizes[-1]
        if planes is None or self.network.palette is None or most > 2 * PAINTED:
            return dict(zip(sizes, self.network.told(maps, w[None], list(map(Box.whole, sizes)), planes), strict=True))
        averaged = pyramid(maps, [size for size in sizes if size >= min(most, PAINTED)])
        colours, drawn = array(self.network.colours(w[-1:])[0]), array(planes.movedim(1, -1).contiguous())
        coarse = self.painted(averaged[min(most, PAINTED)], colours, drawn, np.empty((0, 0, 0), np.float32), slot)
        seen = pyramid(coarse, [size for size in sizes if size <= PAINTED])
        if most > PAINTED:
            seen[most] = self.painted(averaged[most], colours, drawn, array(coarse[0].movedim(0, -1)), slot)
        return seen

    def painted(self, maps: Tensor, colours: np.ndarray, planes: np.ndarray, coarse: np.ndarray, slot: WorkerSlot) -> Tensor:
        """As ``guided_kernels.paint_person``: (1, C, R, R) of maps (1, G, R, R)."""
        given = array(maps[0].movedim(0, -1).contiguous())
        size, _, channels = given.shape
        shape = size, size, channels + COLOURED + 2 * planes.shape[-1]
        told = self.told.setdefault((slot.index, *shape), np.empty(shape, np.float32))  # see scratch_buffer
        slot.share(paint_person, (given, colours, planes, coarse, told), size, told.size)
        return torch.from_numpy(told)[None].movedim(-1, 1)

    def planes(self, w: Tensor) -> Tensor | None:
        """The planes of w (num_ws, w_dim), where the network has any."""
        if self.network.planes is None:
            return None
        key, last = w.numpy().tobytes(), self.last  # read and written whole: threads share it
        if last is None or last[0] != key:
            with torch_threads(1):  # see there: all that is drawn depends on them
                self.last = last = key, self.network.planes(w[None])
        return last[1]
