"""Training RigNet: the published networks by rerendering, ours also in parameters and through images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from models.device_rng import DeviceRng
from models.face import FaceModel
from models.face.alignment import project_landmarks
from models.face.parameters import RigParameters
from models.generators.semantic_mapping.scene_edits import draw_pairs, draw_scenes
from models.rigging.local_blend import face_area
from models.rigging.rignet import CONTROLS, METHODS, SIMULTANEOUS, PaperRigNet, RigNets
from models.training.core.trainer import Progress
from models.training.rig.config import RigNetSettings, RigPlan
from models.training.rig.latent_pool import downsample
from models.training.rig.losses import exchange, landmark_term, parameter_term, photometric_term
from models.training.rig.reconstruction import held_out, training_rows
from models.training.rig.rignet_data import RigNetData
from models.training.rig.run import RigTask, Run

LINEAR_SAMPLES = 4096
RIDGE = 0.02  # of the number of samples, in standardised units
SAME = 1e-5  # requested values closer than this to the own are not an edit
MEASURED = 96  # samples that the methods are compared on


def train_rignet(run: Run, data: RigNetData, key: str) -> RigNets:
    """Train all networks; the method is left to ``choose_method``."""
    plan, nets = run.plan, start_networks(data, run.plan)
    for name, parts in (*CONTROLS.items(), ("simultaneous", SIMULTANEOUS)):
        train_network(f"rignet-{name}", PaperTask(run, data, nets, nets.published(name), parts, plan.paper), key)
    fit_linear(data, nets, exact=plan.joint.scenes > 0)
    train_network("rignet-joint", JointTask(run, data, nets, plan.joint), key)
    train_network("rignet-finish", ImageFinetuneTask(run, data, nets, plan.finish), key)
    return nets.eval().requires_grad_(False)


def train_network(name: str, task: RigNetTask, key: str) -> None:
    """One of the networks; stages without an end are left out."""
    if not task.stage.is_off:
        task.run.trainer(name, task, task.stage, key).run()


def start_networks(data: RigNetData, plan: RigPlan) -> RigNets:
    """All networks, untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        nets = RigNets.create(data.reconstruction, data.face, hidden=plan.joint.hidden, localize_expressions=plan.localize_expressions)
    return nets.to(data.pool.w.device)


class RigNetTask(RigTask):
    """Trains ``network``, a part of ``nets``."""

    stage: RigNetSettings

    def __init__(self, run: Run, data: RigNetData, nets: RigNets, network: nn.Module, settings: RigNetSettings):
        super().__init__(run, network, settings)
        self.data, self.nets, self.face = data, nets, data.face


