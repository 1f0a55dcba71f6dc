"""Training RigNet: the published networks by rerendering, ours also in parameters and through pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from models.face import FaceModel
from models.face.alignment import project_landmarks
from models.face.parameters import RigParameters
from models.generators import Generator
from models.generators.semantic_mapping.scene_edits import draw_pairs, draw_scenes
from models.perception.face_regressor import Estimator
from models.rigging.frame_renderer import BACKDROP
from models.rigging.local_blend import face_area
from models.rigging.reconstruction import Reconstruction
from models.rigging.rignet import CONTROLS, METHODS, SIMULTANEOUS, RigNets
from models.training.core.distributed import World
from models.training.core.random import Draws
from models.training.rig.config import RigNetSettings, TrainingConfig
from models.training.rig.edit_sampling import ACTIVE, draw_wishes
from models.training.rig.latent_pool import Pool
from models.training.rig.loop import Loop, Report, mixed
from models.training.rig.losses import exchange, landmark_term, parameter_term, part_weights, photometric_term, rows_of
from models.training.rig.reconstruction import held_out, training_rows

LINEAR_SAMPLES = 4096
RIDGE = 0.02  # of the number of samples, in standardised units
SAME = 1e-5  # wanted values closer than this to the own are not an edit


@dataclass(eq=False)
class Studio:
    """All that RigNet learns from; the networks in it are frozen."""

    generator: Generator
    detector: Estimator
    reconstruction: Reconstruction
    face: FaceModel
    pool: Pool
    parameters: RigParameters  # of the pool's codes, as the reconstruction reads them
    precision: str = "float32"  # of the networks that draw and read pictures: or "bf16"

    @classmethod
    def open(cls, generator, detector, reconstruction, face, pool, precision: str = "float32") -> Studio:
        with torch.no_grad():
            parameters = reconstruction(pool.w, face)
        return cls(generator, detector, reconstruction, face, pool, parameters, precision)

    @property
    def weights(self) -> Tensor:
        """Weight (P,) of squared differences of parameters."""
        return part_weights(self.face, self.reconstruction.spread, self.detector.reliability)

    @property
    def active(self) -> Tensor:
        """The expressions (E,) that can be seen in pictures at all."""
        place = RigParameters.slices(self.face)["expression"]
        return self.detector.reliability[place] > ACTIVE

    def read(self, w: Tensor) -> RigParameters:
        return self.reconstruction(w, self.face)

    def see(self, w: Tensor) -> Tensor:
        """Parameters (N, P) that the landmark network sees in the pictures of w (N, L, 512)."""
        seen = []
        for part in w.split(16):
            colour, alpha = self.generator.foreground(part)
            seen.append(self.detector(colour + (1 - alpha) * BACKDROP)[1])
        return torch.cat(seen)

    def draw(self, count: int, random: Draws) -> Tensor:
        """Rows of the pool for training."""
        return random.whole(0, training_rows(self.pool), count)


def train_rignet(studio: Studio, config: TrainingConfig, folder: Path, key: str, report: Report, world: World) -> RigNets:
    """Train all networks; the method is left to ``choose_method``."""
    nets = start_networks(studio, config)
    run = lambda name, module, settings, step: (
        None if settings.off else Loop(name, folder, module, settings, config.seed, key, report, world).run(step)
    )
    for name, parts in (*CONTROLS.items(), ("simultaneous", SIMULTANEOUS)):
        network = nets.simultaneous if name == "simultaneous" else nets.paper[name]
        run(f"rignet-{name}", network, config.paper, PaperStep(studio, nets, network, parts, config.paper))
    fit_linear(studio, nets, exact=config.joint.scenes > 0)
    run("rignet-joint", nets.joint, config.joint, JointStep(studio, nets, config.joint))
    run("rignet-finish", nets.joint, config.finish, FinishStep(studio, nets, config.finish))
    return nets.eval().requires_grad_(False)


def start_networks(studio: Studio, config: TrainingConfig) -> RigNets:
    """All networks, untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        nets = RigNets.create(studio.reconstruction, studio.face, hidden=config.joint.hidden, localize_expressions=config.keep)
    return nets.to(studio.pool.w.device)


