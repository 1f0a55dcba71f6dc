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
from models.face.rasterizer import render
from models.generators import Generator
from models.stylerig.estimator import Estimator
from models.stylerig.reconstruction import Reconstruction
from models.stylerig.rig import BACKDROP
from models.stylerig.rignet import CONTROLS, METHODS, SIMULTANEOUS, RigNets
from models.stylerig.training.config import RigNetSettings, TrainingConfig
from models.stylerig.training.loop import Loop, Report
from models.stylerig.training.losses import (
    exchange,
    landmark_term,
    parameter_term,
    part_weights,
    photometric_term,
    rows_of,
)
from models.stylerig.training.pool import Pool
from models.stylerig.training.reconstruction import training_rows
from models.stylerig.training.scenes import draw_pairs, draw_scenes
from models.stylerig.training.wishes import ACTIVE, draw_wishes

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

    @classmethod
    def open(cls, generator, detector, reconstruction, face, pool) -> Studio:
        with torch.no_grad():
            parameters = reconstruction(pool.w, face)
        return cls(generator, detector, reconstruction, face, pool, parameters)

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

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Rows of the pool for training."""
        return torch.randint(training_rows(self.pool), (count,), generator=random)


def train_rignet(studio: Studio, config: TrainingConfig, folder: Path, key: str, report: Report) -> RigNets:
    """Train all networks; the method is left to ``choose_method``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        nets = RigNets.create(studio.reconstruction, studio.face, hidden=config.gated.hidden)
    for name, parts in (*CONTROLS.items(), ("simultaneous", SIMULTANEOUS)):
        network = nets.simultaneous if name == "simultaneous" else nets.paper[name]
        loop = Loop(f"rignet-{name}", folder, network, config.paper, config.seed, key, report)
        loop.run(PaperStep(studio, nets, network, parts, config.paper))
    fit_linear(studio, nets, exact=config.gated.scenes > 0)
    loop = Loop("rignet-gated", folder, nets.gated, config.gated, config.seed, key, report)
    loop.run(GatedStep(studio, nets, config.gated))
    loop = Loop("rignet-finish", folder, nets.gated, config.finish, config.seed, key, report)
    loop.run(FinishStep(studio, nets, config.finish))
    return nets.eval().requires_grad_(False)


