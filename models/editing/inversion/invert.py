"""The whole way from photographs to a portrait."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.colour import over_backdrop, srgb_to_linear
from models.editing.inversion.errors import bad_photo, cancelled, no_face
from models.editing.inversion.finding import Eyes, Face, Pyramid, choose_face, flip
from models.editing.inversion.fit import PROFILE, SIDE, CropFrame, Fit, Frame, HeadFrame, fit_colours, fit_shape
from models.editing.inversion.matte import resized, segment
from models.editing.inversion.offsets import largest_rank
from models.editing.inversion.photo import Photo
from models.editing.inversion.project import Projection, Raw, Views
from models.errors import StyleRigError
from models.face.alignment import project_landmarks
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.generators import latents_from_seed
from models.generators.guided import GuidedSynthesisNetwork
from models.io.atomic_write import write_atomic
from models.io.regular_file import read_regular
from models.rigging.controls import Portrait
from models.rigging.rig import Rig

MOST_PHOTOS = 8
WORST_FIT = 0.12  # half widths: landmarks that fit no face
LEAST_EXPLAINED = 0.0  # of the variance of colours where a face should be: a flat tone explains as much of what is none
PEOPLE = 8  # whose mattes say where hair may be
FEATURES, NEAR = 3.0, 0.08  # further weight near eyes, brows, nose and mouth, and how near that is (half widths)
FACE = 1.0  # further weight of the face
PREVIEW, PREVIEW_SECONDS, KEEP_SECONDS = 128, 1.0, 10.0
LARGEST_STATE = 64 << 20


@dataclass(frozen=True)
class Effort:
    """Steps of each stage, and the rank of the tuning."""

    project: int
    layers: int
    tune: int
    rank: int


EFFORTS = {"fast": Effort(40, 0, 20, 4), "fine": Effort(200, 60, 250, 6)}
STAGES = (("project", "w"), ("layers", "layers"), ("tune", "tuning"))
SHARE_BEFORE = 0.1  # of the whole, until the first step


@dataclass(frozen=True, eq=False)
class Progress:
    """``stage`` in words, ``done`` 0–1 of the whole, and now and then a ``preview`` (3, S, S) sRGB 0–1."""

    stage: str
    done: float
    preview: Tensor | None = None


@dataclass
class Watch:
    """Who is told, and may end it: ``cancelled`` is asked between steps. ``state`` is a file from which a later call goes on."""

    say: Callable[[Progress], None] = lambda progress: None
    cancelled: Callable[[], bool] = lambda: False
    state: Path | None = None
    told: float = field(default=0.0, init=False)
    kept: float = field(default=0.0, init=False)

    def at(self, stage: str, done: float) -> None:
        """Raises StyleRigError when it was cancelled."""
        if self.cancelled():
            raise cancelled()
        self.say(Progress(stage, done))


@dataclass(frozen=True, eq=False)
class Prepared:
    """N photographs, fitted: heads in the rig's frame, and views for the generator."""

    parameters: RigParameters
    views: Views


def invert(
    rig: Rig,
    photos: Sequence[Photo],
    effort: str = "fast",
    faces: Sequence[int | None] = (),
    eyes: Eyes | None = None,
    watch: Watch | None = None,
) -> Portrait:
    """The portrait of the person on ``photos``, posed, lit and moved as on the first.

    ``faces`` says of each which face is meant, from 1, left to right. Raises StyleRigError where a photograph shows no usable face.
    """
    check_request(photos, effort, faces)
    watch, eyes = watch or Watch(), eyes or Eyes.load()
    chosen = list(faces) + [None] * (len(photos) - len(faces))
    watch.at("Looking for the face", 0.0)
    found = [choose_face(photo, eyes, which) for photo, which in zip(photos, chosen, strict=True)]
    watch.at("Fitting the rig", 0.02)
    prepared = prepare(rig, photos, found)
    projection = Projection(rig.generator, prepared.views, largest_rank(rig.generator, EFFORTS[effort].rank))
    run_stages(projection, effort, watch, request_digest(rig, photos, effort, chosen))
    portrait = portrait_of(rig, prepared, projection)
    if watch.state:
        watch.state.unlink(missing_ok=True)
    return portrait


def check_request(photos: Sequence[Photo], effort: str, faces: Sequence[int | None]) -> None:
    """Raise StyleRigError for too many photographs, a setting that there is not, or faces of no photograph."""
    if not 1 <= len(photos) <= MOST_PHOTOS:
        raise StyleRigError(
            f"A portrait is made of 1 to {MOST_PHOTOS} photos, not {len(photos)}.", "Choose the best ones.", code="bad_photo"
        )
    if effort not in EFFORTS:
        raise StyleRigError(f"There is no setting {effort!r}.", f"Choose {' or '.join(EFFORTS)}.", code="bad_option")
    if len(faces) > len(photos):
        raise StyleRigError(
            f"{len(faces)} faces are named of {len(photos)} photos.", "Name one face a photo, in their order.", code="unknown_face"
        )


