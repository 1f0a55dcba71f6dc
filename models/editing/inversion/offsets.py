"""What tuning adds to a generator's weights for one portrait: a low-rank change of its convolutions, in a small file.

A convolution's weight (O, I, k, k) becomes weight + a @ b, with a (O, r) and b (r, I k k). The file is known by the SHA-256 of
its bytes: portraits name that, and files that hold portraits hold it once.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from models.editing.directions import generator_hash
from models.errors import StyleRigError
from models.generators import Generator

FORMAT = "portrait-offsets-1"
LARGEST_FILE = 600_000  # bytes, so that one fits into a request beside its portrait
HEADER = 20_000  # bytes of a file that are not numbers, at most
LARGEST_RANK = 16
LARGEST_CHANGE = 1.0  # of a weight, relative to it (Frobenius norms)


@dataclass(frozen=True, eq=False)
class Offsets:
    """``factors``: name of a weight of ``Generator.synthesis`` -> a (O, r), b (r, rest), float16. ``generator`` is the hash of its weights."""

    generator: str
    factors: Mapping[str, tuple[Tensor, Tensor]]

    @cached_property
    def data(self) -> bytes:
        """The file's bytes."""
        tensors = {}
        for name, (a, b) in self.factors.items():
            tensors[f"{name}.a"], tensors[f"{name}.b"] = (part.detach().cpu().half().contiguous() for part in (a, b))
        return save(tensors, {"stylerig": json.dumps({"format": FORMAT, "generator": self.generator})})

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def check(self, generator: Generator) -> None:
        """Raise StyleRigError where they do not belong to this generator, or would change it out of recognition."""
        weights = dict(generator.synthesis.named_parameters())
        if self.generator != generator_hash(generator):
            raise bad_offsets("they belong to another generator")
        for name, (a, b) in self.factors.items():
            weight = weights.get(name)
            if weight is None or weight.dim() != 4 or (len(a), b.shape[1]) != (len(weight), weight[0].numel()):
                raise bad_offsets(f"the generator has no weight {name!r} of that shape")
            if not (a @ b).norm() <= LARGEST_CHANGE * weight.flatten(1).norm():
                raise bad_offsets(f"they change {name!r} by more than itself")

    def applied(self, generator: Generator) -> Generator:
        """A generator with these offsets; the given one stays."""
        self.check(generator)
        tuned = copy.deepcopy(generator)
        with torch.no_grad():
            for name, weight in tuned.synthesis.named_parameters():
                if name in self.factors:
                    a, b = (part.float().to(weight.device) for part in self.factors[name])
                    weight.add_((a @ b).view_as(weight))
        return tuned


def read_offsets(data: bytes) -> Offsets:
    """Of a file's bytes. Raises StyleRigError for anything that ``Offsets.data`` does not write."""
    if len(data) > LARGEST_FILE:
        raise bad_offsets(f"they have {len(data)} bytes, at most {LARGEST_FILE} are allowed")
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["stylerig"])
        tensors = load(data)
        known, generator = header["format"] == FORMAT, str(header["generator"])
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise bad_offsets("they are damaged") from error
    names = sorted({name.rpartition(".")[0] for name in tensors})
    if not known or set(tensors) != {f"{name}.{part}" for name in names for part in "ab"}:
        raise bad_offsets("they are of another kind or version")
    factors = {name: (tensors[f"{name}.a"].float(), tensors[f"{name}.b"].float()) for name in names}
    for a, b in factors.values():
        if a.dim() != 2 or b.dim() != 2 or a.shape[1] != len(b) or not 1 <= len(b) <= LARGEST_RANK:
            raise bad_offsets("their shapes do not fit together")
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            raise bad_offsets("they hold values that are not numbers")
    found = Offsets(generator, factors)
    found.__dict__["data"] = data  # the hash is that of the file, however it was written
    return found


def offsets_between(first: Offsets | None, second: Offsets | None, share: float) -> Offsets | None:
    """Those at ``share`` (0–1) of the way from one portrait's to another's, of one generator; None is a generator as it was."""
    parts = [(found, weight) for found, weight in ((first, 1 - share), (second, share)) if found is not None]
    if not parts:
        return None
    names = sorted({name for found, _ in parts for name in found.factors})
    factors = {
        name: sum_of([(weight * found.factors[name][0], found.factors[name][1]) for found, weight in parts if name in found.factors])
        for name in names
    }
    return read_offsets(Offsets(parts[0][0].generator, factors).data)