class PaperStep:
    """The published losses for one network; the simultaneous one edits one of its components at a time."""

    def __init__(self, studio: Studio, nets: RigNets, network: nn.Module, parts: tuple[str, ...], settings: RigNetSettings):
        self.studio, self.nets, self.network, self.parts, self.settings = studio, nets, network, parts, settings

    def __call__(self, number: int, random: torch.Generator) -> dict[str, Tensor]:
        studio, settings, face = self.studio, self.settings, self.studio.face
        first, second = studio.draw(settings.batch // 2, random), studio.draw(settings.batch // 2, random)
        # Two-way: each sample is once the source and once the target.
        sources, targets = torch.cat((first, second)), torch.cat((second, first))
        p_w, p_v = rows_of(studio.parameters, sources), rows_of(studio.parameters, targets)
        edited_parts = (self.parts[number % len(self.parts)],)
        wanted = exchange(face, p_w, p_v, edited_parts)
        w = studio.pool.w[sources]
        code = self.nets.code(w)
        found = studio.read(w + self.nets.w_scale * self.network.step(code, self.nets.standardised(wanted, self.parts)))
        rec = self.network.step(code, self.nets.standardised(p_w, self.parts)).square().mean()
        others = tuple(part for part in ("identity", "reflectance", *SIMULTANEOUS) if part not in edited_parts)
        terms = {"rec": settings.rec * rec}
        terms |= self.rerender("edit", exchange(face, p_v, found, edited_parts), targets, random)
        terms |= self.rerender("consist", exchange(face, p_w, found, others), sources, random)
        if settings.parameter:
            terms["parameter"] = settings.parameter * parameter_term(found.vector(), wanted.vector(), studio.weights)
        return terms

    def rerender(self, name: str, parameters: RigParameters, rows: Tensor, random: torch.Generator) -> dict[str, Tensor]:
        """Landmark and photometric terms of parameters against the samples at ``rows``."""
        studio, settings = self.studio, self.settings
        few = torch.randperm(len(rows), generator=random)[: settings.render_batch]
        images = studio.pool.images(rows[few])
        landmarks = landmark_term(studio.face, parameters, studio.pool.landmarks[rows])
        photometric = photometric_term(studio.face, rows_of(parameters, few), images)
        return {name: settings.photometric * photometric + settings.landmark * landmarks}


@torch.no_grad()
def fit_linear(studio: Studio, nets: RigNets, exact: bool) -> None:
    """Fill the linear steps of our networks: ridge regression of codes on all parameters.

    ``exact`` takes the studio's scenes for the codes, otherwise the pool's plain ones.
    """
    if exact:
        w, own = draw_scenes(studio.generator, studio.face, LINEAR_SAMPLES, torch.Generator().manual_seed(0))
    else:
        rows = torch.nonzero(studio.pool.plain[: training_rows(studio.pool)]).flatten()
        w, own = studio.pool.w[rows], rows_of(studio.parameters, rows)
    controls = nets.standardised(own, SIMULTANEOUS)
    values = torch.cat((controls, own.identity, own.reflectance, torch.ones(len(w), 1)), dim=1).double()
    codes = nets.code(w).flatten(1).double()
    damping = RIDGE * len(w) * torch.eye(values.shape[1], dtype=torch.float64)
    slopes = torch.linalg.solve(values.mT @ values + damping, values.mT @ codes).float()
    start = 0
    for network in nets.gated.values():
        size = network.linear.shape[0]
        network.linear.copy_(slopes[start : start + size].unflatten(1, network.linear.shape[1:]))
        start += size


class GatedStep:
    """Our networks, composed as at inference, judged by the reconstruction and by exact pairs."""

    def __init__(self, studio: Studio, nets: RigNets, settings: RigNetSettings):
        self.studio, self.nets, self.settings = studio, nets, settings

    def __call__(self, number: int, random: torch.Generator) -> dict[str, Tensor]:
        studio, settings = self.studio, self.settings
        rows = studio.draw(settings.batch, random)
        own = rows_of(studio.parameters, rows)
        wanted, _ = draw_wishes(own, studio.parameters, studio.face, studio.active, random)
        w = studio.pool.w[rows]
        edited = self.edit(w, own, wanted)
        found = studio.read(edited)
        terms = {
            "parameter": settings.parameter * parameter_term(found.vector(), wanted.vector(), studio.weights),
            "landmark": settings.landmark * self.landmarks(found, wanted),
            "change": settings.change * ((edited - w) / self.nets.w_scale).square().mean(),
        }
        if settings.scenes:
            terms["scenes"] = settings.scenes * self.scene_pairs(random)
        return terms

    def edit(self, w: Tensor, own: RigParameters, wanted: RigParameters) -> Tensor:
        return self.nets(w, own, wanted, self.studio.reconstruction, self.studio.face, "gated")

    def landmarks(self, found: RigParameters, wanted: RigParameters) -> Tensor:
        return landmark_term(self.studio.face, found, project_landmarks(self.studio.face, wanted)[..., :2])

    def scene_pairs(self, random: torch.Generator) -> Tensor:
        """Distance, in standardised codes, to the code of the same person after the edit."""
        studio = self.studio
        w, own, wanted_w, wanted = draw_pairs(studio.generator, studio.face, self.settings.batch, random)
        return ((self.edit(w, own, wanted) - wanted_w) / self.nets.w_scale).square().mean()


class FinishStep(GatedStep):
    """The same edits judged in the generator's pictures, by the landmark network and by what must stay."""

    def __call__(self, number: int, random: torch.Generator) -> dict[str, Tensor]:
        studio, settings = self.studio, self.settings
        rows = studio.draw(settings.batch, random)
        own = rows_of(studio.parameters, rows)
        wanted, chosen = draw_wishes(own, studio.parameters, studio.face, studio.active, random)
        w = studio.pool.w[rows]
        edited = self.edit(w, own, wanted)
        colour, alpha = studio.generator.foreground(edited)
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

    def kept(self, rows: Tensor, portrait: Tensor, alpha: Tensor, own: RigParameters, wanted: RigParameters,
             chosen: Tensor) -> Tensor:
        """Difference outside the face: of colour under expression edits, of the matte under light edits."""
        pool, size = self.studio.pool, self.studio.pool.pictures.shape[-1]
        outside = 1 - face_area(self.studio.face, own, wanted, size)
        colour = (smaller(portrait, size) - pool.images(rows)) * outside
        matte = (smaller(alpha, size) - pool.alpha[rows].float() / 255) * outside
        still = (~chosen[:, 0]).float().view(-1, 1, 1, 1)
        unlit = still * (~chosen[:, 2]).float().view(-1, 1, 1, 1)
        return (colour.square() * unlit).mean() + (matte.square() * still).mean()


@torch.no_grad()
def face_area(face: FaceModel, first: RigParameters, second: RigParameters, size: int) -> Tensor:
    """Where the face is in either of two states (N, 1, size, size), with a small margin."""
    masks = [
        render(face.proxy or face, parameters, size, outputs=("face_mask",))["face_mask"].permute(0, 3, 1, 2)
        for parameters in (first, second)
    ]
    return max_pool2d(torch.maximum(*masks), 5, 1, 2).clamp(0, 1)


def smaller(image: Tensor, size: int) -> Tensor:
    return interpolate(image, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


@torch.no_grad()
def choose_method(studio: Studio, nets: RigNets, wanted_method: str, seed: int) -> dict[str, float]:
    """Set the method that ships: the given one, or the one whose pictures agree best with the wishes.

    Measured on samples held out from training, by the landmark network. Returns each method's error.
    """
    random = torch.Generator().manual_seed(seed)
    held = torch.arange(min(training_rows(studio.pool), len(studio.pool) - 1), len(studio.pool))
    rows = held[studio.pool.plain[held]][:96]
    rows = rows if len(rows) else held
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
    seen = []
    for part in w.split(16):
        colour, alpha = studio.generator.foreground(part)
        seen.append(studio.detector(colour + (1 - alpha) * BACKDROP)[1])
    return round(float(parameter_term(torch.cat(seen), wanted.vector(), studio.weights)), 4)
