"""The four VAEs of DiscoFaceGAN: who it is, expression, light and rotation, each learned from numbers alone.

After the training the encoders are dropped; the decoders turn N(0, 1) into what the studio draws. The loss is the published
one (two-stage VAE, Dai and Wipf 2019, its first stage): KL divergence, and a Gaussian likelihood whose one scale is learned.
An error counts by how far it moves the face: the studio's coefficients of shape are independent, and as equals they could not be
told in fewer numbers than they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from models.colour import BACKDROP, linear_to_srgb
from models.device_rng import DeviceRng
from models.face import FaceModel, load_face_model
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.generators.disco import FACTORS, DiscoConfig, FactorDecoder, dense, factor_values, new_decoders, parameters_of
from models.io.images import image_grid, save_image
from models.io.weights_file import fill_network, read_network, save_network
from models.training.core.config import Stage
from models.training.core.distributed import World
from models.training.core.trainer import LossTask, Plan, Progress, Trainer
from models.training.disco.population import draw_heads

LEAST_STD = 1e-3  # of a coefficient that hardly changes
HELD_OUT = 20  # every so many heads one only measures
COLUMNS, TILE = 8, 128  # of the sheet
KIND = "factors"


class FactorVAE(nn.Module):
    """Encoder and decoder of one factor, of standardised coefficients; ``weight`` (C,) is what an error of each counts."""

    weight: Tensor

    def __init__(self, decoder: FactorDecoder, numbers: int, hidden: int, weight: Tensor):
        super().__init__()
        self.numbers = numbers
        self.encoder, self.decoder = dense(len(weight), hidden, 2 * numbers), decoder
        self.register_buffer("weight", weight)
        self.log_scale = nn.Parameter(torch.zeros(()))  # of the likelihood, one for all coefficients

    def encode(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of z (N, Z) for coefficients (N, C)."""
        mean, log_variance = self.encoder(self.weight * values).chunk(2, dim=1)
        return mean, log_variance

    def loss(self, values: Tensor, noise: Tensor) -> Tensor:
        """Negative evidence bound of coefficients (N, C), mean over the batch; ``noise`` (N, Z) is N(0, 1)."""
        mean, log_variance = self.encode(values)
        found = self.decoder(mean + (0.5 * log_variance).exp() * noise)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        error = (self.weight * (values - found) / self.log_scale.exp()).square()
        likelihood = (0.5 * error + self.log_scale + 0.5 * math.log(2 * math.pi)).sum(dim=1)
        return (divergence + likelihood).mean()


class FactorsTask(LossTask):
    """All four at once: their losses are summed, their optimizers are their own."""

    max_gradient_norm = None

    def __init__(self, heads: RigParameters, face: FaceModel, config: DiscoConfig, stage: Stage, world: World, seed: int):
        self.count, self.device = world.share(stage.batch), world.device
        held = torch.arange(len(heads)) % HELD_OUT == HELD_OUT - 1
        values = {name: factor_values(heads, name) for name in FACTORS}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.decoders = new_decoders(config)
            for name, factor in values.items():
                self.decoder(name).mean.copy_(factor[~held].mean(dim=0))
                self.decoder(name).std.copy_(factor[~held].std(dim=0).clamp(min=LEAST_STD))
            weights = {name: visible(name, self.decoder(name).std, face) for name in FACTORS}
            self.vaes = nn.ModuleDict({name: FactorVAE(self.decoder(name), config.numbers[name], config.hidden[name], weights[name])
                                       for name in FACTORS})  # fmt: skip
        self.vaes.to(self.device)
        standardised = {name: self.standardised(name, factor.to(self.device)) for name, factor in values.items()}
        self.train = {name: factor[~held] for name, factor in standardised.items()}
        self.held_out = {name: factor[held] for name, factor in standardised.items()}
        self.modules = dict(self.vaes.items())
        self.optimizers = {name: torch.optim.Adam(vae.parameters(), lr=stage.learning_rate, fused=True) for name, vae in self.vaes.items()}

    def decoder(self, name: str) -> FactorDecoder:
        return cast(FactorDecoder, self.decoders[name])

    def vae(self, name: str) -> FactorVAE:
        return cast(FactorVAE, self.vaes[name])

    def standardised(self, name: str, values: Tensor) -> Tensor:
        return (values - self.decoder(name).mean) / self.decoder(name).std

    def batch(self, progress: Progress, rng: DeviceRng) -> Tensor:
        """Rows of the heads."""
        return rng.randint(0, len(self.train["identity"]), self.count)

    def losses(self, batch: Tensor, rng: DeviceRng) -> dict[str, Tensor]:
        noise = {name: rng.randn(len(batch), self.vae(name).numbers) for name in FACTORS}
        return {name: self.vae(name).loss(self.train[name][batch], noise[name]) for name in FACTORS}

    def write_samples(self, progress: Progress) -> dict[str, float]:
        """What the four are worth on heads held out."""
        return {f"{name}_{key}": value for name in FACTORS for key, value in self.figures(name).items()}

    @torch.no_grad()
    def figures(self, name: str, samples: int = 4096) -> dict[str, float]:
        """``explained``: the share of visible variance that a reconstruction has, 0–1; ``spread``: how much samples of the prior
        vary, 1 as much as the studio's; ``correlation``: mean difference of their coefficients' correlations, 0 is the studio's."""
        vae = self.vae(name)
        real, found = vae.weight * self.held_out[name], vae.weight * vae.decoder(vae.encode(self.held_out[name])[0])
        drawn = vae.weight * vae.decoder(DeviceRng(0, self.device).randn(samples, vae.numbers))
        every = vae.weight * torch.cat((self.train[name], self.held_out[name]))
        apart = (torch.corrcoef(drawn.T) - torch.corrcoef(every.T)).nan_to_num().abs().mean()
        explained = 1 - (real - found).square().sum() / (real - real.mean(dim=0)).square().sum()
        return {
            "explained": float(explained),
            "spread": float((drawn.var(dim=0).sum() / every.var(dim=0).sum()).sqrt()),
            "correlation": float(apart),
        }


