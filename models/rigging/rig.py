"""A rigged generator: seeds become portraits, portraits and controls become frames."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from models.editing.directions import OTHER, Directions, generator_hash
from models.editing.errors import bad_directions
from models.editing.inversion.offsets import Offsets
from models.editing.sliders import attribute_ranges, shipped_directions, slide
from models.errors import StyleRigError
from models.face import FaceModel, load_face_model
from models.face.parameters import RigParameters
from models.generators import (
    CpuScheduler,
    Engine,
    Generator,
    latents_from_seed,
    load_engine,
    load_generator,
    torch_threads,
)
from models.generators.guide import heads_at_rest
from models.generators.guided import GuidedConfig
from models.generators.person import PersonMapping
from models.rigging import folders
from models.rigging.controls import Controls, Frame, Portrait, bad_controls
from models.rigging.frame_renderer import PASSES, FrameRenderer
from models.rigging.guided_renderer import GuidedRenderer
from models.rigging.looks import resolved
from models.rigging.reconstruction import Reconstruction
from models.rigging.rignet import RigNets
from models.seeds import LARGEST_SEED
from models.translation.library import LookLibrary, library

PARTS = ("generator", "reconstruction", "rignet")
JUDGED = "stylerig"  # of the models that ship, the one whose judge ships with it
FIRST_HEAD = "108adb400dca35e1464c38f6a2dd3bf2fe4173ce638389e8c2f856a1a3e3f050"  # ``content_hash`` of head-1.npz
PRECISIONS = ("exact", "fast")
SIZES = (16, 4096)
MOST_TUNED = 3  # engines of portraits with offsets that are kept; each is a whole generator


class Renderer(Protocol):
    """What draws frames; what controls mean for a portrait it puts into a plan of its own kind."""

    def plan(self, portrait: Portrait, controls: Controls) -> Any: ...

    def render(self, plan: Any, size: int, passes: Sequence[str], precision: str) -> Frame: ...

    def synthesize(self, w: torch.Tensor, precision: str = "exact") -> tuple[torch.Tensor, torch.Tensor]: ...


class Rig:
    """Generator, face model, reconstruction and RigNet that belong together; one that is steered by maps needs neither network.

    A portrait is a function of seed and truncation, a frame one of portrait, controls and output. What is prepared once
    stays: an engine for each precision, and the renderer's last reference.
    """

    def __init__(
        self,
        name: str,
        weights_hash: str,
        generator: Generator,
        face: FaceModel,
        reconstruction: Reconstruction | None = None,
        networks: RigNets | None = None,
        scheduler: CpuScheduler | None = None,
        attributes: Directions | None = None,
        looks: LookLibrary | None = None,
    ):
        self.name, self.weights_hash = name, weights_hash
        self.generator, self.face = generator, face
        self.reconstruction, self.networks = reconstruction, networks
        self.attributes = attributes
        self.looks = looks or library()
        self.scheduler = scheduler or CpuScheduler()
        self.lock = threading.Lock()  # an engine is prepared once
        self.engines: dict[str, Engine] = {}
        self.tuned: dict[tuple[str, str], Engine] = {}  # by precision and offsets; the last one used is the last
        self.renderer: Renderer = (
            GuidedRenderer(generator, face, self.engine, self.looks)
            if reconstruction is None or networks is None
            else FrameRenderer(generator, face, reconstruction, networks, self.engine, self.looks)
        )

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        device: str = "cpu",
        face: FaceModel | None = None,
        scheduler: CpuScheduler | None = None,
        name: str | None = None,
    ) -> Rig:
        """The rig whose files begin with ``name``, or the first of ``model_names``, of the folder ``path``; None is those that ship.
        ``scheduler`` as in ``load_engine``.

        Raises StyleRigError when a file is missing, damaged, or belongs to another generator or face.
        """
        folder = Path(path) if path else folders.WEIGHTS
        name = name or folders.model_names(folder)[0]
        generator = load_generator(folder / f"{name}-generator.safetensors", device=device)
        attributes = shipped_directions(generator, folder)
        if isinstance(generator.config, GuidedConfig):
            files, face = weight_files(folder, name, PARTS[:1]), face or load_face_model(generator.config.head)
            hashed = weights_hash(list(files.values()), face)
            return cls(name, hashed, generator, face, scheduler=scheduler, attributes=attributes)  # maps are the processor's
        files = weight_files(folder, name, PARTS)
        reconstruction = Reconstruction.load(files["reconstruction"]).to(device)
        networks = RigNets.load(files["rignet"]).to(device)
        face = face or load_face_model(None)
        hashed = weights_hash(list(files.values()), face)
        rig = cls(name, hashed, generator, face.to(device), reconstruction, networks, scheduler, attributes)
        rig.check_fit()
        return rig

    def check_fit(self) -> None:
        """Raise StyleRigError unless generator, face model and networks have the same sizes."""
        sizes = {name: place.stop - place.start for name, place in RigParameters.slices(self.face).items()}
        wanted = (self.generator.num_ws, self.generator.w_dim, sizes)
        for network in (self.reconstruction, self.networks):
            if network is not None and (network.layers, network.width, network.sizes) != wanted:
                raise StyleRigError(
                    f"The {type(network).__name__} weights belong to another generator or face model.",
                    "Train the rig for this generator and face model.",
                    code="weights_do_not_fit",
                )

    @torch.no_grad()
    @torch_threads(1)
    def new_portrait(self, seed: int, truncation: float = 0.7) -> Portrait:
        """The person of a seed: w by the mapping network, parameters by the reconstruction."""
        if not 0 <= truncation <= 2 or not 0 <= seed <= LARGEST_SEED:
            raise bad_controls(f"seed {seed} or truncation {truncation} is out of bounds")
        z = latents_from_seed(seed, 1, self.generator.z_dim).to(self.device)
        w = self.generator.mapping(z, truncation_psi=truncation)
        if isinstance(self.generator.mapping, PersonMapping):
            parameters = heads_at_rest(self.face, *(part.cpu() for part in self.generator.mapping.shape(z, truncation)))
            return Portrait(self.name, self.weights_hash, seed, truncation, w[0].cpu().numpy(), parameters)
        return self.portrait_from_latent(w[0].cpu().numpy(), seed, truncation)

    @torch.no_grad()
    @torch_threads(1)
    def portrait_from_latent(self, w: np.ndarray, seed: int, truncation: float, head: RigParameters | None = None) -> Portrait:
        """The person of a latent (L, 512): parameters by the reconstruction. ``seed`` and ``truncation`` are only noted.

        Where the generator is steered by maps, identity and reflectance are those of ``head``: its w does not hold them.
        Raises StyleRigError without.
        """
        if self.reconstruction is not None:
            parameters = self.reconstruction(torch.from_numpy(w)[None].to(self.device), self.face).to("cpu")
        elif head is not None:
            parameters = heads_at_rest(self.face, head.identity, head.reflectance)
        else:
            raise StyleRigError(
                f'A latent alone is no portrait of the model "{self.name}": the shape of the head belongs to it.',
                "Give the head's parameters with it, or make the portrait from a seed.",
                code="no_reconstruction",
            )
        return Portrait(self.name, self.weights_hash, seed, truncation, w, parameters)

    @torch.no_grad()
    @torch_threads(1)
    def frame(
        self,
        portrait: Portrait,
        controls: Controls,
        size: int | None = None,
        passes: Sequence[str] = tuple(PASSES),
        precision: str = "exact",
    ) -> Frame:
        """One frame, float32 arrays (size, size, C), row 0 at the top.

        "Combined" (4), which is always there, is scene-linear and premultiplied; "Portrait" (3) the whole picture, sRGB,
        over the neutral backdrop where the generator has a matte; "HeadMatte" (1) the generator's
        alpha, else one grown from the mesh (see ``grown_matte``), and Combined's alpha. The other
        ``passes`` are the face model's, drawn where the picture shows the head: Normal and Position
        (cm) in the world of the camera, for the head at ``Frame.placement``, Depth in cm along the
        camera's axis to that position, 1e10 where there is no head, Shading the diffuse radiance of
        a white surface, UV with v up (0 for a face model without). The mattes of parts (1) are the generator's too, 0 where
        it draws none. ``size`` None is the
        generator's. ``precision`` is "exact" or "fast" (see load_engine). The same to the last bit for any
        number of threads. Looks change the colours of Combined and Portrait, on the generator's picture before it is moved.
        Raises StyleRigError for controls out of bounds and for a portrait of other weights.
        """
        size = size or self.generator.resolution
        self.check_portrait(portrait)
        check_output(size, passes, precision)
        controls.check(self.face)
        portrait = self.edited(portrait, controls.attributes)
        controls = replace(controls, looks=resolved(controls.looks, self.looks))
        return self.renderer.render(self.renderer.plan(portrait, controls), size, passes, precision)

    def directions_for(self, portrait: Portrait) -> list[Directions]:
        """What can be changed in a portrait: the model's attributes and its own. Raises StyleRigError where its own do not fit."""
        own = portrait.directions
        if own is not None and own.header.generator != self.generator_hash:
            raise bad_directions("The portrait", "they belong to another generator", OTHER)
        return [found for found in (self.attributes, portrait.directions) if found is not None]

    def attribute_ranges(self) -> dict[str, tuple[float, float]]:
        """The model's attributes, and how far each goes."""
        return attribute_ranges([self.attributes] if self.attributes else [])

    @cached_property
    def generator_hash(self) -> str:
        """What directions name their generator by."""
        return generator_hash(self.generator)

    def edited(self, portrait: Portrait, attributes: Mapping[str, float]) -> Portrait:
        """The portrait with attributes changed by their amounts: another w, for whatever draws it. A pure function.

        The rig's parameters stay, so the head stands and moves as before. Raises StyleRigError for an attribute that it has not.
        """
        if not attributes:
            return portrait
        w = torch.from_numpy(np.array(portrait.w, dtype=np.float32))[None]
        return replace(portrait, w=slide(self.generator, w, self.directions_for(portrait), attributes)[0].numpy())

    def check_portrait(self, portrait: Portrait) -> None:
        """Raise StyleRigError for a portrait of other weights."""
        if portrait.weights_hash != self.weights_hash:
            raise StyleRigError(
                f'The portrait was made with other weights of the model "{portrait.model}" than those loaded.',
                "Load the weights that it was made with, or make the portrait again from its seed.",
                code="other_weights",
            )

    def prepare(self) -> None:
        """Draw the mean portrait once, so that whatever has to be compiled for this machine is."""
        self.renderer.synthesize(self.generator.w_avg.expand(1, self.generator.num_ws, -1))

    def engine(self, precision: str = "exact", offsets: Offsets | None = None) -> Engine:
        """The engine for "exact" or "fast", with a portrait's ``offsets``; its ``name`` and ``notice`` say what it became.

        The first on a machine compiles its kernels, which takes seconds; later ones find them. Those of a few portraits with
        offsets are kept. Raises StyleRigError for offsets of another generator.
        """
        with self.lock:
            if offsets is not None:
                return self.tuned_engine(precision, offsets)
            if precision not in self.engines:
                self.engines[precision] = load_engine(self.generator, precision, self.device, self.scheduler)
            return self.engines[precision]

    def tuned_engine(self, precision: str, offsets: Offsets) -> Engine:
        """The engine of a generator with offsets, made where it is none of the last."""
        key = precision, offsets.digest
        engine = self.tuned.pop(key, None) or load_engine(offsets.applied(self.generator), precision, self.device, self.scheduler)
        self.tuned[key] = engine
        while len(self.tuned) > MOST_TUNED:
            del self.tuned[next(iter(self.tuned))]
        return engine

    @property
    def shows_whole_heads(self) -> bool:
        """Whether a frame shows the whole head (see ``models.face.frame``); else it is the FFHQ crop."""
        return self.generator.guide_channels > 0

    @property
    def device(self) -> torch.device:
        return self.generator.w_avg.device