class PaperStep:
    """The published losses for one network; the simultaneous one edits one of its components at a time."""

    def __init__(self, studio: Studio, nets: RigNets, network: nn.Module, parts: tuple[str, ...], settings: RigNetSettings):
        self.studio, self.nets, self.network, self.parts, self.settings = studio, nets, network, parts, settings

    def __call__(self, number: int, random: Draws) -> dict[str, Tensor]:
        studio, settings, face = self.studio, self.settings, self.studio.face
        first, second = studio.draw(settings.batch // 2, random), studio.draw(settings.batch // 2, random)
        # Two-way: each sample is once the source and once the target.
        sources, targets = torch.cat((first, second)), torch.cat((second, first))
        p_w, p_v = rows_of(studio.parameters, sources), rows_of(studio.parameters, targets)
        edited_parts = (self.parts[number % len(self.parts)],)
        wanted = exchange(face, p_w, p_v, edited_parts)
        w = studio.pool.w[sources]
        code = self.nets.code(w)
        found = studio.read(w + self.nets.w_scale * self.change(code, p_w, wanted))
        rec = self.change(code, p_w, p_w).square().mean()
        others = tuple(part for part in ("identity", "reflectance", *SIMULTANEOUS) if part not in edited_parts)
        terms = {"rec": settings.rec * rec}
        terms["edit"] = settings.edit * self.rerender(exchange(face, p_v, found, edited_parts), targets, random)
        terms["consist"] = settings.consist * self.rerender(exchange(face, p_w, found, others), sources, random)
        if settings.parameter:
            terms["parameter"] = settings.parameter * parameter_term(found.vector(), wanted.vector(), studio.weights)
        return terms

    def change(self, code: Tensor, own: RigParameters, wanted: RigParameters) -> Tensor:
        """The published d(w, p), in standardised codes; it is told nothing of what the head is like now."""
        return self.network.step(code, self.nets.standardised(wanted, self.parts))

    def rerender(self, parameters: RigParameters, rows: Tensor, random: Draws) -> Tensor:
        """Landmark and photometric terms of parameters against the samples at ``rows``."""
        studio, settings = self.studio, self.settings
        few = random.order(len(rows))[: settings.render_batch]
        images = studio.pool.images(rows[few])
        landmarks = landmark_term(studio.face, parameters, studio.pool.landmarks[rows])
        photometric = photometric_term(studio.face, rows_of(parameters, few), images)
        return settings.photometric * photometric + settings.landmark * landmarks


@torch.no_grad()
def fit_linear(studio: Studio, nets: RigNets, exact: bool) -> None:
    """Fill the linear step of our network: ridge regression of codes on all parameters.

    ``exact`` takes the studio's scenes for the codes, otherwise the pool's plain ones.
    """
    if exact:
        w, own = draw_scenes(studio.generator, studio.face, LINEAR_SAMPLES, Draws(0))
    else:
        rows = torch.nonzero(studio.pool.plain[: training_rows(studio.pool)]).flatten()
        w, own = studio.pool.w[rows], rows_of(studio.parameters, rows)
    controls = nets.standardised(own, SIMULTANEOUS)
    values = torch.cat((controls, own.identity, own.reflectance, w.new_ones(len(w), 1)), dim=1).double()
    codes = nets.code(w).flatten(1).double()
    damping = RIDGE * len(w) * torch.eye(values.shape[1], dtype=torch.float64, device=w.device)
    slopes = torch.linalg.solve(values.mT @ values + damping, values.mT @ codes).float()
    nets.joint.linear.copy_(slopes[: controls.shape[1]].unflatten(1, (nets.layers, nets.width)))


class JointStep:
    """Our network's edits, judged by the reconstruction and by exact pairs."""

    def __init__(self, studio: Studio, nets: RigNets, settings: RigNetSettings):
        self.studio, self.nets, self.settings = studio, nets, settings

    def __call__(self, number: int, random: Draws) -> dict[str, Tensor]:
        studio, settings = self.studio, self.settings
        terms = {}
        if settings.parameter or settings.landmark or settings.change:
            rows = studio.draw(settings.batch, random)
            own = rows_of(studio.parameters, rows)
            wanted, _ = draw_wishes(own, studio.parameters, studio.face, studio.active, random)
            w = studio.pool.w[rows]
            edited = self.edit(w, own, wanted)
            found = studio.read(edited)
            terms |= {
                "parameter": settings.parameter * parameter_term(found.vector(), wanted.vector(), studio.weights),
                "landmark": settings.landmark * self.landmarks(found, wanted),
                "change": settings.change * ((edited - w) / self.nets.w_scale).square().mean(),
            }
        if settings.scenes:
            terms["scenes"] = settings.scenes * self.scene_pairs(random)
        return terms

    def edit(self, w: Tensor, own: RigParameters, wanted: RigParameters) -> Tensor:
        return self.nets(w, own, wanted, self.studio.reconstruction, self.studio.face, "joint")

    def landmarks(self, found: RigParameters, wanted: RigParameters) -> Tensor:
        return landmark_term(self.studio.face, found, project_landmarks(self.studio.face, wanted)[..., :2])

    def scene_pairs(self, random: Draws) -> Tensor:
        """Squared distance to the code of the same person after the edit, in units of the mean change.

        The network is told what it will be told by an artist: the portrait's own values as the
        reconstruction reads them, and the true ones of what the edit changes. Half of the codes are
        drawn towards the mean, as truncated portraits are; these make the same step.
        """
        studio, count = self.studio, self.settings.batch
        with torch.no_grad():
            w, before, wanted_w, after = draw_pairs(studio.generator, studio.face, count, random)
            psi = 0.5 + 0.5 * random.uniform(count, 1, 1)
            psi[random.uniform(count) < 0.5] = 1.0
            start = studio.generator.w_avg + psi * (w - studio.generator.w_avg)
            own = studio.read(start)
            wanted = told(own, before, after, psi.flatten() == 1, studio.face)
            goal = start + wanted_w - w
            unit = ((wanted_w - w) / self.nets.w_scale).square().mean()
        return ((self.edit(start, own, wanted) - goal) / self.nets.w_scale).square().mean() / unit


def told(own: RigParameters, before: RigParameters, after: RigParameters, exact: Tensor, face: FaceModel) -> RigParameters:
    """What to ask of heads that read ``own`` for the step from ``before`` to ``after``.

    What the step changes is asked for by its true value where the head is ``exact`` (N,) bool the one
    before, else by the same difference; all else stays as read.
    """
    read, step = own.vector(), after.vector() - before.vector()
    asked = torch.where(exact.unsqueeze(1), after.vector(), read + step)
    wanted = RigParameters.from_vector(torch.where(step.abs() < SAME, read, asked), face)
    return wanted.replace(expression=wanted.expression.clamp(0, 1))


class FinishStep(JointStep):
    """The same edits judged in the generator's pictures, by the landmark network and by what must stay."""

    def __call__(self, number: int, random: Draws) -> dict[str, Tensor]:
        studio, settings = self.studio, self.settings
        rows = studio.draw(settings.batch, random)
        own = rows_of(studio.parameters, rows)
        wanted, chosen = draw_wishes(own, studio.parameters, studio.face, studio.active, random)
        w = studio.pool.w[rows]
        edited = self.edit(w, own, wanted)
        with mixed(studio.precision, w.device):
            colour, alpha = (part.float() for part in studio.generator.foreground(edited))
            portrait = colour + (1 - alpha) * BACKDROP
            _, seen = studio.detector(portrait)
        # What is not edited shall read as it did before, which also cancels the reader's own error.
        before = studio.pool.parameters[rows]
        same = (wanted.vector() - own.vector()).abs() < SAME
        goal = torch.where(same, before, wanted.vector())
        terms = {
            "seen": settings.parameter * parameter_term(seen, goal, studio.weights),
            "change": settings.change * ((edited - w) / self.nets.w_scale).square().mean(),
            "kept": settings.picture * self.kept(rows, portrait, alpha, own, wanted, chosen),
        }
        if settings.scenes:
            terms["scenes"] = settings.scenes * self.scene_pairs(random)
        return terms

    def kept(self, rows: Tensor, portrait: Tensor, alpha: Tensor, own: RigParameters, wanted: RigParameters, chosen: Tensor) -> Tensor:
        """Difference outside the face: of colour under expression edits, of the matte under light edits."""
        pool, size = self.studio.pool, self.studio.pool.pictures.shape[-1]
        areas = [face_area(self.studio.face, parameters, size) for parameters in (own, wanted)]
        outside = 1 - max_pool2d(torch.maximum(*areas), 5, 1, 2).clamp(0, 1)
        colour = (smaller(portrait, size) - pool.images(rows)) * outside
        matte = (smaller(alpha, size) - pool.alpha[rows].float() / 255) * outside
        still = (~chosen[:, 0]).float().view(-1, 1, 1, 1)
        unlit = still * (~chosen[:, 2]).float().view(-1, 1, 1, 1)
        return (colour.square() * unlit).mean() + (matte.square() * still).mean()


def smaller(image: Tensor, size: int) -> Tensor:
    return interpolate(image, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


@torch.no_grad()
def choose_method(studio: Studio, nets: RigNets, wanted_method: str, seed: int) -> dict[str, float]:
    """Set the method that ships: the given one, or the one whose pictures agree best with the wishes.

    Measured on samples held out from training, by the landmark network. Returns each method's error.
    """
    rows = held_out(studio.pool)[:96]
    random = Draws(seed, rows.device)
    own = rows_of(studio.parameters, rows)
    wanted, _ = draw_wishes(own, studio.parameters, studio.face, studio.active, random)
    errors = {}
    for method in METHODS:
        edited = nets(studio.pool.w[rows], own, wanted, studio.reconstruction, studio.face, method)
        errors[method] = picture_error(studio, edited, wanted)
    nets.method = min(errors, key=errors.get) if wanted_method == "best" else wanted_method
    return errors


def picture_error(studio: Studio, w: Tensor, wanted: RigParameters) -> float:
    """Weighted squared error of the parameters seen in the pictures of codes."""
    return round(float(parameter_term(studio.see(w), wanted.vector(), studio.weights)), 4)
