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

from models.errors import StyleRigError
from models.evaluation.generator.detection import detection_rate
from models.face.parameters import RigParameters
from models.io.atomic_write import write_atomic
from models.io.images import save_image
from models.perception.face_regressor import Estimator
from models.rigging.frame_renderer import BACKDROP
from models.rigging.rignet import CONTROLS, PaperRigNet, RigNets
from models.training.rig.config import RigNetSettings
from models.training.rig.loop import Loop, wait_for_all
from models.training.rig.losses import exchange, rows_of
from models.training.rig.pipeline import Run, key_of, open_studio
from models.training.rig.reconstruction import held_out, training_rows
from models.training.rig.rignet import PaperStep, Studio

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
    Variant("as published, AdaDelta", {"optimizer": "adadelta", "rate": 0.01}),
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


class SteeringStep(PaperStep):
    """The published losses for steering."""

    def change(self, code: Tensor, own: RigParameters, wanted: RigParameters) -> Tensor:
        return self.network(self.nets.standardised(wanted, self.parts) - self.nets.standardised(own, self.parts))


def ablate(run: Run, generator_path: Path, pictures: Path | None, landmarks: Path | None = None) -> Path:
    """Train all variants for the steps of the settings' ``paper``, measure them, write ablations.md and .json.

    Earlier stages are taken from the folder, and made where they are missing. Returns the page.
    """
    if run.config.paper.off:
        raise StyleRigError("The ablations have neither steps nor minutes.", 'Set them in the table "paper".', code="bad_config")
    studio, measured = open_studio(run, generator_path, pictures, landmarks)
    judge, by = find_judge(run, studio)
    bench = Bench.open(studio, judge)
    table, rows = {}, []
    for variant in VARIANTS:
        steps = {edit: train_variant(run, studio, variant, edit, measured["inputs"]) for edit in EDITS}
        table[variant.name] = bench.measure(steps)
        rows.append(bench.sheet(steps))
        run.report(f"{variant.name}: {table[variant.name]}")
    page = run.output / "ablations.md"
    if run.world.leads:
        save_image(run.output / "ablations.jpg", torch.cat(rows, dim=1).cpu())
        write_atomic(run.output / "ablations.json", (json.dumps(table, indent=1) + "\n").encode())
        write_atomic(page, page_text(table, by, run.config.paper).encode())
    wait_for_all(run.world)
    return page


def find_judge(run: Run, studio: Studio) -> tuple[Estimator, str]:
    """The judge beside the rig, else the landmark network, and which it is."""
    path = run.output / f"{run.config.name}-judge.safetensors"
    if path.is_file():
        return Estimator.load(path).to(run.world.device), "the judge, which took no part in training"
    return studio.detector, "the landmark network of the training, as there is no judge"


def train_variant(run: Run, studio: Studio, variant: Variant, edit: str, inputs: str) -> PaperStep:
    """One network of one variant, trained or found trained."""
    settings: RigNetSettings = dataclasses.replace(run.config.paper, **variant.changes)
    parts = CONTROLS[edit]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.config.seed)
        nets = RigNets.create(studio.reconstruction, studio.face)
        size = sum(nets.sizes[part] for part in parts)
        network = (Steering if variant.steering else PaperRigNet)(nets.layers, nets.width, size)
    nets.to(run.world.device)
    network.to(run.world.device)
    step = (SteeringStep if variant.steering else PaperStep)(studio, nets, network, parts, settings)
    name = f"ablation-{'-'.join(variant.name.lower().replace(',', '').replace(':', '').split())}-{edit}"
    key = key_of(settings, run.config.seed, variant.name, inputs, run.world.size)
    Loop(name, run.output, network, settings, run.config.seed, key, run.report, run.world).run(step)
    network.eval().requires_grad_(False)
    return step


