"""The mapping's lesson: before any picture, w learns to hold what a scene's numbers mean.

A scene's numbers reach the picture by thresholds (an expression shows only above one), by choices (of
sixteen haircuts, the one of the highest number) and by turns (the light's), and rare ones reach few
pictures. Taught from pictures alone, a mapping is slow to find them. But what they mean is known
exactly, for as many scenes as one likes: so the mapping is first trained to make the rig's parameters
and the visible looks linear in w, each as large as any other. The linear readout that asks for it is
forgotten afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from models.errors import StyleRigError
from models.face import FaceModel, load_face_model
from models.generators import Generator
from models.generators.layers import FullyConnectedLayer
from models.generators.stylegan2 import MappingNetwork, normalize_2nd_moment
from models.studio.hair import STYLE_NAMES
from models.studio.looks import visible_looks
from models.studio.scene import latent_size, layout, scene_from_latent

BATCH = 512
POPULATION = 8192  # scenes that means, spreads and the first readout are taken from
LINEAR = 3.0  # bias that keeps a unit of spread 1 on the straight side of its leaky ReLU
THRESHOLDS = (0.8, 1.6)  # where units of the first layer bend whose numbers act above a threshold
CHOICES = (0.4, 0.9, 1.4, 1.9)  # the same for numbers of which the highest counts
LIGHT_SCALE = 1.5  # length of the first layer's random directions among the light's numbers
STRAIGHT = 1.0  # bias of later layers, in spreads
RATE, READOUT_RATE = 0.01, 0.001
RIDGE = 1e-5  # of the first readout, relative to the number of scenes
TELL_EVERY = 100  # steps


def meaning(latents: Tensor, face: FaceModel) -> Tensor:
    """What scene vectors (N, S) mean: (N, T) rig parameters, visible looks, and the numbers a rig does not describe."""
    scene, places = scene_from_latent(latents, face), layout(face)
    parameters, looks = scene.parameters, visible_looks(scene)
    beyond = (latents[:, places["pose"].start + 2 : places["pose"].stop], latents[:, places["light"]], latents[:, places["looks"]])
    pose = parameters.rotation[:, :2]
    known = (parameters.identity, parameters.reflectance, parameters.expression, parameters.light.flatten(1), pose)
    return torch.cat((*known, looks, *beyond), dim=1)


class Lesson:
    """Teaches the mapping of ``generator``, whose z begins with scene vectors of ``face``, on the processor.

    Raises StyleRigError when ``latent_dim`` is not the length of this version's scene vectors.
    """

    def __init__(self, generator: Generator, latent_dim: int, seed: int, face: FaceModel | None = None):
        self.generator, self.mapping = generator, generator.mapping
        self.face = face or load_face_model(None)
        if latent_dim != latent_size(self.face):
            raise StyleRigError(
                f"The mapping cannot be taught: the pictures' scenes have {latent_dim} numbers, the studio's have "
                f"{latent_size(self.face)}.",
                "Set mapping_lesson to 0, or use pictures that this version of models.studio rendered.",
                code="training",
            )
        self.latent_dim = latent_dim
        self.rng = torch.Generator().manual_seed(seed)
        z = self.draw(POPULATION)
        values = meaning(z[:, :latent_dim], self.face)
        self.mean, self.spread = values.mean(0), values.std(0).clamp(min=1e-3)
        self.begin(z)
        self.readout = nn.Linear(generator.w_dim, values.shape[1])
        self.fit_readout(z, self.wanted(z))

    def draw(self, count: int) -> Tensor:
        return torch.randn(count, self.generator.z_dim, generator=self.rng)

    def wanted(self, z: Tensor) -> Tensor:
        """Meanings (N, T) with mean 0 and spread 1."""
        return (meaning(z[:, : self.latent_dim], self.face) - self.mean) / self.spread

    @torch.no_grad()
    def begin(self, z: Tensor) -> None:
        """The first layer passes numbers on, bends those of expressions at thresholds and mixes the light's
        at random, as what light does is bent most; the others turn that, the last one all but straight."""
        first, *later = layers_of(self.mapping)
        weight, bias = self.first_units(first.weight.shape[0])
        first.weight.zero_()
        first.weight[:, : self.latent_dim] = weight / first.weight_gain
        first.bias.copy_(bias / first.bias_gain)
        x = first(normalize_2nd_moment(z))
        for layer in later:
            nn.init.orthogonal_(layer.weight, 1 / layer.weight_gain, self.rng)
            y = x @ layer.weight.mT * layer.weight_gain
            straight = torch.full_like(layer.bias, STRAIGHT)
            if layer is not later[-1]:
                straight[::2] = 0.0
            layer.bias.copy_((straight * y.std(0) - y.mean(0)) / layer.bias_gain)
            x = layer(x)

    def first_units(self, width: int) -> tuple[Tensor, Tensor]:
        """Weights (width, S) and biases (width,): numbers as they are, thresholds, mixtures of light."""
        places, one = layout(self.face), torch.eye(self.latent_dim)
        expression, light, looks = places["expression"], places["light"], places["looks"]
        styles, amounts = one[looks.start : looks.start + len(STYLE_NAMES)], one[looks.start + len(STYLE_NAMES) : looks.stop]
        passed = torch.cat((one[: expression.start], one[expression.stop : looks.start], amounts))
        bent = torch.cat((one[expression], one[places["mood"]]))
        units = [passed, amounts, *[bent] * len(THRESHOLDS), *[styles] * len(CHOICES)]
        biases = [torch.full((len(passed),), LINEAR), torch.full((len(amounts),), -THRESHOLDS[0])]
        biases += [torch.full((len(bent),), -at) for at in THRESHOLDS]
        biases += [torch.full((len(styles),), -at) for at in CHOICES]
        left = max(0, width - sum(map(len, units)))
        mixed = torch.zeros(left, self.latent_dim)
        directions = torch.randn(left, light.stop - light.start, generator=self.rng)
        mixed[:, light] = LIGHT_SCALE * nn.functional.normalize(directions, dim=1)
        biases.append(torch.randn(left, generator=self.rng))
        return torch.cat((*units, mixed))[:width], torch.cat(biases)[:width]

    @torch.no_grad()
    def fit_readout(self, z: Tensor, wanted: Tensor) -> None:
        """The best linear readout of the mapping as it begins (ridge regression)."""
        w = torch.cat((self.mapping.single(z), torch.ones(len(z), 1)), dim=1).double()
        square = w.mT @ w + RIDGE * len(z) * torch.eye(w.shape[1], dtype=w.dtype)
        solution = torch.linalg.solve(square, w.mT @ wanted.double()).float()
        self.readout.weight.copy_(solution[:-1].mT)
        self.readout.bias.copy_(solution[-1])

    def run(self, scenes: int) -> Iterator[tuple[int, float]]:
        """Learn from so many scenes; yields now and then how many were seen, and the mean squared error."""
        groups = ({"params": self.mapping.parameters(), "rate": RATE}, {"params": self.readout.parameters(), "rate": READOUT_RATE})
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        steps = max(1, scenes // BATCH)
        for step in range(steps):
            pace = min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * pace
            z = self.draw(BATCH)
            loss = (self.readout(self.mapping.single(z)) - self.wanted(z)).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            layers_of(self.mapping)[0].weight.grad[:, self.latent_dim :] = 0  # Adam would make much of free numbers' noise
            optimizer.step()
            if step % TELL_EVERY == TELL_EVERY - 1 or step == steps - 1:
                yield (step + 1) * BATCH, loss.item()
        self.settle()

    @torch.no_grad()
    def settle(self) -> None:
        """Give w a spread of 1, and let the styles of the mean w be 1, as those of a new generator are."""
        last = layers_of(self.mapping)[-1]
        z = self.draw(POPULATION)
        spread = self.mapping.single(z).std(0).mean()
        last.weight.div_(spread)  # leaky ReLU keeps factors
        last.bias.div_(spread)
        self.mapping.w_avg.copy_(self.mapping.single(z).mean(0))
        for name, layer in self.generator.synthesis.named_modules():
            if isinstance(layer, FullyConnectedLayer) and name.endswith("affine"):
                layer.bias.sub_(layer.weight @ self.mapping.w_avg * (layer.weight_gain / layer.bias_gain))

    @torch.no_grad()
    def explained(self, count: int = POPULATION) -> dict[str, float]:
        """How much of what new scenes mean can be read linearly from w: R², by kind of control."""
        z = self.draw(count)
        wanted = self.wanted(z)
        self.fit_readout(z, wanted)
        z = self.draw(count)
        wanted = self.wanted(z)
        r2 = 1 - (self.readout(self.mapping.single(z)) - wanted).square().mean(0) / wanted.var(0).clamp(min=1e-6)
        sizes = {"identity": len(self.face.identity), "reflectance": len(self.face.albedo),
                 "expression": len(self.face.expression), "light": 27, "pose": 2,
                 "looks": visible_looks(scene_from_latent(z[:1, : self.latent_dim], self.face)).shape[1]}
        parts = r2[: sum(sizes.values())].split(list(sizes.values()))
        return {name: part.mean().item() for name, part in zip(sizes, parts, strict=True)}


def layers_of(mapping: MappingNetwork) -> list[FullyConnectedLayer]:
    return [getattr(mapping, f"fc{index}") for index in range(mapping.num_layers)]


def teach_mapping(generator: Generator, latent_dim: int, scenes: int, seed: int, tell: Callable[[str], None]) -> None:
    """The whole lesson, told line by line. The same seed gives the same mapping, but for rounding."""
    lesson = Lesson(generator, latent_dim, seed)
    for seen, error in lesson.run(scenes):
        tell(f"mapping  {seen} of {scenes} scenes  error {error:.4f}")
    tell("linear in w (R²): " + "  ".join(f"{name} {value:.3f}" for name, value in lesson.explained().items()))
