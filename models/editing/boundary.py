"""InterFaceGAN: the plane in latent space on whose sides an attribute is and is not, and moving along its normal.

Shen et al., "Interpreting the Latent Space of GANs for Semantic Face Editing" (CVPR 2020), with the defaults of
https://github.com/genforce/interfacegan.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.editing.errors import bad_boundary, bad_scores
from models.errors import StyleRigError
from models.io.atomic_write import write_atomic
from models.io.regular_file import UnreadableFile, read_regular

CHOSEN = 0.02  # share of the codes that each end is made of
SPLIT = 0.7  # share of each end that the plane is fitted to; the rest validates it
LEAST = 10  # codes of an end
LARGEST_FILE = 1 << 20
INDEPENDENT = 1e-4  # what must be left of a direction of length 1 for it to have one of its own
PUBLISHED_MODELS = ("stylegan_ffhq_", "stylegan_celebahq_", "pggan_celebahq_")  # what names of published boundaries begin with


@dataclass(frozen=True, eq=False)
class Boundary:
    """A plane: its ``normal`` (D,), of length 1, points to higher scores; ``offset`` is its distance from the origin that way.

    ``validation`` and ``all`` are the shares of held-out ends and of all codes that lie on their side.
    """

    normal: Tensor
    offset: float
    validation: float
    all: float


def train_boundary(codes: Tensor, scores: Tensor, chosen: float = CHOSEN, split: float = SPLIT, seed: int = 0) -> Boundary:
    """The boundary of an attribute from codes (N, D) and their scores (N,); a code whose score is NaN is left out.

    A linear support vector machine with C = 1 tells the ends apart, which are ``chosen`` (a share up to 1, else a number)
    of the highest and of the lowest scores. For the accuracy on all codes, those count as having the attribute whose score
    is above the middle of the highest and the lowest.

    Raises StyleRigError for too few codes and for scores that do not differ.
    """
    from sklearn.svm import SVC  # slow to import, and only for who trains

    known = ~torch.isnan(scores)
    codes, scores = codes[known], scores[known].double()
    order = torch.argsort(scores, descending=True, stable=True)
    high, low = ends(scores[order], order, chosen)
    random = np.random.default_rng(seed)
    train, held = zip(*(split_end(end, split, random) for end in (high, low)), strict=True)
    machine = SVC(kernel="linear", C=1.0).fit(*labelled(codes, train))
    normal = torch.from_numpy(machine.coef_.reshape(-1).copy())
    length = float(normal.norm())
    normal, offset = normal / length, -float(machine.intercept_[0]) / length
    sides = torch.mv(codes, normal.float()) > offset
    has_it = scores >= (scores[order[0]] + scores[order[-1]]) / 2
    validation = torch.cat((sides[held[0]], ~sides[held[1]])).double().mean()
    return Boundary(normal.float(), offset, float(validation), float((sides == has_it).double().mean()))


def ends(descending: Tensor, order: Tensor, chosen: float) -> tuple[Tensor, Tensor]:
    """Places of the highest and of the lowest scores. Raises StyleRigError where they cannot be told apart."""
    count = len(order)
    size = min(int(chosen * count) if 0 < chosen <= 1 else int(chosen), count // 2)
    if size < LEAST:
        needed = f"at least {LEAST} of each end are needed"
        raise bad_scores(f"of {count} codes {max(size, 0)} are chosen, {needed}", "Score more codes, or choose a larger share of them.")
    if descending[size - 1] <= descending[-size]:
        what = "all scores are the same" if descending[0] == descending[-1] else f"fewer than {size} differ from the rest"
        raise bad_scores(what, "Score more codes, choose a smaller share of them, or leave the attribute out.")
    return order[:size], order[-size:]


def split_end(end: Tensor, split: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """An end, shuffled, as what is trained with and what is held out; neither is empty."""
    shuffled = end[torch.from_numpy(random.permutation(len(end)))]
    count = min(max(int(len(end) * split), 1), len(end) - 1)
    return shuffled[:count], shuffled[count:]


def labelled(codes: Tensor, sides: Sequence[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the places on both sides and their labels, 1 for the first side."""
    labels = np.concatenate([np.full(len(side), 1 - number) for number, side in enumerate(sides)])
    return codes[torch.cat(tuple(sides))].double().numpy(), labels