@dataclasses.dataclass(eq=False)
class Bench:
    """People held out, to whom every variant gives the pose and the light of others."""

    studio: Studio
    judge: Estimator
    w: Tensor  # (N, L, 512)
    own: RigParameters
    others: RigParameters
    before: RigParameters  # what the judge sees in the unedited pictures
    span: Tensor  # (L · 512, COMPONENTS) orthonormal
    residual: float  # of codes held out

    @classmethod
    @torch.no_grad()
    def open(cls, studio: Studio, judge: Estimator) -> Bench:
        pool, first = studio.pool, min(training_rows(studio.pool), len(studio.pool) - 1)
        rows = held_out(pool)[:PEOPLE]
        network = studio.reconstruction
        span = span_of(((pool.w[:first] - network.w_mean) / network.w_scale).flatten(1))
        own = rows_of(studio.parameters, rows)
        bench = cls(studio, judge, pool.w[rows], own, own[torch.arange(len(rows), device=rows.device).roll(1)], own, span, 1.0)
        bench.before = bench.seen(bench.w)
        bench.residual = bench.off(bench.w)
        return bench

    def pictures(self, w: Tensor) -> tuple[Tensor, Tensor]:
        parts = [self.studio.generator.foreground(part) for part in w.split(16)]
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))

    def seen(self, w: Tensor) -> RigParameters:
        colour, alpha = self.pictures(w)
        found = torch.cat([self.judge(part)[1] for part in (colour + (1 - alpha) * BACKDROP).split(16)])
        return RigParameters.from_vector(found, self.studio.face)

    def off(self, w: Tensor) -> float:
        """Root mean square of what lies outside the span of faces' codes, in standardised codes."""
        network = self.studio.reconstruction
        codes = ((w - network.w_mean) / network.w_scale).flatten(1)
        return float((codes - (codes @ self.span) @ self.span.mT).square().mean().sqrt())

    def edited(self, step: PaperStep) -> Tensor:
        wanted = exchange(self.studio.face, self.own, self.others, step.parts)
        return self.w + step.nets.w_scale * step.change(step.nets.code(self.w), self.own, wanted)

    @torch.no_grad()
    def measure(self, steps: dict[str, PaperStep]) -> dict[str, float]:
        """The columns of the table."""
        edited = {edit: self.edited(step) for edit, step in steps.items()}
        seen = {edit: self.seen(w) for edit, w in edited.items()}
        asked_yaw = self.others.rotation[:, 0] - self.own.rotation[:, 0]
        asked_light = (self.others.light - self.own.light)[:, 1:4].flatten()
        drift = (seen["light"].rotation - self.before.rotation)[:, :2].rad2deg()
        colour, alpha = self.pictures(torch.cat(list(edited.values())))
        rate = detection_rate([torch.cat((colour, alpha), dim=1).cpu() * 2 - 1])
        return {
            "yaw_slope": slope(asked_yaw, (seen["pose"].rotation - self.before.rotation)[:, 0]),
            "light_slope": slope(asked_light, (seen["light"].light - self.before.light)[:, 1:4].flatten()),
            "pose_drift_degrees": round(float(drift.square().mean().sqrt()), 3),
            "off_manifold": round(max(map(self.off, edited.values())) / max(self.residual, 1e-6), 3),
            "faces_found": None if rate is None else round(rate, 3),
        }

    @torch.no_grad()
    def sheet(self, steps: dict[str, PaperStep]) -> Tensor:
        """A row of pictures (3, R, W): people under the pose, then under the light of others."""
        colour, alpha = self.pictures(torch.cat([self.edited(step)[:SHOWN] for step in steps.values()]))
        return torch.cat(list(colour + (1 - alpha) * BACKDROP), dim=2)


def span_of(codes: Tensor) -> Tensor:
    """The directions (C, K), orthonormal, that codes (N, C) vary most along; the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for the random projection that it begins with
        _, _, span = torch.svd_lowrank(codes.cpu(), min(COMPONENTS, *codes.shape), niter=2)
    return span.to(codes.device)


def slope(asked: Tensor, found: Tensor) -> float:
    """Of the line through the origin."""
    return round(float((asked * found).sum() / asked.square().sum().clamp(min=1e-9)), 3)


def page_text(table: dict[str, dict], by: str, settings: RigNetSettings) -> str:
    """The table as Markdown."""
    names = list(next(iter(table.values())))
    limit = f"{settings.steps} steps" if settings.steps else f"{settings.minutes:g} minutes"
    lines = ["# Ablations", "", f"Published networks for pose and light, {limit} each; read by {by}.", ""]
    lines += [f"| | {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * (len(names) + 1) + "|"]
    for variant, figures in table.items():
        lines.append(f"| {variant} | {' | '.join('–' if figures[name] is None else f'{figures[name]:g}' for name in names)} |")
    return "\n".join([*lines, "", LEGEND, "", "![rows as in the table: other poses, other lights](ablations.jpg)", ""])
