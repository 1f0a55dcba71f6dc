"""The eight expressions that turn the eyes, and how two eyes move together."""

from __future__ import annotations

from torch import Tensor

STEMS = ("eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut")
# Eyes that look one way: to the face's left, to its right, up, down.
WAYS = (
    ("eyeLookOut_L", "eyeLookIn_R"),
    ("eyeLookIn_L", "eyeLookOut_R"),
    ("eyeLookUp_L", "eyeLookUp_R"),
    ("eyeLookDown_L", "eyeLookDown_R"),
)


def is_gaze(name: str) -> bool:
    """Whether an expression turns an eye."""
    return name.removesuffix("_L").removesuffix("_R") in STEMS


def set_expression(weights: Tensor, name: str, wanted: float, names: list[str]) -> Tensor:
    """A copy of weights (N, E) with the expression ``name`` at ``wanted``.

    Eyes turn together: the other one turns as far the same way, and neither the opposite way.
    """
    for way, pair in enumerate(WAYS):
        if name in pair:
            amount = weights.new_full((len(weights),), -wanted if way % 2 else wanted)
            return turn_eyes(weights, way // 2, amount, names)
    weights = weights.clone()
    weights[:, names.index(name)] = wanted
    return weights


def turn_eyes(weights: Tensor, axis: int, amount: Tensor, names: list[str]) -> Tensor:
    """A copy of weights (N, E) whose eyes look ``amount`` (N,) from -1 to 1 to the face's left (axis 0) or up (axis 1)."""
    weights = weights.clone()
    for pair, value in zip(WAYS[2 * axis : 2 * axis + 2], (amount, -amount), strict=True):
        for name in pair:
            if name in names:
                weights[:, names.index(name)] = value.clamp(min=0)
    return weights


def moves_with(name: str) -> set[str]:
    """The expressions that ``set_expression`` may change, ``name`` among them."""
    way = next((number for number, pair in enumerate(WAYS) if name in pair), None)
    return {name} if way is None else {*WAYS[way], *WAYS[way ^ 1]}
