"""DiscoFaceGAN as a method: a portrait's coefficients are exchanged, and w moves by the difference that makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from models.errors import StyleRigError
from models.evaluation.methods.method import TRUNCATION, Method
from models.face import load_face_model
from models.face.parameters import RigParameters
from models.generators import latents_from_seed, load_generator
from models.generators.disco import DiscoConfig, DiscoMapping
from models.rigging.controls import Controls


@dataclass(frozen=True, eq=False)
class DiscoPortrait:
    """Coefficients (1, C), noise (1, M) and w (1, L, 512)."""

    coefficients: Tensor
    noise: Tensor
    w: Tensor


class DiscoMethod(Method):
    """The generator of a file that ``train disco`` wrote; raises StyleRigError for any other."""

    title = "DiscoFaceGAN"

    def __init__(self, path: Path, device: str = "cpu"):
        self.generator = load_generator(path, device=device)
        if not isinstance(self.generator.config, DiscoConfig):
            raise StyleRigError(
                f"{path} is no DiscoFaceGAN.", "Choose a disco-generator.safetensors that train disco wrote.", code="bad_weights"
            )
        self.mapping = cast(DiscoMapping, self.generator.mapping)
        self.face = load_face_model(self.generator.config.head).to(device)
        told = self.generator.metadata
        pairs = "with pairs" if told.get("contrastive") else "without pairs"
        self.training = f"{told.get('minutes', '?')} min, {told.get('images seen', '?')} images seen, {pairs}"

    def portrait(self, seed: int) -> DiscoPortrait:
        z = latents_from_seed(seed, 1, self.generator.z_dim).to(self.mapping.w_avg.device)
        noise = self.mapping.split(z)["noise"]
        return DiscoPortrait(self.mapping.coefficients(z), noise, self.mapping(z, truncation_psi=TRUNCATION))

    def own(self, portrait: DiscoPortrait) -> RigParameters:
        return self.mapping.parameters_of(portrait.coefficients, self.face)

    def picture(self, portrait: DiscoPortrait, controls: Controls) -> Tensor:
        own, wanted = (self.mapping.coefficients_of(each) for each in (self.own(portrait), self.wanted(portrait, controls)))
        change = self.mapping.from_coefficients(wanted, portrait.noise) - self.mapping.from_coefficients(own, portrait.noise)
        return torch.cat(self.generator.foreground(portrait.w + change[:, None]), dim=1)[0]
