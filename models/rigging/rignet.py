"""RigNet: (w, wanted parameters) -> edited w.

``PaperRigNet`` has the published shapes (Tewari et al., StyleRig, CVPR 2020): per style layer a linear
encoder 512 -> 32 and a linear decoder [code; parameters] -> 512, whose output is added to w.
``JointRigNet`` is ours: a linear step that is fitted in closed form, and a non-linear part that sees the
whole code and all controls, so that it knows what a change does at the pose, expression and light at hand.

Both edit relative to the portrait's own parameters, w + d(w, wanted) - d(w, own), so that a
portrait's own parameters return the portrait itself, exactly.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from models.errors import StyleRigError
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.io.weights_file import bad_weights, fill_network, read_network, save_network
from models.rigging.reconstruction import Reconstruction

CONTROLS = {"pose": ("rotation",), "expression": ("expression",), "light": ("light",)}  # order of application
SIMULTANEOUS = ("rotation", "expression", "light")
CODE = 32  # size of an encoded style layer, from the paper
Method = Literal["paper", "simultaneous", "joint"]
METHODS = get_args(Method)
LAST_CONTROL = tuple(CONTROLS)[-1]


def component(parameters: RigParameters, parts: tuple[str, ...]) -> Tensor:
    """The values (N, C) of one control."""
    return torch.cat([getattr(parameters, part).flatten(1) for part in parts], dim=1)


class LayerLinear(nn.Module):
    """An independent linear map for each style layer: (N, L, I) -> (N, L, O)."""

    def __init__(self, layers: int, inputs: int, outputs: int, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(layers, inputs, outputs) * gain / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(layers, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nli,lio->nlo", x, self.weight) + self.bias


class PaperRigNet(nn.Module):
    """Linear per layer, as published. Codes and parameters come standardised."""

    def __init__(self, layers: int, width: int, size: int):
        super().__init__()
        self.encoder = LayerLinear(layers, width, CODE)
        self.decoder = LayerLinear(layers, CODE + size, width, gain=0.1)

    def step(self, w: Tensor, values: Tensor) -> Tensor:
        """The published d (N, L, 512) for values (N, C)."""
        codes = self.encoder(w)
        values = values.unsqueeze(1).expand(-1, codes.shape[1], -1)
        return self.decoder(torch.cat((codes, values), dim=-1))

    def forward(self, w: Tensor, own: Tensor, wanted: Tensor) -> Tensor:
        """The change (N, L, 512) from own to wanted values (N, C)."""
        return self.step(w, wanted) - self.step(w, own)


class JointRigNet(nn.Module):
    """One network for all controls: a linear step and a two-layer one that sees code and controls.

    What it decodes is the same for all style layers (a mapping network gives them one w) plus a
    change of low rank for each.
    """

    def __init__(self, layers: int, width: int, size: int, hidden: int):
        super().__init__()
        self.layers, self.width = layers, width
        self.linear = nn.Parameter(torch.zeros(size, layers, width))
        self.encoder = LayerLinear(layers, width, CODE)
        self.first = nn.Linear(layers * CODE + size, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.shared = nn.Linear(hidden, width, bias=False)
        self.detail = nn.Linear(hidden, CODE, bias=False)
        self.layer = nn.Parameter(torch.zeros(CODE, layers, width))
        nn.init.normal_(self.shared.weight, std=0.02 / math.sqrt(hidden))

    def forward(self, w: Tensor, own: Tensor, wanted: Tensor) -> Tensor:
        """The change (N, L, 512) from own to wanted values (N, C)."""
        codes = self.encoder(w).flatten(1)
        bend = self.bend(codes, wanted) - self.bend(codes, own)
        change = (wanted - own) @ self.linear.flatten(1) + self.detail(bend) @ self.layer.flatten(1)
        return change.unflatten(1, (self.layers, self.width)) + self.shared(bend).unsqueeze(1)

    def bend(self, codes: Tensor, values: Tensor) -> Tensor:
        """What the network makes of a state (N, hidden)."""
        hidden = nn.functional.elu(self.first(torch.cat((codes, values), dim=1)))
        return nn.functional.elu(self.second(hidden))


class RigNets(nn.Module):
    """All editing networks of one generator and how they are put together.

    ``method`` is one of METHODS: "paper" applies pose, expression and light one after the other, and reads
    the parameters again after each, so that a later step also takes back what an earlier leaked;
    "simultaneous" is the paper's network that takes all three at once, "joint" is ours, ``hidden`` wide.
    ``localize_expressions`` has the rig draw what lies outside the face with the portrait's own expression. ``turn_gain`` (3,)
    is what "joint" multiplies changes of yaw, pitch and roll with (training/gains.py).
    """

    turn_gain: Tensor
    w_mean: Tensor
    w_scale: Tensor
    header: dict[str, Any]

    def __init__(
        self, layers: int, width: int, sizes: dict[str, int], method: str = "joint", hidden: int = 512, localize_expressions: bool = False
    ):
        super().__init__()
        self.layers, self.width, self.sizes = layers, width, dict(sizes)
        self.hidden, self.method, self.localize_expressions = hidden, method, localize_expressions
        controls = {name: sum(sizes[part] for part in parts) for name, parts in CONTROLS.items()}
        total = sum(controls.values())
        self.paper = nn.ModuleDict({name: PaperRigNet(layers, width, size) for name, size in controls.items()})
        self.simultaneous = PaperRigNet(layers, width, total)
        self.joint = JointRigNet(layers, width, total, hidden)
        self.register_buffer("turn_gain", torch.ones(3))
        self.register_buffer("w_mean", torch.zeros(layers, width))
        self.register_buffer("w_scale", torch.ones(layers, width))
        for part in SIMULTANEOUS:
            self.register_buffer(f"{part}_mean", torch.zeros(sizes[part]))
            self.register_buffer(f"{part}_spread", torch.ones(sizes[part]))

    @classmethod
    def create(cls, reconstruction: Reconstruction, face: FaceModel, **options: Any) -> RigNets:
        """Untrained networks that share the reconstruction's statistics."""
        nets = cls(reconstruction.layers, reconstruction.width, reconstruction.sizes, **options)
        nets.w_mean.copy_(reconstruction.w_mean)
        nets.w_scale.copy_(reconstruction.w_scale)
        places = RigParameters.slices(face)
        for part in SIMULTANEOUS:
            getattr(nets, f"{part}_mean").copy_(reconstruction.mean[places[part]])
            getattr(nets, f"{part}_spread").copy_(reconstruction.spread[places[part]])
        return nets

    def published(self, name: str) -> PaperRigNet:
        """The paper's network of one of ``CONTROLS``, or "simultaneous"."""
        return self.simultaneous if name == "simultaneous" else cast(PaperRigNet, self.paper[name])

    def standardised(self, parameters: RigParameters, parts: tuple[str, ...]) -> Tensor:
        """Values (N, C) of one control, each with mean 0 and spread 1 in the population."""
        mean = torch.cat([getattr(self, f"{part}_mean") for part in parts])
        spread = torch.cat([getattr(self, f"{part}_spread") for part in parts])
        return (component(parameters, parts) - mean) / spread

    def code(self, w: Tensor) -> Tensor:
        """w (N, L, 512) standardised."""
        return (w - self.w_mean) / self.w_scale

    def apply_one(self, network: nn.Module, parts: tuple[str, ...], w: Tensor, own: RigParameters, wanted: RigParameters) -> Tensor:
        """w (N, L, 512) edited by one network."""
        values = (self.standardised(own, parts), self.standardised(wanted, parts))
        return w + self.w_scale * network(self.code(w), *values)

    def forward(
        self,
        w: Tensor,
        own: RigParameters,
        wanted: RigParameters,
        reconstruction: Reconstruction,
        face: FaceModel,
        method: str | None = None,
    ) -> Tensor:
        """w (N, L, 512) of heads with parameters ``own``, edited to ``wanted``: (N, L, 512)."""
        method = method or self.method
        if method == "joint":
            turn = self.turn_gain * (wanted.rotation - own.rotation)
            wanted = wanted.replace(rotation=own.rotation + turn)
        if method != "paper":
            return self.apply_one(getattr(self, method), SIMULTANEOUS, w, own, wanted)
        start, current, edited = reconstruction.vector(w), own, w
        for name, parts in CONTROLS.items():
            edited = self.apply_one(self.paper[name], parts, edited, current, wanted)
            if name != LAST_CONTROL:
                # Only the change is read: no change of w is no change of the parameters, exactly.
                change = reconstruction.vector(edited) - start
                current = RigParameters.from_vector(own.vector() + change, face)
        return edited

    def save(self, path: Path, header: dict) -> Path:
        shape = {"layers": self.layers, "width": self.width, "sizes": self.sizes, "hidden": self.hidden,
                 "method": self.method, "localize_expressions": self.localize_expressions}  # fmt: skip
        return save_network(self, path, "rignet", {**header, "shape": shape})

    @classmethod
    def load(cls, path: Path) -> RigNets:
        header, state = read_network(path, "rignet")
        if header.get("shape", {}).get("method") not in METHODS:
            raise StyleRigError(f"{path} names no known method.", f"Use one of {METHODS}.", code="bad_weights")
        shape = {"localize_expressions" if name == "keep" else name: value for name, value in header["shape"].items()}  # its former name
        try:
            network = cls(**shape)
        except TypeError as error:
            raise bad_weights(path, "its networks are of another version") from error
        network.header = header
        return fill_network(network, state, path)
