"""What each term of the published losses is for: the same training without it, and the steering baseline.

Pose and light are edited as published, w + d(w, p), by networks trained alike but for one thing.
Reported in the paper (section 5): without L_rec the result leaves the space of faces, without
L_consist the pose drifts under an edit of light, and steering (a step of w from a step of p, without
w itself) does not change geometry.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from models.colour import BACKDROP
from models.errors import StyleRigError
from models.evaluation.generator.detection import detection_rate
from models.face.parameters import RigParameters
from models.io.atomic_write import write_atomic
from models.io.images import image_grid, save_image
from models.perception.face_regressor import Estimator
from models.rigging.rignet import CONTROLS, PaperRigNet, RigNets
from models.training.core.report import table
from models.training.rig.config import RigNetSettings
from models.training.rig.losses import exchange
from models.training.rig.pipeline import open_data
from models.training.rig.reconstruction import held_out, training_rows
from models.training.rig.rignet import PaperTask
from models.training.rig.rignet_data import BATCH, RigNetData
from models.training.rig.run import Run, key_of

EDITS = ("pose", "light")
PEOPLE, SHOWN = 48, 6
COMPONENTS = 128  # directions that span the codes of faces
LEGEND = """Slopes: achieved over requested change of yaw and of the light's first band. Pose drift: root mean
square change of yaw and pitch under an edit of light. Off manifold: how far the edited codes lie outside
the span of the faces' codes, 1 for faces. Faces found: by OpenCV's frontal cascade."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of the table: changed settings, and whether the network sees w."""

    name: str
    changes: dict
    steering: bool = False


VARIANTS = (
    Variant("as published", {}),
    Variant("without L_rec", {"rec": 0.0}),
    Variant("without L_consist", {"consist": 0.0}),
    Variant("steering: no w", {}, steering=True),
    Variant("as published, AdaDelta", {"optimizer": "adadelta", "learning_rate": 0.01}),
)


class Steering(nn.Module):
    """A change of w (N, L, 512) from a change of p (N, C) alone."""

    def __init__(self, layers: int, width: int, size: int):
        super().__init__()
        self.shape = (layers, width)
        self.linear = nn.Linear(size, layers * width, bias=False)
        nn.init.normal_(self.linear.weight, std=0.01)

    def forward(self, step: Tensor) -> Tensor:
        return self.linear(step).unflatten(1, self.shape)


class SteeringTask(PaperTask):
    """The published losses for steering."""

    def change(self, code: Tensor, own: RigParameters, wanted: RigParameters) -> Tensor:
        return self.network(self.nets.standardised(wanted, self.parts) - self.nets.standardised(own, self.parts))


def ablate(run: Run, generator_path: Path, images: Path | None, landmarks: Path | None = None) -> Path:
    """Train all variants for the steps of the settings' ``paper``, measure them, write ablations.md and .json.

    Earlier stages are taken from the folder, and made where they are missing. Returns the page.
    """
    if run.plan.paper.is_off:
        raise StyleRigError("The ablations have neither steps nor minutes.", 'Set them in the table "paper".', code="bad_config")
    data, measured = open_data(run, generator_path, images, landmarks)
    judge, judge_name = find_judge(run, data)
    bench = Bench.open(data, judge)
    figures, examples = {}, []
    for variant in VARIANTS:
        tasks = {edit: train_variant(run, data, variant, edit, measured["inputs"]) for edit in EDITS}
        figures[variant.name] = bench.measure(tasks)
        examples.append(bench.examples(tasks))
        run.say(f"{variant.name}: {figures[variant.name]}")
    page = run.output / "ablations.md"
    if run.world.is_main:
        save_image(run.output / "ablations.jpg", image_grid(torch.cat(examples), len(examples[0])))
        write_atomic(run.output / "ablations.json", (json.dumps(figures, indent=1) + "\n").encode())
        write_atomic(page, page_text(figures, judge_name, run.plan.paper).encode())
    run.world.barrier()
    return page


def find_judge(run: Run, data: RigNetData) -> tuple[Estimator, str]:
    """The judge beside the rig, else the landmark network, and which it is."""
    path = run.output / f"{run.plan.name}-judge.safetensors"
    if path.is_file():
        return Estimator.load(path).to(run.world.device), "the judge, which took no part in training"
    return data.detector, "the landmark network of the training, as there is no judge"


def train_variant(run: Run, data: RigNetData, variant: Variant, edit: str, inputs: str) -> PaperTask:
    """One network of one variant, trained or found trained."""
    settings, parts = run.plan.paper.replace(**variant.changes), CONTROLS[edit]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.plan.seed)
        nets = RigNets.create(data.reconstruction, data.face)
        size = sum(nets.sizes[part] for part in parts)
        network = (Steering if variant.steering else PaperRigNet)(nets.layers, nets.width, size)
    nets.to(run.world.device)
    network.to(run.world.device)
    task = (SteeringTask if variant.steering else PaperTask)(run, data, nets, network, parts, settings)
    name = f"ablation-{'-'.join(variant.name.lower().replace(',', '').replace(':', '').split())}-{edit}"
    run.trainer(name, task, settings, key_of(settings, run.plan.seed, variant.name, inputs, run.world.size)).run()
    network.eval().requires_grad_(False)
    return task