def train_factors(
    config: DiscoConfig,
    heads: int,
    stage: Stage,
    output: Path,
    seed: int = 0,
    world: World | None = None,
    say: Callable[[str], None] = print,
) -> nn.ModuleDict:
    """Train, or continue in ``output``/factors; writes factors.safetensors (the decoders alone) and a sheet, factors.jpg.

    Returns the decoders, frozen. Those that are finished are read from their file.
    """
    world, path = world or World("cpu"), output / "factors.safetensors"
    face = load_face_model(config.head)
    task = FactorsTask(draw_heads(heads, config.head, output), face, config, stage, world, seed)
    key = {"heads": heads, "stage": stage.model_dump(), "numbers": config.numbers, "hidden": config.hidden, "parts": config.parts}
    trainer = Trainer("factors", task, Plan(seed=seed), [stage], output / "factors", key, world, say, restart=True)
    finished = trainer.finished and path.is_file()
    trainer.run()
    if world.is_main and not finished:
        figures = {name: task.figures(name) for name in FACTORS}
        header = {"heads": heads, "figures": figures, "minutes": round(trainer.progress.seconds / 60, 2), "head": config.head,
                  "parts": config.parts, "numbers": config.numbers, "hidden": config.hidden}  # fmt: skip
        save_network(task.decoders, path, KIND, header)
        save_image(output / "factors.jpg", factor_sheet(task, config, face))
    world.barrier()
    return load_decoders(path, config)


def visible(name: str, std: Tensor, face: FaceModel) -> Tensor:
    """What an error of each standardised coefficient (C,) of a factor counts, mean square 1 in each part.

    Of shape and skin how far a deviation moves the whole head; of an expression, which may move no more than a lid, how far it
    moves the point that it moves most.
    """
    moves = {
        "identity": lambda: face.identity.square().sum(dim=2).mean(dim=1).sqrt(),
        "reflectance": lambda: face.albedo.square().sum(dim=2).mean(dim=1).sqrt(),
        "expression": lambda: face.expression.norm(dim=2).amax(dim=1),
    }
    parts = [moves[part]() if part in moves else None for part in FACTORS[name]]
    sizes = [len(std) if part is None else len(part) for part in parts]
    weights = [torch.ones(size) if part is None else part * of for part, size, of in zip(parts, sizes, std.split(sizes), strict=True)]
    return torch.cat([part / part.square().mean().sqrt() for part in weights])


def load_decoders(path: Path, config: DiscoConfig) -> nn.ModuleDict:
    """The decoders of a file that ``train_factors`` wrote, frozen; raises StyleRigError where they are no such decoders."""
    _, state = read_network(path, KIND)
    return fill_network(new_decoders(config), state, path)


@torch.no_grad()
def factor_sheet(task: FactorsTask, config: DiscoConfig, face: FaceModel) -> np.ndarray:
    """Heads held out, the same reconstructed, samples of all priors, and of each alone, the others at rest: (H, W, 3) uint8."""
    real = {name: values[:COLUMNS] for name, values in task.held_out.items()}
    count = len(real["identity"])
    rebuilt = {name: task.vae(name).decoder(task.vae(name).encode(values)[0]) for name, values in real.items()}
    rng = DeviceRng(1, task.device)
    drawn = {name: task.vae(name).decoder(rng.randn(count, task.vae(name).numbers)) for name in FACTORS}
    rest = {name: torch.zeros_like(values) for name, values in drawn.items()}
    rows = {"studio": real, "reconstructed": rebuilt, "prior": drawn, **{f"{name} alone": rest | {name: drawn[name]} for name in FACTORS}}
    tiles = [tile for values in rows.values() for tile in pictures(values, task, config, face)]
    labels = [label if column == 0 else "" for label in rows for column in range(count)]
    return image_grid(tiles, count, gap=2, labels=labels)


def pictures(values: dict[str, Tensor], task: FactorsTask, config: DiscoConfig, face: FaceModel) -> list[Tensor]:
    """Rendered heads (3, TILE, TILE) 0–1 of standardised coefficients by factor, over grey."""
    raw = torch.cat([(task.decoder(name).mean + task.decoder(name).std * values[name]).cpu() for name in FACTORS], dim=1)
    shown = render(face.proxy or face, parameters_of(raw, config.parts, face), TILE)
    mixed = linear_to_srgb(shown["colour"]) * shown["mask"] + BACKDROP * (1 - shown["mask"])
    return list(mixed.permute(0, 3, 1, 2))
