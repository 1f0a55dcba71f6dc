"""Teaching the network that says what z means: the studio's own rules for people, learned without a picture."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from models.device_rng import DeviceRng
from models.face import FaceModel, load_face_model
from models.generators.person import PersonConfig, PersonNetwork, features_of_choices
from models.io.atomic_write import write_atomic
from models.synthetic.description import CHOICES, description
from models.synthetic.person import latent_of, person_from_latent
from models.training.core.config import Stage
from models.training.core.trainer import LossTask, Plan, Progress, Trainer

SET = 911  # seed of the people that the network learns from: none of them is photographed
CHUNK = 500
BATCH, LEARNING_RATE = 512, 1e-3
RIDGE, LOGIT = 10.0, 6.0  # of the linear beginning: damping, and the logit that a choice is aimed at


@dataclass
class People:
    """N people: numbers (N, P), choices (N, C) int64, amounts (N, A), identity (N, K) and reflectance (N, B)."""

    numbers: torch.Tensor
    choices: torch.Tensor
    amounts: torch.Tensor
    identity: torch.Tensor
    reflectance: torch.Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def config(self) -> PersonConfig:
        """What such people are made of."""
        count = lambda values: values.shape[1]
        sizes = tuple(len(names) for names in CHOICES.values())
        return PersonConfig(count(self.numbers), sizes, count(self.amounts), count(self.identity), count(self.reflectance))


def people(latents: torch.Tensor, face: FaceModel) -> People:
    """The people of latents (N, P)."""
    each = [person_from_latent(latent, face) for latent in latents]
    described = [description(person) for person in each]
    stack = lambda values: torch.from_numpy(np.stack(values).astype(np.float32))
    return People(
        latents,
        torch.from_numpy(np.stack([choices for choices, _ in described])),
        stack([amounts for _, amounts in described]),
        stack([person.identity for person in each]),
        stack([person.reflectance for person in each]),
    )


def chunk(first: int, head: str) -> People:
    """``CHUNK`` people of the set from number ``first`` on."""
    torch.set_num_threads(1)
    face = load_face_model(head)
    return people(torch.stack([latent_of(SET, first + index, face) for index in range(CHUNK)]), face)


def draw_people(count: int, head: str, folder: Path, workers: int = 2) -> People:
    """``count`` people, kept in ``folder``/people.pt for the next time."""
    path = folder / "people.pt"
    if path.is_file() and len(kept := People(**torch.load(path, weights_only=True))) == count:
        return kept
    with ProcessPoolExecutor(workers) as pool:
        starts = range(0, count, CHUNK)
        parts = list(tqdm(pool.map(chunk, starts, [head] * len(starts)), total=len(starts), desc="people", unit_scale=CHUNK))
    drawn = People(*(torch.cat([getattr(part, name) for part in parts])[:count] for name in People.__dataclass_fields__))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda temporary: torch.save(vars(drawn), temporary))
    return drawn


class PeopleTask(LossTask):
    """A network that describes people as the studio's rules do; the last twentieth of them only measures it."""

    max_gradient_norm = None

    def __init__(self, drawn: People, seed: int):
        self.drawn, self.count = drawn, len(drawn) - max(len(drawn) // 20, 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = begun(drawn)
        self.scales = [values.std(dim=0).clamp(min=0.05) for values in (drawn.amounts, drawn.identity, drawn.reflectance)]
        self.modules = {"network": self.network}
        self.optimizers = {"network": torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99), fused=True)}

    def batch(self, progress: Progress, rng: DeviceRng) -> torch.Tensor:
        """Rows of the people."""
        return rng.randint(0, self.count, BATCH)

    def losses(self, batch: torch.Tensor, rng: DeviceRng) -> dict[str, torch.Tensor]:
        return losses(self.network, self.drawn, batch, self.scales)


def train_person_network(drawn: People, steps: int, folder: Path, seed: int = 0, say: Callable[[str], None] = print) -> PersonNetwork:
    """Train with checkpoints in ``folder``, say what it is worth, and freeze it; one that is finished is read from there."""
    task = PeopleTask(drawn, seed)
    stage = Stage(batch=BATCH, steps=steps, learning_rate=LEARNING_RATE)
    trainer = Trainer("people", task, Plan(seed=seed), [stage], folder, {"steps": steps, "people": len(drawn)}, say=say, restart=True)
    trainer.run()
    figures = held_out_figures(task.network, drawn, len(drawn) - task.count, task.scales)
    say("  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    return task.network.requires_grad_(False)


@torch.no_grad()
def begun(drawn: People) -> PersonNetwork:
    """A network whose straight part is the best linear one (ridge regression) and whose bent part begins silent."""
    network = PersonNetwork(drawn.config())
    choices = features_of_choices(drawn.choices, drawn.amounts[:, :0], network.config.choices)
    wanted = torch.cat((LOGIT * choices, drawn.amounts, drawn.identity, drawn.reflectance), dim=1).double()
    inputs = F.pad(drawn.numbers.double(), (0, 1), value=1.0)
    square = inputs.T @ inputs + RIDGE * torch.eye(inputs.shape[1])
    weights = torch.linalg.solve(square, inputs.T @ wanted).float()
    network.straight.weight.copy_(weights[:-1].T)
    network.straight.bias.copy_(weights[-1])
    nn.init.zeros_(network.out.weight)
    return network


def losses(network: PersonNetwork, drawn: People, rows: torch.Tensor, scales: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Cross entropy of the choices, error of the rest in standard deviations."""
    logits, *values = network(drawn.numbers[rows])
    truths = (drawn.amounts, drawn.identity, drawn.reflectance)
    names = ("amounts", "identity", "reflectance")
    wrong = {
        name: 3 * ((value - truth[rows]) / scale).abs().mean()
        for name, value, truth, scale in zip(names, values, truths, scales, strict=True)
    }
    return {"choices": sum(F.cross_entropy(part, drawn.choices[rows, index]) for index, part in enumerate(logits)), **wrong}


@torch.no_grad()
def held_out_figures(network: PersonNetwork, drawn: People, held_out: int, scales: list[torch.Tensor]) -> dict[str, float]:
    """On people held out: the share of right choices by name, the mean error of the rest in standard deviations."""
    rows = torch.arange(len(drawn) - held_out, len(drawn))
    logits, *_ = network(drawn.numbers[rows])
    right = {
        name: (part.argmax(dim=1) == drawn.choices[rows, index]).float().mean().item()
        for index, (name, part) in enumerate(zip(CHOICES, logits, strict=True))
    }
    return right | {name: value.item() / 3 for name, value in losses(network, drawn, rows, scales).items() if name != "choices"}