def frame_of(rig: Rig) -> Frame:
    """The frame in which a rig's heads stand."""
    return (HeadFrame if rig.shows_whole_heads else CropFrame)(rig.face)


def prepare(rig: Rig, photos: Sequence[Photo], faces: Sequence[Face]) -> Prepared:
    """Fit the rig, cut the photographs to its frame, and find mattes."""
    frame = frame_of(rig)
    seen = torch.stack([flip(face.landmarks) for face in faces])
    fit = fit_shape(frame, seen)
    check_fit(photos, fit)
    size = rig.generator.resolution
    pictures, known, given = cut_frames(photos, fit, size)
    small = torch.stack([resized(picture, SIDE) for picture in pictures])
    inside = torch.stack([resized(mask if matte is None else mask * matte, SIDE) for mask, matte in zip(known, given, strict=True)])
    parameters, explained = fit_colours(frame, fit.parameters, srgb_to_linear(small), inside)
    for photo, share in zip(photos, explained.tolist(), strict=True):
        if share < LEAST_EXPLAINED:
            raise no_face(photo.name)
    guides, moved = steering(rig, frame, parameters, size)
    sure = mesh_masks(frame, parameters, size)
    expected = expected_mattes(rig, guides, moved)
    mattes = torch.stack([
        segment(picture, might, mask * there) if matte is None else matte
        for picture, might, mask, there, matte in zip(pictures, expected, sure, known, given, strict=True)
    ])  # fmt: skip
    weights = known * (1 + FACE * sure + FEATURES * near_features(frame, parameters, size))
    return Prepared(parameters, Views(pictures, mattes, weights, moved, guides))


def check_fit(photos: Sequence[Photo], fit: Fit) -> None:
    """Raise StyleRigError for a face that is seen from the side, or that is none after all."""
    for photo, rotation, error in zip(photos, fit.parameters.rotation, fit.error.tolist(), strict=True):
        if abs(float(rotation[0])) >= PROFILE:
            raise bad_photo(photo.name, "the face is seen from the side", "Choose a photo that shows both eyes.")
        if error > WORST_FIT:
            raise bad_photo(photo.name, "what was found fits no face", "Choose a sharper photo, or one with nothing before the face.")


def cut_frames(photos: Sequence[Photo], fit: Fit, size: int) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """Pictures (N, 3, size, size), what of them the photographs show (N, 1, size, size), and the files' own mattes."""
    pictures, known, mattes = [], [], []
    for photo, square in zip(photos, fit.squares[:, None], strict=True):
        pictures.append(Pyramid.of(photo.pixels).cut(square, size)[0])
        known.append(Pyramid.of(torch.ones_like(photo.pixels[:1])).cut(square, size, "zeros")[0])
        mattes.append(None if photo.matte is None else Pyramid.of(photo.matte).cut(square, size, "zeros")[0])
    return torch.stack(pictures), torch.stack(known), mattes


@torch.no_grad()
def steering(rig: Rig, frame: Frame, parameters: RigParameters, size: int) -> tuple[Tensor | None, Tensor]:
    """Maps that pose the generator (N, G, size, size) or None, and what poses are in w (N, L, D) where there are none."""
    count, generator = len(parameters), rig.generator
    still = torch.zeros(count, generator.num_ws, generator.w_dim)
    if isinstance(generator.synthesis, GuidedSynthesisNetwork):
        body = frame.body(parameters)
        assert body is not None
        return generator.synthesis.guide.maps(parameters, frame.camera(parameters), body, size), still
    if rig.networks is None or rig.reconstruction is None:
        return None, still
    w = generator.w_avg.expand(count, generator.num_ws, -1)
    own = rig.reconstruction(w, rig.face)
    wanted = own.replace(rotation=parameters.rotation, expression=parameters.expression, light=parameters.light)
    return None, rig.networks(w, own, wanted, rig.reconstruction, rig.face) - w


def mesh_masks(frame: Frame, parameters: RigParameters, size: int) -> Tensor:
    """Where the face model is (N, 1, size, size)."""
    with torch.no_grad():
        drawn = render(frame.face, parameters, size, frame.camera(parameters), ("mask",), frame.body(parameters))
    return drawn["mask"].movedim(-1, 1)