def check_output(size: int, passes: Sequence[str], precision: str) -> None:
    """Raise StyleRigError for a frame that cannot be asked for."""
    if unknown := sorted(set(passes) - set(PASSES)):
        raise bad_controls(f"there is no pass called {unknown[0]!r}; there are {', '.join(PASSES)}")
    if precision not in PRECISIONS:
        raise bad_controls(f"the precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise bad_controls(f"the size {size} is not between {SIZES[0]} and {SIZES[1]}")


def weight_files(folder: Path, name: str, parts: Sequence[str] = PARTS) -> dict[str, Path]:
    """The files of the ``parts`` of the model ``name`` in a folder. Raises StyleRigError where one is missing."""
    files = {part: folder / f"{name}-{part}.safetensors" for part in parts}
    if missing := [path.name for path in files.values() if not path.is_file()]:
        raise StyleRigError(f"{folder} lacks {', '.join(missing)}.", "Train or copy the rig again.", code="missing_weights")
    return files


def weights_hash(paths: list[Path], face: FaceModel) -> str:
    """SHA-256 of all that a portrait belongs to: the rig's files and its face model.

    With the head that every rig had before face models counted it is that of the files alone: portraits of then still open.
    """
    files, head = hash_files(paths), face.content_hash()
    return files if head == FIRST_HEAD else hashlib.sha256(f"{files} {head}".encode()).hexdigest()


def hash_files(paths: list[Path]) -> str:
    """SHA-256 over the files' bytes, one after another."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
