"""Looks: networks that turn one image into another, each called in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.translation.cogan import CoGANGenerator
from models.translation.config import CoGANConfig, LookConfig, ResNetConfig, StarGANConfig, StarGANv2Config, UNetConfig
from models.translation.errors import bad_image, bad_label, bad_style
from models.translation.lab import coloured, lightness_of
from models.translation.labels import domain_indices, label_vectors
from models.translation.padding import pad_by_reflection
from models.translation.resnet import ResNetGenerator
from models.translation.stargan import StarGANGenerator
from models.translation.starganv2 import StarGANv2
from models.translation.unet import UNetGenerator

GREY = (0.299, 0.587, 0.114)  # ITU-R 601-2, as the published loader turns colours to grey
LARGEST_SIDE = 16_384
LEAST_OWN = 16  # pixels of what a look may have been taught with


class Described:
    """What a look's configuration says of it: ``labels`` are the attributes and ``domains`` the domains that it knows, empty
    where it has none."""

    config: LookConfig

    @property
    def kind(self) -> str:
        return self.config.kind

    @property
    def labels(self) -> tuple[str, ...]:
        return getattr(self.config, "labels", ())

    @property
    def domains(self) -> tuple[str, ...]:
        return getattr(self.config, "domains", ())


class Look(Described, ABC):
    """A network with its configuration: call it with an image.

    ``kind`` is pix2pix, cyclegan, cut, stargan, starganv2 or cogan. ``metadata`` says where it comes from; its ``notes`` what should be
    known of it. ``as_tested`` makes it compute as the default test run of the published code does, which never leaves
    the training mode: with dropout, and with norms by the statistics of the images at hand.
    """

    network_class: ClassVar[type[nn.Module]]
    network: nn.Module

    def __init__(self, config: LookConfig, network: nn.Module | None = None):
        self.config = config
        self.network = (self.network_class(config) if network is None else network).eval().requires_grad_(False)
        self.metadata: dict[str, Any] = {}
        self.as_tested = False

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def step(self) -> int:
        """Sides of images are multiples of this inside."""
        return 4

    @property
    def least(self) -> int:
        """The shortest side inside."""
        return 2 * self.step

    @torch.no_grad()
    def __call__(self, image: Tensor, label: Any = None, style: Any = None) -> Tensor:
        """Image (N, 3, H, W) in [-1, 1] of any size to one of the same shape, range and device.

        ``label``: for StarGAN what ``label_vectors`` takes, for StarGAN v2 a domain by name or number. ``style``: for
        StarGAN v2 (N or 1, style_dim); without one, that of latent 0 in the label's domain. Sides that the network
        cannot halve are mirrored outwards and cut back. Raises StyleRigError for anything that does not fit.
        """
        check_image(image)
        padded, (rows, columns) = pad_by_reflection(image.to(self.device, torch.float32), self.step, self.least)
        return self.translate(padded, label, style)[:, :, rows, columns].to(image)

    @property
    def own_size(self) -> int | None:
        """Shorter side in pixels of the images that it was taught with, where what it sees in larger ones is too large for it."""
        return None

    def at_own_size(self, image: Tensor, label: Any = None, style: Any = None) -> Tensor:
        """As the call; but what is larger than ``own_size`` is seen in that size, and what changes there is brought to the image."""
        check_image(image)
        size, shorter = self.own_size, min(image.shape[2:])
        if size is None or shorter <= size:
            return self(image, label, style)
        own = [max(round(side * size / shorter), 1) for side in image.shape[2:]]
        small = F.interpolate(image, size=own, mode="bilinear", align_corners=False, antialias=True)
        change = self(small, label, style) - small
        return image + F.interpolate(change, size=image.shape[2:], mode="bicubic", align_corners=False)

    @abstractmethod
    def translate(self, image: Tensor, label: Any, style: Any) -> Tensor:
        """The look on images whose sides fit the network."""

    def run(self, *inputs: Tensor | None) -> Tensor:
        """The network's output, in evaluation or as tested; it is left as it was."""
        if not self.as_tested:
            return self.network(*inputs)
        buffers = {name: value.clone() for name, value in self.network.named_buffers()}  # running statistics go on in copies
        self.network.train()
        try:
            return torch.func.functional_call(self.network, buffers, inputs)
        finally:
            self.network.eval()


class Translator(Look):
    """pix2pix, CycleGAN and CUT: an image alone goes in."""

    config: UNetConfig | ResNetConfig

    def translate(self, image: Tensor, label: Any, style: Any) -> Tensor:
        refuse_label(self, label)
        refuse_style(self, style)
        if self.config.colourises:
            lightness = lightness_of(image)
            return coloured(lightness, self.run(lightness))
        if self.config.inputs == 1:
            image = (image * image.new_tensor(GREY)[:, None, None]).sum(dim=1, keepdim=True)
        return self.run(image).expand(-1, 3, -1, -1)


class UNetLook(Translator):
    config: UNetConfig
    network_class = UNetGenerator

    @property
    def step(self) -> int:
        return 2**self.config.levels

    @property
    def least(self) -> int:
        return self.step


