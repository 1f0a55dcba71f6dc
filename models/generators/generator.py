"""The generator as the rest of the project sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from models.generators import progan, stylegan1, stylegan2, stylegan3
from models.generators.config import GeneratorConfig, ProGANConfig, StyleGAN1Config, StyleGAN2Config
from models.generators.cpu import usable_precision
from models.generators.disco import DiscoConfig, DiscoMapping
from models.generators.guided import GuidedConfig, GuidedSynthesisNetwork
from models.generators.person import PersonMapping
from models.generators.semantic_mapping import SemanticMapping
from models.generators.stylegan2 import split_matte
from models.generators.stylegan3_config import StyleGAN3Config

Config = GeneratorConfig | StyleGAN3Config
# StyleGAN 1's and the semantic one are StyleGAN2's.
Mapping = stylegan2.MappingNetwork | progan.MappingNetwork | PersonMapping | DiscoMapping
Synthesis = (
    stylegan1.SynthesisNetwork | stylegan2.SynthesisNetwork | stylegan3.SynthesisNetwork | progan.SynthesisNetwork | GuidedSynthesisNetwork
)
NETWORKS: dict[type, tuple[Callable[[Any], Mapping], Callable[[Any], Synthesis]]] = {  # configuration -> mapping and synthesis
    GeneratorConfig: (stylegan2.MappingNetwork, stylegan2.SynthesisNetwork),
    StyleGAN2Config: (stylegan2.MappingNetwork, stylegan2.SynthesisNetwork),
    StyleGAN3Config: (stylegan2.MappingNetwork, stylegan3.SynthesisNetwork),
    StyleGAN1Config: (stylegan1.MappingNetwork, stylegan1.SynthesisNetwork),
    ProGANConfig: (progan.MappingNetwork, progan.SynthesisNetwork),
    DiscoConfig: (DiscoMapping, stylegan2.SynthesisNetwork),
    GuidedConfig: (lambda config: PersonMapping(config, config.person), GuidedSynthesisNetwork),
}
Precision = Literal["float32", "bf16"]
PRECISIONS = get_args(Precision)


def raw_channels(network: Synthesis, w: Tensor, noise: str, seed: int, guide: Tensor | None) -> Tensor:
    """What a synthesis network of any kind draws (N, C, R, R), unclipped; ``guide`` (N, G, R, R) steers one that takes maps."""
    if isinstance(network, GuidedSynthesisNetwork) and guide is not None:
        return network.raw(w, guide=guide.to(w.device))
    return network.raw(w, noise, seed=seed)


class Generator(nn.Module):
    """ProGAN or StyleGAN: ``mapping`` z -> w, ``synthesis`` w -> picture, ``foreground`` w -> colour and matte.

    One with ``guide_channels`` is steered by maps of the rig (see ``guide.py``): its ``synthesis`` takes w and maps.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.metadata: dict[str, Any] = {}
        mapping, synthesis = NETWORKS[type(config)]
        if type(config) is GeneratorConfig and config.meanings:
            mapping = SemanticMapping
        self.mapping: Mapping = mapping(config)
        self.synthesis: Synthesis = synthesis(config)

    @classmethod
    def create(cls, config: Config | None = None, seed: int = 0) -> Generator:
        """A generator with random weights that depend on ``seed`` alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config or GeneratorConfig())

    resolution = property(lambda self: self.config.resolution)
    z_dim = property(lambda self: self.config.z_dim)
    c_dim = property(lambda self: self.config.c_dim)
    w_dim = property(lambda self: self.config.w_dim)
    num_ws = property(lambda self: self.config.num_ws)
    img_channels = property(lambda self: self.config.img_channels)
    w_avg = property(lambda self: self.mapping.w_avg)
    guide_channels = property(lambda self: getattr(self.config, "guide_channels", 0))  # 0: no renderings steer it

    @property
    def precision(self) -> str:
        return "bf16" if self.synthesis.dtype == torch.bfloat16 else "float32"

    def set_precision(self, precision: str) -> Generator:
        """Convolve in "float32" (exact) or "bf16" (channels-last; fast where the processor has it)."""
        if precision not in PRECISIONS:
            raise ValueError(f"precision is one of {PRECISIONS}, not {precision!r}")
        self.synthesis.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        return self

    def fast(self) -> Generator:
        """The quickest precision of this device; ``precision`` says which it became."""
        return self.set_precision(usable_precision("auto", self.w_avg.device)[0])

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float | Sequence[float] = 1.0,
        truncation_cutoff: int | None = None,
        noise: str = "const",
        seed: int | None = None,
    ) -> Tensor:
        """z (N, z_dim) -> picture (N, 3, R, R) in [-1, 1]; one that is steered shows people at rest."""
        w = self.mapping(z, c, truncation_psi, truncation_cutoff)
        if isinstance(self.synthesis, GuidedSynthesisNetwork) and isinstance(self.mapping, PersonMapping):
            return self.synthesis(w, guide=self.synthesis.guide.at_rest(*self.mapping.shape(z, truncation_psi), self.resolution))
        return self.synthesis(w, noise, seed)

    def foreground(self, w: Tensor, noise: str = "const", seed: int | None = None) -> tuple[Tensor, Tensor]:
        """w (N, num_ws, w_dim) -> premultiplied sRGB colour (N, 3, R, R) and alpha (N, 1, R, R), both 0..1.

        A generator without a matte has alpha 1 everywhere.
        """
        return split_matte(self.synthesis.raw(w, noise, seed=seed)[:, : self.img_channels])