def sum_of(factors: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """a (O, r), b (r, rest) whose product is nearest to the sum of products, with the largest r of them: files stay as small."""
    rank = max(len(b) for _, b in factors)
    left, outer = torch.linalg.qr(torch.cat([a for a, _ in factors], dim=1))
    right, inner = torch.linalg.qr(torch.cat([b for _, b in factors]).mT)
    u, values, v = torch.linalg.svd(outer @ inner.mT, full_matrices=False)
    root = values[:rank].sqrt()
    return left @ u[:, :rank] * root, root[:, None] * (v[:rank] @ right.mT)


def bad_offsets(reason: str) -> StyleRigError:
    return StyleRigError(
        f"The offsets of this portrait cannot be used: {reason}.",
        "Restore the file from a copy, or make the portrait from its photo again.",
        code="bad_offsets",
    )


def largest_rank(generator: Generator, most: int) -> int:
    """The largest rank up to ``most`` of offsets whose file is not too large. Raises StyleRigError where even one of 1 would be."""
    weights = tuned_weights(generator.synthesis).values()
    for rank in range(most, 0, -1):
        numbers = sum(factor_rank(weight, rank) * (len(weight) + weight[0].numel()) for weight in weights)
        if 2 * numbers + HEADER <= LARGEST_FILE:
            return rank
    raise StyleRigError("This generator is too large to be tuned to a photo.", "Use a smaller one.", code="bad_option")


def tuned_weights(synthesis: nn.Module) -> dict[str, Tensor]:
    """The convolutions that are tuned. One that is all 0, as of blocks that were not taught yet, has no size that a change could be relative to."""
    return {name: weight for name, weight in synthesis.named_parameters() if weight.dim() == 4 and weight.any()}


def factor_rank(weight: Tensor, rank: int) -> int:
    """The rank of a weight's factors, where ``rank`` is asked for."""
    return min(rank, len(weight), weight[0].numel())


class Tuning(nn.Module):
    """Offsets being found, for the convolutions of a synthesis network: ``rank`` numbers of each output and input."""

    def __init__(self, synthesis: nn.Module, rank: int, seed: int = 0):
        super().__init__()
        self.weights = tuned_weights(synthesis)
        self.names = list(self.weights)
        rng = torch.Generator().manual_seed(seed)
        self.a, self.b = nn.ParameterList(), nn.ParameterList()
        for weight in self.weights.values():
            least, fan_in = factor_rank(weight, rank), weight[0].numel()
            self.a.append(nn.Parameter(torch.zeros(len(weight), least)))
            self.b.append(nn.Parameter(torch.randn(least, fan_in, generator=rng).to(weight) * weight.std() * 0.5))

    def changed(self) -> dict[str, Tensor]:
        """Name -> weight with what was found so far."""
        return {name: self.weights[name] + change.view_as(self.weights[name]) for name, change in self.changes().items()}

    def changes(self) -> dict[str, Tensor]:
        """Name -> change (O, I k k)."""
        return {name: a @ b for name, a, b in zip(self.names, self.a, self.b, strict=True)}

    def size(self) -> Tensor:
        """Mean square of the changes, relative to the weights."""
        sizes = [change.square().sum() / self.weights[name].square().sum() for name, change in self.changes().items()]
        return torch.stack(sizes).mean()

    @torch.no_grad()
    def bound(self, most: float) -> None:
        """Shrink a change that is larger than ``most`` of its weight."""
        for a, (name, change) in zip(self.a, self.changes().items(), strict=True):
            limit = most * self.weights[name].norm()
            if (norm := change.norm()) > limit:
                a.mul_(limit / norm)

    def offsets(self, generator: Generator) -> Offsets:
        """What was found, for a file."""
        return read_offsets(Offsets(generator_hash(generator), dict(zip(self.names, zip(self.a, self.b, strict=True), strict=True))).data)
