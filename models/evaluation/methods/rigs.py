"""Rigs as methods: networks that edit w, and a generator that maps of the rig steer."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.evaluation.control.subjects import renderer_of
from models.evaluation.methods.method import TRUNCATION, Method
from models.face.alignment import align, ffhq_crop, project_landmarks
from models.face.parameters import RigParameters
from models.rigging import Controls, Portrait, Rig
from models.rigging.guided_renderer import GuidedRenderer

NOT_NOTED = "not noted"
CROP = 128  # pixels of an FFHQ crop that is cut from a whole head


class RigNetMethod(Method):
    """A rig's networks: "joint" is ours, "paper" the published ones one after another, "simultaneous" the published one for all controls."""

    def __init__(self, rig: Rig, method: str, title: str, minutes: dict[str, float] | None = None):
        self.rig, self.method, self.title, self.face = rig, method, title, rig.face
        self.renderer = renderer_of(rig)
        self.training = training_of(minutes or {}, method)

    def portrait(self, seed: int) -> Portrait:
        return self.rig.new_portrait(seed, TRUNCATION)

    def own(self, portrait: Portrait) -> RigParameters:
        return portrait.parameters.to(self.face.mean.device)

    def code(self, portrait: Portrait) -> Tensor:
        """w (1, L, 512)."""
        return torch.from_numpy(np.array(portrait.w, np.float32))[None].to(self.face.mean.device)

    def edited(self, portrait: Portrait, wanted: RigParameters) -> Tensor:
        """w (1, L, 512) of the portrait with the parameters ``wanted``."""
        return self.renderer.networks(self.code(portrait), self.own(portrait), wanted, self.renderer.reconstruction, self.face, self.method)

    def picture(self, portrait: Portrait, controls: Controls) -> Tensor:
        w = self.edited(portrait, self.wanted(portrait, controls))
        return torch.cat(self.renderer.synthesize(w, "exact"), dim=1)[0]


def training_of(minutes: dict[str, float], method: str) -> str:
    """How long the networks of a method were trained, of minutes by stage."""
    stages = {"joint": ("joint", "finish"), "paper": ("pose", "expression", "light"), "simultaneous": ("simultaneous",)}[method]
    known = [minutes[f"rignet-{stage}"] for stage in stages if f"rignet-{stage}" in minutes]
    return f"{sum(known):.1f} min" if known else NOT_NOTED


def stage_minutes(folder: Path, name: str) -> dict[str, float]:
    """Minutes by stage from the model card of a rig's networks; nothing where it has none."""
    card = folder / f"{name}-rignet.md"
    found = re.search(r"minutes by stage: (\{[^}]*\})", card.read_text(encoding="utf-8")) if card.is_file() else None
    return json.loads(found[1]) if found else {}


class GuidedMethod(Method):
    """A generator that maps of the rig steer: nothing of w is edited."""

    def __init__(self, rig: Rig, title: str = "rig-guided StyleGAN"):
        if not isinstance(rig.renderer, GuidedRenderer):
            raise ValueError("a rig of networks is no guided one")
        self.rig, self.title, self.face, self.renderer = rig, title, rig.face, rig.renderer
        metadata = rig.generator.metadata
        known = [f"{metadata[name]} {unit}" for name, unit in (("minutes", "min"), ("images seen", "images seen")) if name in metadata]
        self.training = ", ".join(known) or NOT_NOTED

    def portrait(self, seed: int) -> Portrait:
        return self.rig.new_portrait(seed, TRUNCATION)

    def own(self, portrait: Portrait) -> RigParameters:
        return align(self.face, portrait.parameters.to(self.face.mean.device))

    def picture(self, portrait: Portrait, controls: Controls) -> Tensor:
        plan = self.renderer.plan(portrait, upright(controls))
        whole = self.renderer.layers(plan, self.rig.generator.resolution, "exact")[:, :4]
        landmarks = project_landmarks(self.face, plan.target, plan.camera)[..., :2]
        return cut(whole, *ffhq_crop(landmarks), CROP)[0].clamp(0, 1)


def upright(controls: Controls) -> Controls:
    """Controls of a frame alone: the crop is cut wherever the head stands."""
    return Controls(rotation=controls.rotation, expression=controls.expression, light=controls.light)


def cut(images: Tensor, centre: Tensor, axis: Tensor, size: int) -> Tensor:
    """The FFHQ crops (N, C, size, size) of whole frames (N, C, H, W); centre and half axis (N, 2) as ``ffhq_crop`` has them."""
    (x, y), (a, b) = centre.unbind(1), axis.unbind(1)
    rows = torch.stack((torch.stack((a, b, x), dim=1), torch.stack((-b, a, -y), dim=1)), dim=1)  # y down
    wide = math.ceil(1 / float(axis.norm(dim=1).min()) * size / images.shape[-1])
    grid = F.affine_grid(rows, [len(images), images.shape[1], size * max(wide, 1), size * max(wide, 1)], align_corners=False)
    return F.interpolate(F.grid_sample(images, grid, align_corners=False), size=(size, size), mode="area")