class ResNetLook(Translator):
    network_class = ResNetGenerator


class StarGANLook(Look):
    config: StarGANConfig
    network_class = StarGANGenerator

    @property
    def own_size(self) -> int | None:
        """Published files do not say it."""
        size = self.metadata.get("size")
        return size if isinstance(size, int) and LEAST_OWN <= size <= LARGEST_SIDE else None

    def translate(self, image: Tensor, label: Any, style: Any) -> Tensor:
        refuse_style(self, style)
        return self.run(image, label_vectors(self.config, label, len(image)).to(image))


class StarGANv2Look(Look):
    config: StarGANv2Config
    network: StarGANv2
    network_class = StarGANv2

    @property
    def own_size(self) -> int | None:
        return self.config.image_size

    @property
    def step(self) -> int:
        return 2**self.config.downs

    def translate(self, image: Tensor, label: Any, style: Any) -> Tensor:
        if style is None:
            style = self.style(torch.zeros(1, self.config.latent_dim), domain=label)
        elif label is not None:
            domain_indices(self.domains, label, len(image))
        return self.run(image, checked_rows(style, self.config.style_dim, len(image)).to(image))

    @torch.no_grad()
    def style(self, z: Tensor, domain: Any) -> Tensor:
        """Styles (N, style_dim) of latents (N, latent_dim), normally distributed, in a domain by name or number."""
        z = checked_rows(z, self.config.latent_dim)
        return self.network.mapping_network(z.to(self.device), domain_indices(self.domains, domain, len(z)).to(self.device))

    @torch.no_grad()
    def style_of(self, image: Tensor, domain: Any) -> Tensor:
        """Styles (N, style_dim) of reference images (N, 3, H, W) in [-1, 1], which are brought to the trained size."""
        check_image(image)
        domain = domain_indices(self.domains, domain, len(image)).to(self.device)
        image, size = image.to(self.device, torch.float32), self.config.image_size
        if image.shape[2:] != (size, size):
            image = F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        return self.network.style_encoder(image, domain)


class CoGANLook(Look):
    """Makes images of all its domains from latents; it has no way back from an image to its latent."""

    config: CoGANConfig

    network_class = CoGANGenerator

    def translate(self, image: Tensor, label: Any, style: Any) -> Tensor:
        raise bad_image("a CoGAN makes images from latents, not from images", "Draw with it: look.draw(z).")

    @torch.no_grad()
    def draw(self, z: Tensor) -> Tensor:
        """Images (N, domains, 3, S, S) in [-1, 1] of latents (N, latent_dim), uniform in [-1, 1]: the same in every domain."""
        return self.run(checked_rows(z, self.config.latent_dim).to(self.device))


LOOKS: dict[type, type[Look]] = {
    UNetConfig: UNetLook,
    ResNetConfig: ResNetLook,
    StarGANConfig: StarGANLook,
    StarGANv2Config: StarGANv2Look,
    CoGANConfig: CoGANLook,
}


def make_look(config: LookConfig, network: nn.Module | None = None) -> Look:
    """A look of that configuration around ``network``, or around a new one with torch's first weights."""
    return LOOKS[type(config)](config, network)


def check_image(image: Any) -> None:
    hint = "Give a tensor (N, 3, H, W) with values in [-1, 1]."
    if not isinstance(image, Tensor) or not image.is_floating_point():
        raise bad_image("it is no tensor of floating-point numbers", hint)
    if image.dim() != 4 or image.shape[1] != 3:
        raise bad_image(f"its shape is {tuple(image.shape)}", hint)
    if 0 in image.shape or max(image.shape[2:]) > LARGEST_SIDE:
        raise bad_image(f"{image.shape[0]} images of {image.shape[3]} x {image.shape[2]} pixels", f"Sides are 1 to {LARGEST_SIDE} pixels.")
    if not torch.isfinite(image).all():
        raise bad_image("it has values that are not numbers", hint)


def checked_rows(rows: Any, width: int, count: int | None = None) -> Tensor:
    """``rows`` as (count, width) float32; one row serves for all. Raises StyleRigError."""
    hint = f"Give a tensor ({'N' if count is None else count}, {width})."
    if not isinstance(rows, Tensor) or rows.dim() != 2 or rows.shape[1] != width or not len(rows):
        raise bad_style(f"its shape is {tuple(rows.shape)}" if isinstance(rows, Tensor) else "it is no tensor", hint)
    if count is not None and len(rows) not in (1, count):
        raise bad_style(f"there are {len(rows)} of them", hint)
    if not torch.isfinite(rows).all():
        raise bad_style("it has values that are not numbers", hint)
    return rows.float().expand(count or len(rows), -1)


def refuse_label(look: Look, label: Any) -> None:
    if label is not None:
        raise bad_label(f"a look of the kind {look.kind} has no labels", "Leave the label out.")


def refuse_style(look: Look, style: Any) -> None:
    if style is not None:
        raise bad_style(f"a look of the kind {look.kind} has no styles", "Leave the style out.")