def project(normal: Tensor, conditions: Tensor | Sequence[Tensor], name: str = "The direction") -> Tensor:
    """``normal`` (D,) without its components along any of ``conditions`` (M, D), scaled to length 1.

    Raises StyleRigError where nothing is left of it.
    """
    rows = torch.stack(tuple(conditions)).double() if len(conditions) else normal.new_zeros(0, len(normal)).double()
    _, sizes, basis = torch.linalg.svd(normalize(rows, dim=1), full_matrices=False)
    basis = basis[sizes > INDEPENDENT]
    rest = normal.double() - basis.mT @ (basis @ normal.double())
    if rest.norm() < INDEPENDENT * normal.norm():
        raise StyleRigError(
            f"{name} cannot be kept apart from its conditions: it consists of them.", "Leave a condition out.", code="bad_conditions"
        )
    return normalize(rest, dim=0).to(normal.dtype)


def edit(code: Tensor, normal: Tensor, distance: float | Tensor) -> Tensor:
    """Codes moved along a normal (D,) by ``distance``, one number or (N,), as published.

    A code in Z or W (N, D) goes to that distance from the plane through the origin, wherever it was; one in W+ (N, L, D)
    goes that far from where it is, in all layers. Codes in Z have mean square 1 before (``normalize_2nd_moment``).
    """
    normal, distance = normal.to(code), torch.as_tensor(distance, dtype=code.dtype, device=code.device)
    if code.dim() == 3:
        return code + distance.reshape(-1, 1, 1) * normal
    return code + (distance.reshape(-1) - code @ normal)[:, None] * normal


def cosines(normals: Tensor) -> Tensor:
    """Correlation (M, M) of boundaries (M, D): the cosines of their normals."""
    unit = normalize(normals.double(), dim=1)
    return unit @ unit.mT


def correlations(scores: Tensor) -> Tensor:
    """Pearson's correlation (M, M) of attributes over the codes (N, M) that have a score of all of them; NaN where one is constant."""
    known = scores[~torch.isnan(scores).any(dim=1)].double()
    centred = known - known.mean(dim=0)
    covariance = centred.mT @ centred
    std = covariance.diagonal().sqrt()
    return covariance / (std[:, None] * std)


def save_boundary(path: str | Path, normal: Tensor) -> Path:
    """Write a normal (D,) as InterFaceGAN does: an array (1, D) in a .npy file."""
    stream = io.BytesIO()
    np.save(stream, normal.detach().cpu().numpy()[None], allow_pickle=False)
    return write_atomic(path, stream.getvalue())


def load_boundary(path: str | Path, width: int) -> Tensor:
    """The normal (D,) of a .npy file with an array (1, D) or (D,), scaled to length 1.

    Raises StyleRigError for a file that is no such array or has another width than ``width``.
    """
    try:
        data = read_regular(path, LARGEST_FILE)
    except UnreadableFile as error:
        raise bad_boundary(path, error.reason) from error
    shape, dtype, start = read_npy_header(path, data)
    if shape not in ((width,), (1, width)):
        raise bad_boundary(path, f"its array has the shape {shape}, this generator needs (1, {width})")
    if len(data) != start + width * dtype.itemsize:
        raise bad_boundary(path, "it has another size than it says")
    normal = torch.from_numpy(np.frombuffer(data, dtype, offset=start).astype(np.float64))
    if not torch.isfinite(normal).all():
        raise bad_boundary(path, "it has values that are not numbers")
    if not 1e-6 < normal.norm() < 1e6:
        raise bad_boundary(path, "it has no direction")
    return normalize(normal, dim=0).float()


def read_npy_header(path: str | Path, data: bytes) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and where the numbers begin; nothing is allocated that the header asks for, and no object is made."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, TokenError) as error:
        raise bad_boundary(path, "it is no .npy file, or damaged") from error
    if dtype.kind != "f":
        raise bad_boundary(path, f"its array holds {'Python objects' if dtype.hasobject else dtype}, not floating-point numbers")
    return shape, dtype, stream.tell()


def attribute_by_name(path: str | Path) -> str:
    """What a boundary is of, by its file's name: "age" of ``stylegan_ffhq_age_w_boundary.npy``, "age_c_smile" with a condition."""
    stem = Path(path).stem.removesuffix("_boundary").removesuffix("_w")
    return next((stem.removeprefix(model) for model in PUBLISHED_MODELS if stem.startswith(model)), stem)


def space_by_name(path: str | Path) -> str | None:
    """The space of a boundary that is named as the published ones are, ``MODEL_age[_c_smile][_w]_boundary.npy``: "w", "z", or None."""
    stem = Path(path).stem
    if not stem.endswith("_boundary"):
        return None
    return "w" if stem.endswith("_w_boundary") else "z"
