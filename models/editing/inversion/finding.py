"""Where the faces of a photograph are, and their 68 landmarks.

A small network is asked about squares of all sizes all over the picture (see ``perception.face_finder``); what it takes for a
face is looked at again where its landmarks say, and kept when moved, turned and zoomed squares agree about it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from models.editing.inversion.errors import no_face, several_faces, unknown_face
from models.editing.inversion.photo import Photo
from models.face.alignment import ffhq_crop, quarter_turn
from models.perception.face_finder import SIDE, FaceFinder
from models.perception.face_regressor import SIZE, Estimator

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
FINDER = WEIGHTS / "stylerig-finder.safetensors"
REGRESSOR = WEIGHTS / "stylerig-judge.safetensors"  # reads the landmarks
BATCH = 64
SCALES = (1.6, 1.2, 0.85, 0.6, 0.42, 0.3, 0.21, 0.15)  # squares to the shorter side of the picture
STRIDE = 0.3  # of a square's side
ROUNDS = 3  # of moving a square to where the answer says
JITTER = ((0.12, 0, 1, 0), (-0.12, 0, 1, 0), (0, 0.12, 1, 0), (0, -0.12, 1, 0), (0, 0, 0.85, 0), (0, 0, 1.18, 0),
          (0, 0, 1, 0.15), (0, 0, 1, -0.15), (0, 0, 1, 0))  # fmt: skip
LIKELY, SURE = 0.5, 0.9  # probability of a face: in a square of the search, and in the mean of jittered squares
LOOSE = 0.15  # half widths by which jittered squares may differ about a face's landmarks
MOST = 60  # squares that are looked at again
SMALLEST_FACE = 40  # pixels of the side of a face's crop
SAME, OWN = 0.3, 0.75  # of a face's size: nearer are two answers about one, and small things that belong to it
RIVAL = 0.5  # of the largest face's size: one that is smaller stands in the background


@dataclass(frozen=True, eq=False)
class Face:
    """``landmarks`` (68, 2) in pixels of the photograph, x right, y down; ``likely`` 0 to 1 that it is one."""

    landmarks: Tensor
    likely: float

    @property
    def width(self) -> float:
        """Pixels of the side of its FFHQ crop."""
        return float(2 * ffhq_crop(flip(self.landmarks[None]))[1].norm())


@dataclass(frozen=True, eq=False)
class Eyes:
    """The networks that see photographs: one finds faces, one reads landmarks off an aligned crop."""

    finder: FaceFinder
    regressor: Estimator

    @classmethod
    def load(cls, folder: Path = WEIGHTS) -> Eyes:
        """Those that ship."""
        return cls(FaceFinder.load(folder / FINDER.name), Estimator.load(folder / REGRESSOR.name))


def choose_face(photo: Photo, eyes: Eyes, which: int | None = None) -> Face:
    """The face of a photograph, or the one of number ``which``, from 1, left to right, with its landmarks as sharp as can be.

    Raises StyleRigError where there is none, or several and none was chosen. One that is far larger than the others is meant.
    """
    return refined(photo, one_of(find_faces(photo, eyes.finder), photo.name, which), eyes.regressor)


@torch.no_grad()
def refined(photo: Photo, face: Face, regressor: Estimator) -> Face:
    """The face with landmarks that were read off its aligned crop."""
    square = torch.cat(ffhq_crop(flip(face.landmarks[None])), dim=1)
    points, _ = regressor(Pyramid.of(photo.pixels).cut(square, SIZE))
    return Face(flip(in_picture(points, square))[0], face.likely)


def one_of(faces: list[Face], name: str, which: int | None) -> Face:
    """As ``choose_face`` chooses."""
    if not faces:
        raise no_face(name)
    if which is not None:
        if not 1 <= which <= len(faces):
            raise unknown_face(name, which, len(faces))
        return faces[which - 1]
    largest = max(faces, key=lambda face: face.width)
    if sum(face.width > RIVAL * largest.width for face in faces) > 1:
        raise several_faces(name, len(faces))
    return largest


@torch.no_grad()
def find_faces(photo: Photo, finder: FaceFinder) -> list[Face]:
    """All faces that are found, from left to right."""
    pyramid = Pyramid.of(photo.pixels)
    squares = likely_squares(pyramid, finder)
    for _ in range(ROUNDS):
        squares = told(squares, look(pyramid, squares, finder)[1])
    seen = verified(pyramid, squares, finder)
    faces = apart([face for face, loose in seen if face.likely >= SURE and loose <= LOOSE and face.width >= SMALLEST_FACE])
    return sorted(faces, key=lambda face: float(face.landmarks[:, 0].mean()))


def apart(faces: list[Face]) -> list[Face]:
    """The likeliest of each face; none of the small ones that are seen in a large one's hair, collar or hat."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.likely):
        if all(distance(face, other) > SAME * max(face.width, other.width) for other in kept):
            kept.append(face)
    return [
        face for face in kept if not any(face.width < RIVAL * other.width and distance(face, other) < OWN * other.width for other in kept)
    ]


def distance(face: Face, other: Face) -> float:
    """Pixels between the middles of two faces."""
    return float((face.landmarks.mean(dim=0) - other.landmarks.mean(dim=0)).norm())


