"""A rigged generator: seeds become portraits, portraits and controls become frames."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.colour import srgb_to_linear
from models.errors import StyleRigError
from models.face import FaceModel, load_face_model
from models.face.alignment import align
from models.face.camera import PORTRAIT_CAMERA, rotation_matrix
from models.face.harmonics import rotate
from models.face.parameters import RigParameters
from models.face.rasterizer import BACKGROUND_DEPTH, render
from models.generators import (
    Box,
    Engine,
    Generator,
    GeneratorConfig,
    all_threads,
    latents_from_seed,
    load_engine,
    load_generator,
    one_thread,
)
from models.rigging.controls import Controls, Frame, Portrait, bad_controls
from models.rigging.local_blend import faded, grown, moving_area, wanted_part
from models.rigging.matte import grown_matte
from models.rigging.reconstruction import Reconstruction
from models.rigging.rignet import RigNets
from models.rigging.similarity_transform import MovedCamera, Similarity
from models.seeds import LARGEST_SEED

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
PARTS = ("generator", "reconstruction", "rignet")
PASSES = {  # render pass -> output of the rasteriser; None where the generator's picture itself holds it
    "Portrait": None,
    "HeadMatte": None,
    "FaceMask": "face_mask",
    "Normal": "normals",
    "Albedo": "albedo",
    "Shading": "shading",
    "Depth": "depth",
    "UV": "uv",
    "Position": "position",
}
FIRST_HEAD = "108adb400dca35e1464c38f6a2dd3bf2fe4173ce638389e8c2f856a1a3e3f050"  # ``content_hash`` of head-1.npz
BACKDROP = 0.5  # sRGB grey that "Portrait" lies over
PRECISIONS = ("exact", "fast")
SIZES = (16, 4096)


@dataclass(frozen=True, eq=False)
class Request:
    """Controls put into numbers: the aligned head to show and how the finished crop is moved."""

    parameters: RigParameters  # N = 1, roll and translation aligned
    similarity: Similarity
    placement: tuple[float, ...]  # yaw, pitch, roll (radians), x, y, z (cm)
    still: Request | None = None  # the same with the portrait's own expression; None where that is asked for


class Rig:
    """Generator, face model, reconstruction and RigNet that belong together. All methods are pure."""

    def __init__(
        self, name: str, weights_hash: str, generator: Generator, face: FaceModel, reconstruction: Reconstruction, networks: RigNets
    ):
        self.name, self.weights_hash = name, weights_hash
        self.generator, self.face = generator, face
        self.reconstruction, self.networks = reconstruction, networks
        self.lock = threading.Lock()  # an engine is prepared once
        self.engines: dict[str, Engine] = {}
        self.last_still: tuple[tuple, Tensor] | None = None

    @classmethod
    def load(cls, path: str | Path | None = None, device: str = "cpu", face: FaceModel | None = None) -> Rig:
        """The rig whose three files lie in the folder ``path``; None is the one that ships.

        Raises StyleRigError when a file is missing, damaged, or belongs to another generator or face.
        """
        files = weight_files(Path(path) if path else WEIGHTS)
        generator = load_generator(files["generator"], device=device)
        reconstruction = Reconstruction.load(files["reconstruction"]).to(device)
        networks = RigNets.load(files["rignet"]).to(device)
        face = face or load_face_model(None)
        name = files["generator"].name.removesuffix("-generator.safetensors")
        rig = cls(name, weights_hash(list(files.values()), face), generator, face.to(device), reconstruction, networks)
        rig.check_fit()
        return rig

    @classmethod
    def create_untrained(cls, face: FaceModel | None = None, generator: Generator | None = None, seed: int = 0, **options) -> Rig:
        """A rig with random networks, for tests; ``options`` go to RigNets (method, hidden, keep)."""
        face = face or load_face_model(None)
        generator = generator or Generator.create(GeneratorConfig(), seed)
        generator = generator.eval().requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            reconstruction = Reconstruction.create(face, generator.num_ws, generator.w_dim)
            networks = RigNets.create(reconstruction, face, **options)
        modules = (generator, reconstruction.eval().requires_grad_(False), networks.eval().requires_grad_(False))
        return cls("untrained", hash_modules(modules), modules[0], face, modules[1], modules[2])

    def check_fit(self) -> None:
        """Raise StyleRigError unless generator, face model and networks have the same sizes."""
        sizes = {name: place.stop - place.start for name, place in RigParameters.slices(self.face).items()}
        wanted = (self.generator.num_ws, self.generator.w_dim, sizes)
        for network in (self.reconstruction, self.networks):
            if (network.layers, network.width, network.sizes) != wanted:
                raise StyleRigError(
                    f"The {type(network).__name__} weights belong to another generator or face model.",
                    "Train the rig for this generator and face model.",
                    code="weights_do_not_fit",
                )

    @torch.no_grad()
    @one_thread()
    def new_portrait(self, seed: int, truncation: float = 0.7) -> Portrait:
        """The person of a seed: w by the mapping network, parameters by the reconstruction."""
        if not 0 <= truncation <= 2 or not 0 <= seed <= LARGEST_SEED:
            raise bad_controls(f"seed {seed} or truncation {truncation} is out of bounds")
        z = latents_from_seed(seed, 1, self.generator.z_dim).to(self.device)
        w = self.generator.mapping(z, truncation_psi=truncation)
        return self.portrait_from_latent(w[0].cpu().numpy(), seed, truncation)

    @torch.no_grad()
    @one_thread()
    def portrait_from_latent(self, w: np.ndarray, seed: int, truncation: float) -> Portrait:
        """The person of a latent (L, 512): parameters by the reconstruction. ``seed`` and ``truncation`` are only noted."""
        parameters = self.reconstruction(torch.from_numpy(w)[None].to(self.device), self.face).to("cpu")
        return Portrait(self.name, self.weights_hash, seed, truncation, w, parameters)

    @torch.no_grad()
    @one_thread()
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
        a white surface, UV with v up (0 for a face model without). ``size`` None is the
        generator's. ``precision`` is "exact" or "fast" (see load_engine). The same to the last bit for any
        number of threads. Raises StyleRigError for controls out of bounds and for a portrait of other weights.
        """
        size = size or self.generator.resolution
        self.check_request(portrait, controls, size, passes, precision)
        request = self.request(portrait, controls)
        arrays = combine(self.moved_picture(portrait, request, size, precision), passes)
        arrays.update(self.render_passes(request, size, [name for name in passes if PASSES[name]]))
        return Frame({name: to_array(image) for name, image in arrays.items()}, request.placement)

    def check_request(self, portrait: Portrait, controls: Controls, size: int, passes: Sequence[str], precision: str) -> None:
        if portrait.weights_hash != self.weights_hash:
            raise StyleRigError(
                f'The portrait was made with other weights of the model "{portrait.model}" than those loaded.',
                "Load the weights that it was made with, or make the portrait again from its seed.",
                code="other_weights",
            )
        if unknown := sorted(set(passes) - set(PASSES)):
            raise bad_controls(f"there is no pass called {unknown[0]!r}; there are {', '.join(PASSES)}")
        if precision not in PRECISIONS:
            raise bad_controls(f"the precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
        if not SIZES[0] <= size <= SIZES[1]:
            raise bad_controls(f"the size {size} is not between {SIZES[0]} and {SIZES[1]}")
        controls.check(self.face)

    def request(self, portrait: Portrait, controls: Controls) -> Request:
        """Solve the alignment for the controls and put the rest into a similarity.

        Roll is absolute: the crop's own roll follows from the alignment, the difference is turned
        about the head's origin, and a light that is given stays where it is in the world. The crop
        follows eyes and mouth, so a jaw that opens would shrink the head: the similarity takes that
        back, and the head stays where it is with the portrait's own expression.
        """
        own = portrait.parameters.to(self.device)
        expression = own.expression.clone()
        for name, value in controls.expression.items():
            expression[0, self.face.expression_names.index(name)] = min(max(float(value), 0.0), 1.0)
        rotation = own.rotation if controls.rotation is None else own.rotation.new_tensor([controls.rotation])
        turned = own.replace(rotation=rotation)
        if torch.equal(expression, own.expression):
            return self.placed(align(self.face, turned), None, rotation, controls)
        # At rest and with the expression, in one solution: a live view waits for it.
        both = align(self.face, turned[torch.tensor((0, 0))].replace(expression=torch.cat((own.expression, expression))))
        still = self.placed(both[:1], None, rotation, controls)
        return self.placed(both[1:], still, rotation, controls)

    def placed(self, parameters: RigParameters, still: Request | None, rotation: Tensor, controls: Controls) -> Request:
        """The request of an aligned head: light in the crop, and the similarity to where ``still`` stands."""
        angle = float(rotation[0, 2] - parameters.rotation[0, 2])
        if controls.light is not None:
            light = rotation.new_tensor(np.asarray(controls.light)).unsqueeze(0)
            back = rotation_matrix(light.new_tensor([[0.0, 0.0, -angle]]))
            parameters = parameters.replace(light=rotate(light, back) if angle else light)
        reference = (still.parameters if still else parameters).translation[0]
        similarity, moved = beyond_alignment(parameters.translation[0], reference, angle, controls)
        return Request(parameters, similarity, (*rotation[0].tolist(), *moved), still)

    def moved_picture(self, portrait: Portrait, request: Request, size: int, precision: str) -> Tensor:
        """A request's picture in its place, (1, 4 or 5, size, size): premultiplied sRGB, alpha, and where the
        generator has no matte, one grown from the mesh.

        Where the networks are made to ``keep``, an expression changes nothing where it does not move the face.
        """
        still = request.still
        if not self.networks.keep or still is None:
            return self.placed_pictures(portrait, [request], [None], size, precision)[0]
        both = RigParameters.from_vector(torch.cat((request.parameters.vector(), still.parameters.vector())), self.face)
        wide = grown(moving_area(self.face, both, (request.similarity, still.similarity)))
        if not wide.any():  # by so little that nothing would be seen of it
            return self.moved_picture(portrait, still, size, precision)
        part = wanted_part(wide, request.similarity, self.generator.resolution, size)
        # The one without the asked expression is remembered: an expression that is dragged or keyed alone asks for it again.
        key = still_key(portrait, still, size, precision)
        last = self.last_still  # another thread may remember its own meanwhile
        if last is not None and last[0] == key:
            (drawn,), kept = self.placed_pictures(portrait, [request], [part], size, precision), last[1]
        else:
            drawn, kept = self.placed_pictures(portrait, [request, still], [part, None], size, precision)
            self.last_still = key, kept
        return kept.lerp(drawn, faded(wide, size))

    def placed_pictures(
        self, portrait: Portrait, states: list[Request], parts: list[Box | None], size: int, precision: str
    ) -> list[Tensor]:
        """Each state's picture, warped to where it stands: as ``moved_picture``, as the generator draws it.

        ``parts`` of the crops are wanted, None is the whole; the rest may be empty.
        """
        w = torch.cat([self.edit(portrait, state) for state in states])
        colour, alpha = self.picture(w, precision, parts)
        pictures = []
        for row, state in enumerate(states):
            layers = [colour[row : row + 1], alpha[row : row + 1]]
            if self.generator.img_channels == 3:
                layers.append(grown_matte(self.face, state.parameters, alpha.shape[-1]))
            pictures.append(move(torch.cat(layers, dim=1), state.similarity, size))
        return pictures

    def edit(self, portrait: Portrait, request: Request) -> Tensor:
        """The portrait's w (1, L, 512) after RigNet; unchanged when the request is the portrait itself."""
        w = torch.from_numpy(np.array(portrait.w, dtype=np.float32)).unsqueeze(0).to(self.device)
        own = portrait.parameters.to(self.device)
        return self.networks(w, own, request.parameters, self.reconstruction, self.face)

    def picture(self, w: Tensor, precision: str = "exact", parts: Sequence[Box | None] | None = None) -> tuple[Tensor, Tensor]:
        """Premultiplied sRGB (N, 3, R, R) and alpha (N, 1, R, R), 0–1; at least the ``parts`` of it."""
        engine = self.engine(precision)
        with all_threads():
            return engine.foreground(w, boxes=parts)

    def prepare(self) -> None:
        """Draw the mean portrait once, so that whatever has to be compiled for this machine is."""
        self.picture(self.generator.w_avg.expand(1, self.generator.num_ws, -1))

    def engine(self, precision: str = "exact") -> Engine:
        """The engine for "exact" or "fast"; its ``name`` and ``notice`` say what it became.

        The first on a machine compiles its kernels, which takes seconds; later ones find them.
        """
        with self.lock:
            if precision not in self.engines:
                self.engines[precision] = load_engine(self.generator, precision, self.device)
            return self.engines[precision]

    def render_passes(self, request: Request, size: int, passes: Sequence[str]) -> dict[str, Tensor]:
        """The face model's passes (1, C, size, size), drawn where the picture's similarity brings the head."""
        outputs = {name: PASSES[name] for name in passes if name != "UV" or self.face.uv is not None}
        if not passes:
            return {}
        camera = MovedCamera(PORTRAIT_CAMERA, request.similarity)
        rendered = render(self.face, request.parameters, size, camera, tuple({*outputs.values(), "depth"}))
        covered = rendered["depth"] < BACKGROUND_DEPTH
        turn = rotation_matrix(rendered["depth"].new_tensor([[0.0, 0.0, request.similarity.angle]]))[0]
        standing = turn.new_tensor(request.placement[3:])
        aligned = request.parameters.translation[0]
        finished = {
            "Normal": lambda normals: normals @ turn.mT,
            "Position": lambda points: ((points - aligned) @ turn.mT + standing) * covered,
            "Depth": lambda depth: torch.where(covered, depth + aligned[2] - standing[2], BACKGROUND_DEPTH),
        }
        empty = rendered["depth"].new_zeros(1, size, size, 2)  # UV of a face model without a layout
        drawn = {name: rendered[outputs[name]] if name in outputs else empty for name in passes}
        return {name: finished.get(name, lambda image: image)(image).permute(0, 3, 1, 2) for name, image in drawn.items()}

    @property
    def device(self) -> torch.device:
        return self.face.mean.device


def beyond_alignment(aligned: Tensor, reference: Tensor, angle: float, controls: Controls) -> tuple[Similarity, list[float]]:
    """The similarity that brings roll, translation and scale to a crop whose head stands at ``aligned`` (3,).

    Before them it carries the head to ``reference`` (3,), as large as it is seen there. Also the head's
    position (x, y, z) cm afterwards: its origin where the picture shows it, its distance divided by
    the scale.
    """
    points = torch.stack((aligned, reference)).double()
    (x, y, depth), (to_x, to_y, to_depth) = PORTRAIT_CAMERA.project(points.unsqueeze(0))[0].tolist()
    asked = tuple(2.0 * float(value) for value in controls.translation or (0.0, 0.0))
    shift = (asked[0] + to_x - x, asked[1] + to_y - y)
    similarity = Similarity(angle, float(controls.scale) * (depth / to_depth), (x, y), shift)
    ndc = points.new_tensor([x + shift[0], y + shift[1], depth / similarity.scale])
    return similarity, PORTRAIT_CAMERA.unproject(ndc.view(1, 1, 3))[0, 0].tolist()


def still_key(portrait: Portrait, still: Request, size: int, precision: str) -> tuple:
    """What a picture without the asked expression depends on."""
    numbers = (portrait.w, portrait.parameters.vector().numpy(), still.parameters.vector().cpu().numpy())
    return (*(values.tobytes() for values in numbers), still.similarity, size, precision)


def combine(layers: Tensor, passes: Sequence[str]) -> dict[str, Tensor]:
    """ "Combined" (scene-linear, premultiplied) and what ``passes`` asks of "Portrait" (sRGB) and "HeadMatte",
    of what ``moved_picture`` returns."""
    colour, alpha = layers[:, :3], layers[:, 3:4]
    pictures = {}
    if "Portrait" in passes:
        pictures["Portrait"] = (colour + (1 - alpha) * BACKDROP).clamp_(0, 1)
    if layers.shape[1] == 5:
        alpha = layers[:, 4:]
        colour = colour * alpha
    if "HeadMatte" in passes:
        pictures["HeadMatte"] = alpha.clamp(0, 1)
    straight = (colour / alpha.clamp(min=1e-4)).clamp_(0, 1)
    return {"Combined": torch.cat((srgb_to_linear(straight).mul_(alpha), alpha), dim=1), **pictures}


def move(image: Tensor, similarity: Similarity, size: int) -> Tensor:
    """A crop (N, C, H, H) into a picture of ``size``²: filtered down first where it is shown smaller, read only once."""
    if similarity.is_identity:
        return resize(image, size)
    shown = max(round(size * similarity.scale), 1)
    return similarity.warp(resize(image, min(shown, image.shape[-1])), size)


def resize(image: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N, C, size, size)."""
    if image.shape[-1] == size:
        return image
    return interpolate(image, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def to_array(image: Tensor) -> np.ndarray:
    """(1, C, H, W) -> float32 (H, W, C)."""
    return np.ascontiguousarray(image[0].permute(1, 2, 0).float().cpu().numpy())


def weight_files(folder: Path) -> dict[str, Path]:
    """The three files of the rig in a folder; the one called "studio" where there are several."""
    names = sorted(path.name.removesuffix("-generator.safetensors") for path in folder.glob("*-generator.safetensors"))
    if not names:
        raise StyleRigError(
            f"There are no weights in {folder}.",
            "Reinstall StyleRig, or choose the folder of a finished rig training.",
            code="missing_weights",
        )
    name = "studio" if "studio" in names else names[0]
    files = {part: folder / f"{name}-{part}.safetensors" for part in PARTS}
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


def hash_modules(modules: Sequence[torch.nn.Module]) -> str:
    """SHA-256 over the values of networks that are in no file."""
    digest = hashlib.sha256()
    for module in modules:
        for value in module.state_dict().values():
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