@torch.no_grad()
def expected_mattes(rig: Rig, guides: Tensor | None, moved: Tensor) -> Tensor:
    """The mean matte (N, 1, S, S) of some people in each of N poses; half where the generator draws no mattes."""
    generator, side = rig.generator, min(rig.generator.resolution, 128)
    if generator.img_channels == 3:
        return torch.full((len(moved), 1, side, side), 0.5)
    people, draw = generator.mapping(latents_from_seed(1, PEOPLE, generator.z_dim)), Raw(generator)
    mattes = []
    for row, pose in enumerate(moved):
        raw = draw(people + pose, None if guides is None else guides[[row]].expand(PEOPLE, -1, -1, -1), side)
        mattes.append((raw[:, 3:4] * 0.5 + 0.5).clamp(0, 1).mean(dim=0))
    return torch.stack(mattes)


def near_features(frame: Frame, parameters: RigParameters, size: int) -> Tensor:
    """1 at landmarks of brows, nose, eyes and mouth, falling off around them (N, 1, size, size)."""
    points = project_landmarks(frame.face, parameters, frame.camera(parameters))[:, 17:, :2]
    axis = (torch.arange(size) + 0.5) * (2 / size) - 1
    across = (-((axis - points[..., :1]) / NEAR).square() / 2).exp()
    down = (-((-axis - points[..., 1:]) / NEAR).square() / 2).exp()
    return torch.einsum("npy,npx->npyx", down, across).amax(dim=1, keepdim=True)


def run_stages(projection: Projection, effort: str, watch: Watch, key: str) -> None:
    """Do what is not done yet, telling and keeping it now and then."""
    counts = [getattr(EFFORTS[effort], name) for name, _ in STAGES]
    size = projection.generator.resolution
    begun, first = restore(projection, watch.state, key)
    cost = [count * (1 if name == "tune" else 0.5) for (name, _), count in zip(STAGES, counts, strict=True)]
    watch.told = watch.kept = time.monotonic()
    for number, (name, stage) in enumerate(STAGES):
        if number < begun or not counts[number]:
            continue
        side = size if name == "tune" else max(size // 2, min(size, 64))
        for step in projection.steps(stage, counts[number], side, first if number == begun else 0):
            done = (sum(cost[:number]) + cost[number] * step / counts[number]) / sum(cost)
            tell(projection, watch, WORDS[name], SHARE_BEFORE + (1 - SHARE_BEFORE) * done)
            keep(projection, watch, key, number, step)


WORDS = {"project": "Looking for the person", "layers": "Looking closer", "tune": "Tuning the generator"}


def tell(projection: Projection, watch: Watch, words: str, done: float) -> None:
    """Say how far it is, each second with a picture."""
    watch.at(words, done)
    if time.monotonic() - watch.told >= PREVIEW_SECONDS:
        watch.told = time.monotonic()
        watch.say(Progress(words, done, preview(projection)))


@torch.no_grad()
def preview(projection: Projection) -> Tensor:
    """The person as on the first photograph, as far as known (3, S, S)."""
    size = min(PREVIEW, projection.generator.resolution)
    colour, alpha = projection.draw(projection.views.at([0], size))
    return over_backdrop(colour, alpha)[0].clamp(0, 1)


def request_digest(rig: Rig, photos: Sequence[Photo], effort: str, faces: Sequence[int | None]) -> str:
    """All that a state depends on."""
    parts = [rig.weights_hash, [photo.digest for photo in photos], effort, list(faces)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def keep(projection: Projection, watch: Watch, key: str, stage: int, step: int) -> None:
    """Write the state, now and then."""
    if watch.state is None or time.monotonic() - watch.kept < KEEP_SECONDS:
        return
    watch.kept = time.monotonic()
    stream = io.BytesIO()
    torch.save({"key": key, "stage": stage, "step": step, "found": projection.state()}, stream)
    write_atomic(watch.state, stream.getvalue())


def restore(projection: Projection, path: Path | None, key: str) -> tuple[int, int]:
    """Stage and step to go on with: 0, 0 where there is no state, or that of another portrait."""
    if path is None or not path.is_file():
        return 0, 0
    try:
        state: Any = torch.load(io.BytesIO(read_regular(path, LARGEST_STATE)), weights_only=True)
        if state["key"] != key:
            return 0, 0
        projection.restore(state["found"])
        return int(state["stage"]), int(state["step"])
    except Exception:  # cut off, or of another version: it is only begun anew
        return 0, 0


def portrait_of(rig: Rig, prepared: Prepared, projection: Projection) -> Portrait:
    """What was found, as the rig keeps it."""
    with torch.no_grad():
        w = (projection.code() + prepared.views.moved[0]).cpu().numpy()
    offsets = projection.tuning.offsets(rig.generator) if projection.tuned else None
    if rig.reconstruction is not None:
        read = rig.portrait_from_latent(w, 0, 1.0)
        return Portrait(rig.name, rig.weights_hash, 0, 1.0, w, read.parameters, offsets=offsets)
    return Portrait(rig.name, rig.weights_hash, 0, 1.0, w, prepared.parameters[[0]].to("cpu"), offsets=offsets)