@dataclasses.dataclass(eq=False)
class Bench:
    """People held out, to whom every variant gives the pose and the light of others."""

    data: RigNetData
    judge: Estimator
    w: Tensor  # (N, L, 512)
    own: RigParameters
    others: RigParameters
    before: RigParameters  # what the judge regresses from the unedited images
    span: Tensor  # (L · 512, COMPONENTS) orthonormal
    residual: float  # of codes held out

    @classmethod
    @torch.no_grad()
    def open(cls, data: RigNetData, judge: Estimator) -> Bench:
        pool, first = data.pool, min(training_rows(data.pool), len(data.pool) - 1)
        rows = held_out(pool)[:PEOPLE]
        network = data.reconstruction
        span = span_of(((pool.w[:first] - network.w_mean) / network.w_scale).flatten(1))
        own = data.parameters[rows]
        bench = cls(data, judge, pool.w[rows], own, own[torch.arange(len(rows), device=rows.device).roll(1)], own, span, 1.0)
        bench.before = bench.regress(bench.w)
        bench.residual = bench.off_manifold(bench.w)
        return bench

    def portraits(self, w: Tensor) -> tuple[Tensor, Tensor]:
        parts = [self.data.portraits(part) for part in w.split(BATCH)]
        images, mattes = (torch.cat(part) for part in zip(*parts, strict=True))
        return images, mattes

    def regress(self, w: Tensor) -> RigParameters:
        """What the judge regresses from the images of w."""
        found = torch.cat([self.judge(part)[1] for part in self.portraits(w)[0].split(BATCH)])
        return RigParameters.from_vector(found, self.data.face)

    def off_manifold(self, w: Tensor) -> float:
        """Root mean square of what lies outside the span of faces' codes, in standardised codes."""
        network = self.data.reconstruction
        codes = ((w - network.w_mean) / network.w_scale).flatten(1)
        return float((codes - (codes @ self.span) @ self.span.mT).square().mean().sqrt())

    def edit(self, task: PaperTask) -> Tensor:
        target = exchange(self.data.face, self.own, self.others, task.parts)
        return self.w + task.nets.w_scale * task.change(task.nets.code(self.w), self.own, target)

    @torch.no_grad()
    def measure(self, tasks: dict[str, PaperTask]) -> dict[str, float | None]:
        """The columns of the table."""
        edited = {edit: self.edit(task) for edit, task in tasks.items()}
        after = {edit: self.regress(w) for edit, w in edited.items()}
        requested_yaw = self.others.rotation[:, 0] - self.own.rotation[:, 0]
        requested_light = (self.others.light - self.own.light)[:, 1:4].flatten()
        drift = (after["light"].rotation - self.before.rotation)[:, :2].rad2deg()
        images, alpha = self.portraits(torch.cat(list(edited.values())))
        rate = detection_rate([torch.cat((images - (1 - alpha) * BACKDROP, alpha), dim=1).cpu() * 2 - 1])
        return {
            "yaw_slope": slope(requested_yaw, (after["pose"].rotation - self.before.rotation)[:, 0]),
            "light_slope": slope(requested_light, (after["light"].light - self.before.light)[:, 1:4].flatten()),
            "pose_drift_degrees": round(float(drift.square().mean().sqrt()), 3),
            "off_manifold": round(max(map(self.off_manifold, edited.values())) / max(self.residual, 1e-6), 3),
            "faces_found": None if rate is None else round(rate, 3),
        }

    @torch.no_grad()
    def examples(self, tasks: dict[str, PaperTask]) -> Tensor:
        """Images (M, 3, R, R): people under the pose, then under the light of others."""
        return self.portraits(torch.cat([self.edit(task)[:SHOWN] for task in tasks.values()]))[0]


def span_of(codes: Tensor) -> Tensor:
    """The directions (C, K), orthonormal, that codes (N, C) vary most along; the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for the random projection that it begins with
        _, _, span = torch.svd_lowrank(codes.cpu(), min(COMPONENTS, *codes.shape), niter=2)
    return span.to(codes.device)


def slope(requested: Tensor, found: Tensor) -> float:
    """Of the line through the origin."""
    return round(float((requested * found).sum() / requested.square().sum().clamp(min=1e-9)), 3)


def page_text(figures: dict[str, dict], judge: str, settings: RigNetSettings) -> str:
    """The figures as Markdown."""
    names = list(next(iter(figures.values())))
    limit = f"{settings.steps} steps" if settings.steps else f"{settings.minutes:g} minutes"
    cell = lambda value: "–" if value is None else f"{value:g}"
    rows = [(variant, *(cell(values[name]) for name in names)) for variant, values in figures.items()]
    lines = ["# Ablations", "", f"Published networks for pose and light, {limit} each; judged by {judge}.", ""]
    lines += [*table(("", *(name.replace("_", " ") for name in names)), rows), "", LEGEND, ""]
    return "\n".join([*lines, "![rows as in the table: other poses, other lights](ablations.jpg)", ""])