class PaperTask(RigNetTask):
    """The published losses for one network; the simultaneous one edits one of its components at a time."""

    def __init__(self, run: Run, data: RigNetData, nets: RigNets, network: nn.Module, parts: tuple[str, ...], settings: RigNetSettings):
        super().__init__(run, data, nets, network, settings)
        self.parts = parts

    def batch(self, progress: Progress, rng: DeviceRng) -> tuple[Tensor, Tensor, tuple[str, ...]]:
        """Rows of the pool to edit, those to take parts from, and which parts: each sample is once source and once target."""
        first, second = (self.data.sample_rows(max(1, self.count // 2), rng) for _ in range(2))
        return torch.cat((first, second)), torch.cat((second, first)), (self.parts[progress.steps % len(self.parts)],)

    def losses(self, batch: tuple[Tensor, Tensor, tuple[str, ...]], rng: DeviceRng) -> dict[str, Tensor]:
        (sources, targets, edited_parts), data, stage, face = batch, self.data, self.stage, self.face
        p_w, p_v = data.parameters[sources], data.parameters[targets]
        target = exchange(face, p_w, p_v, edited_parts)
        w = data.pool.w[sources]
        code = self.nets.code(w)
        found = data.reconstruct(w + self.nets.w_scale * self.change(code, p_w, target))
        rec = self.change(code, p_w, p_w).square().mean()
        others = tuple(part for part in ("identity", "reflectance", *SIMULTANEOUS) if part not in edited_parts)
        terms = {"rec": stage.rec * rec}
        terms["edit"] = stage.edit * self.rerender(exchange(face, p_v, found, edited_parts), targets, rng)
        terms["consist"] = stage.consist * self.rerender(exchange(face, p_w, found, others), sources, rng)
        if stage.parameter:
            terms["parameter"] = stage.parameter * parameter_term(found.vector(), target.vector(), data.weights)
        return terms

    def change(self, code: Tensor, own: RigParameters, target: RigParameters) -> Tensor:
        """The published d(w, p), in standardised codes; it is told nothing of what the head is like now."""
        return cast(PaperRigNet, self.network).step(code, self.nets.standardised(target, self.parts))

    def rerender(self, parameters: RigParameters, rows: Tensor, rng: DeviceRng) -> Tensor:
        """Landmark and photometric terms of parameters against the samples at ``rows``."""
        pool, stage = self.data.pool, self.stage
        few = rng.randperm(len(rows))[: stage.render_batch]
        landmarks = landmark_term(self.face, parameters, pool.landmarks[rows])
        photometric = photometric_term(self.face, parameters[few], pool.images(rows[few]))
        return stage.photometric * photometric + stage.landmark * landmarks


@torch.no_grad()
def fit_linear(data: RigNetData, nets: RigNets, exact: bool) -> None:
    """Fill the linear step of our network: ridge regression of codes on all parameters.

    ``exact`` takes the studio's scenes for the codes, otherwise the pool's plain ones.
    """
    if exact:
        w, own = draw_scenes(data.generator, data.face, LINEAR_SAMPLES, DeviceRng(0))
    else:
        rows = torch.nonzero(data.pool.plain[: training_rows(data.pool)]).flatten()
        w, own = data.pool.w[rows], data.parameters[rows]
    controls = nets.standardised(own, SIMULTANEOUS)
    values = torch.cat((controls, own.identity, own.reflectance, w.new_ones(len(w), 1)), dim=1).double()
    codes = nets.code(w).flatten(1).double()
    damping = RIDGE * len(w) * torch.eye(values.shape[1], dtype=torch.float64, device=w.device)
    slopes = torch.linalg.solve(values.mT @ values + damping, values.mT @ codes).float()
    nets.joint.linear.copy_(slopes[: controls.shape[1]].unflatten(1, (nets.layers, nets.width)))


@dataclass(eq=False)
class Edits:
    """Samples (N) of the pool and edits of them: their own parameters, the requested ones, and w before and after."""

    rows: Tensor
    own: RigParameters
    target: RigParameters
    chosen: Tensor  # (N, 3) bool: whether pose, expression, light are edited
    w: Tensor
    edited: Tensor


class JointTask(RigNetTask):
    """Our network's edits, judged by the reconstruction and by exact pairs."""

    def __init__(self, run: Run, data: RigNetData, nets: RigNets, settings: RigNetSettings):
        super().__init__(run, data, nets, nets.joint, settings)

    def losses(self, batch: None, rng: DeviceRng) -> dict[str, Tensor]:
        data, stage = self.data, self.stage
        terms: dict[str, Tensor] = {}
        if stage.parameter or stage.landmark or stage.change:
            edits = self.sample_edits(rng)
            found, landmarks = data.reconstruct(edits.edited), project_landmarks(self.face, edits.target)[..., :2]
            terms |= {
                "parameter": stage.parameter * parameter_term(found.vector(), edits.target.vector(), data.weights),
                "landmark": stage.landmark * landmark_term(self.face, found, landmarks),
                "change": stage.change * self.change_term(edits),
            }
        if stage.scenes:
            terms["scenes"] = stage.scenes * self.scene_pairs(rng)
        return terms

    def sample_edits(self, rng: DeviceRng) -> Edits:
        rows = self.data.sample_rows(self.count, rng)
        own, w = self.data.parameters[rows], self.data.pool.w[rows]
        target, chosen = self.data.sample_edits(own, rng)
        return Edits(rows, own, target, chosen, w, self.edit(w, own, target))

    def edit(self, w: Tensor, own: RigParameters, target: RigParameters) -> Tensor:
        return self.nets(w, own, target, self.data.reconstruction, self.face, "joint")

    def change_term(self, edits: Edits) -> Tensor:
        """Mean squared change of w, in its standard deviations."""
        return ((edits.edited - edits.w) / self.nets.w_scale).square().mean()

    def scene_pairs(self, rng: DeviceRng) -> Tensor:
        """Squared distance to the code of the same person after the edit, in units of the mean change.

        The network is given what an artist will give it: the portrait's own values as the reconstruction
        estimates them, and the true ones of what the edit changes. Half of the codes are drawn towards the
        mean, as truncated portraits are; these make the same step.
        """
        data, count = self.data, self.count
        with torch.no_grad():
            w, before, target_w, after = draw_pairs(data.generator, self.face, count, rng)
            psi = 0.5 + 0.5 * rng.rand(count, 1, 1)
            psi[rng.rand(count) < 0.5] = 1.0
            start = data.generator.w_avg + psi * (w - data.generator.w_avg)
            own = data.reconstruct(start)
            target = requested_parameters(own, before, after, psi.flatten() == 1, self.face)
            goal = start + target_w - w
            unit = ((target_w - w) / self.nets.w_scale).square().mean()
        return ((self.edit(start, own, target) - goal) / self.nets.w_scale).square().mean() / unit


def requested_parameters(own: RigParameters, before: RigParameters, after: RigParameters, exact: Tensor, face: FaceModel) -> RigParameters:
    """What to ask of heads whose estimated parameters are ``own`` for the step from ``before`` to ``after``.

    What the step changes is asked for by its true value where the head is ``exact`` (N,) bool the one
    before, else by the same difference; all else stays as estimated.
    """
    estimated, step = own.vector(), after.vector() - before.vector()
    requested = torch.where(exact.unsqueeze(1), after.vector(), estimated + step)
    target = RigParameters.from_vector(torch.where(step.abs() < SAME, estimated, requested), face)
    return target.replace(expression=target.expression.clamp(0, 1))


class ImageFinetuneTask(JointTask):
    """The same edits judged in the generator's images, by the landmark network and by what must stay."""

    def losses(self, batch: None, rng: DeviceRng) -> dict[str, Tensor]:
        data, stage = self.data, self.stage
        edits = self.sample_edits(rng)
        with self.run.autocast():
            portraits, alpha = (part.float() for part in data.portraits(edits.edited))
            _, detected = data.detector(portraits)
        # What is not edited shall be detected as before, which also cancels the detector's own error.
        same = (edits.target.vector() - edits.own.vector()).abs() < SAME
        goal = torch.where(same, data.pool.parameters[edits.rows], edits.target.vector())
        terms = {
            "detected": stage.parameter * parameter_term(detected, goal, data.weights),
            "change": stage.change * self.change_term(edits),
            "preservation": stage.preservation * self.preservation_loss(edits, portraits, alpha),
        }
        if stage.scenes:
            terms["scenes"] = stage.scenes * self.scene_pairs(rng)
        return terms

    def preservation_loss(self, edits: Edits, portraits: Tensor, alpha: Tensor) -> Tensor:
        """Difference outside the face: of colour under expression edits, of the matte under light edits."""
        pool, size = self.data.pool, self.data.pool.thumbnails.shape[-1]
        areas = [face_area(self.face, parameters, size) for parameters in (edits.own, edits.target)]
        outside = 1 - max_pool2d(torch.maximum(*areas), 5, 1, 2).clamp(0, 1)
        colour = (downsample(portraits, size) - pool.images(edits.rows)) * outside
        matte = (downsample(alpha, size) - pool.alpha[edits.rows].float() / 255) * outside
        still = (~edits.chosen[:, 0]).float().view(-1, 1, 1, 1)
        unlit = still * (~edits.chosen[:, 2]).float().view(-1, 1, 1, 1)
        return (colour.square() * unlit).mean() + (matte.square() * still).mean()


@torch.no_grad()
def choose_method(data: RigNetData, nets: RigNets, method: str, seed: int) -> dict[str, float]:
    """Set the method that ships: the given one, or for "best" the one whose images agree best with the requested edits.

    Measured on samples held out from training, by the landmark network. Returns each method's weighted squared error.
    """
    rows = held_out(data.pool)[:MEASURED]
    own = data.parameters[rows]
    target, _ = data.sample_edits(own, DeviceRng(seed, rows.device))
    errors = {}
    for name in METHODS:
        edited = nets(data.pool.w[rows], own, target, data.reconstruction, data.face, name)
        errors[name] = round(float(parameter_term(data.detect(edited), target.vector(), data.weights)), 4)
    nets.method = min(errors, key=errors.__getitem__) if method == "best" else method
    return errors