def flip(points: Tensor) -> Tensor:
    """y down -> up, or back."""
    return points * points.new_tensor((1.0, -1.0))


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A picture (1, C, H, W) and its halves: a square is cut out of the one whose pixels are as large as the answer's."""

    levels: list[Tensor]

    @classmethod
    def of(cls, pixels: Tensor) -> Pyramid:
        """Of pixels (C, H, W)."""
        levels = [pixels[None]]
        while min(levels[-1].shape[2:]) > 2 * SIDE:
            height, width = levels[-1].shape[2:]
            levels.append(interpolate(levels[-1], size=(height // 2, width // 2), mode="bilinear", antialias=True, align_corners=False))
        return cls(levels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.levels[0].shape[2:]
        return height, width

    def cut(self, squares: Tensor, size: int, padding: str = "border") -> Tensor:
        """Squares (N, 4) -- centre and half axis x in pixels of the first level, y up -- as (N, C, size, size)."""
        pixels = 2 * squares[:, 2:].norm(dim=1) / size
        level = pixels.clamp(min=1).log2().floor().long().clamp(max=len(self.levels) - 1)
        cuts = squares.new_zeros(len(squares), self.levels[0].shape[1], size, size)
        for number in level.unique().tolist():
            chosen = level == number
            cuts[chosen] = cut(self.levels[number], squares[chosen], self.size, size, padding)
        return cuts


def cut(picture: Tensor, squares: Tensor, size_of_squares: tuple[int, int], size: int, padding: str) -> Tensor:
    """Squares (N, 4) in pixels of a picture of ``size_of_squares``, y up, out of ``picture`` (1, C, H, W), of any scale."""
    height, width = size_of_squares
    axis = (torch.arange(size) + 0.5) * (2 / size) - 1
    down, across = torch.meshgrid(axis, axis, indexing="ij")
    right, up = squares[:, None, None, 2:], quarter_turn(squares[:, 2:])[:, None, None]
    places = squares[:, None, None, :2] + across[..., None] * right - down[..., None] * up
    grid = torch.stack((places[..., 0] * (2 / width) - 1, -places[..., 1] * (2 / height) - 1), dim=-1)
    return grid_sample(picture.expand(len(squares), -1, -1, -1), grid, padding_mode=padding, align_corners=False)


def all_squares(height: int, width: int) -> Tensor:
    """Upright squares (N, 4) of all sizes all over a picture; they may reach beyond it."""
    found = []
    for scale in SCALES:
        side = scale * min(height, width)
        if side < SMALLEST_FACE:
            break
        places = [along(length, side) for length in (width, height)]
        x, y = torch.meshgrid(*places, indexing="xy")
        found.append(torch.stack((x.flatten(), -y.flatten(), torch.full((x.numel(),), side / 2), torch.zeros(x.numel())), dim=1))
    return torch.cat(found)


def along(length: int, side: float) -> Tensor:
    """Middles of squares of ``side`` along ``length``."""
    first, last = min(side / 4, length / 2), max(length - side / 4, length / 2)
    return torch.linspace(first, last, max(math.ceil((last - first) / (STRIDE * side)) + 1, 1))


def likely_squares(pyramid: Pyramid, finder: FaceFinder) -> Tensor:
    """The squares (N, 4) that may show a face, the likeliest first."""
    squares = all_squares(*pyramid.size)
    likely, _ = look(pyramid, squares, finder)
    order = likely.argsort(descending=True)
    return squares[order[likely[order] > LIKELY][:MOST]]


def look(pyramid: Pyramid, squares: Tensor, finder: FaceFinder) -> tuple[Tensor, Tensor]:
    """How likely squares (N, 4) show a face (N,), and where its landmarks (N, 68, 2) lie, in pixels, y up."""
    if not len(squares):
        return squares.new_zeros(0), squares.new_zeros(0, 68, 2)
    logits, points = zip(*(finder(pyramid.cut(part, SIDE)) for part in squares.split(BATCH)), strict=True)
    return torch.cat(logits).sigmoid(), in_picture(torch.cat(points), squares)


def in_picture(points: Tensor, squares: Tensor) -> Tensor:
    """Points (N, P, 2) in NDC of squares (N, 4) -> pixels, y up."""
    axis = squares[:, None, 2:]
    return squares[:, None, :2] + points[..., :1] * axis + points[..., 1:] * quarter_turn(axis)


def told(squares: Tensor, landmarks: Tensor) -> Tensor:
    """Squares (N, 4) as landmarks (N, 68, 2), y up, have them; those that would become another size altogether stay."""
    centre, axis = ffhq_crop(landmarks)
    size = axis.norm(dim=1) / squares[:, 2:].norm(dim=1)
    return torch.where(((size > 0.3) & (size < 3))[:, None], torch.cat((centre, axis), dim=1), squares)


def verified(pyramid: Pyramid, squares: Tensor, finder: FaceFinder) -> list[tuple[Face, float]]:
    """Faces in squares (N, 4), each the mean of what is seen in jittered ones, and by how many half widths these differ."""
    jitter, half = squares.new_tensor(JITTER), squares[:, None, 2:]
    shift = jitter[:, :1] * half + jitter[:, 1:2] * quarter_turn(half)
    turn, scale = jitter[:, 3:], jitter[:, 2:3]
    turned = scale * (half * turn.cos() + quarter_turn(half) * turn.sin())
    many = torch.cat((squares[:, None, :2] + shift, turned), dim=2)
    likely, points = (values.unflatten(0, many.shape[:2]) for values in look(pyramid, many.flatten(0, 1), finder))
    middle = points.mean(dim=1)
    loose = (points - middle[:, None]).norm(dim=-1).mean(dim=(1, 2)) / half.norm(dim=2)[:, 0]
    faces = [Face(flip(place), float(value)) for place, value in zip(middle, likely.mean(dim=1), strict=True)]
    return list(zip(faces, loose.tolist(), strict=True))
