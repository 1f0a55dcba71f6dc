"""Cryptomatte 1.2 (github.com/Psyop/Cryptomatte): names become hashes, coverages ranked layers, a manifest says which is which.

Two layers: portraits by the names of their rigs, and parts of them, "Portrait 7 hair". Coverages are float32
(H, W), 0 to 1, by layer and name. Standard library and numpy only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping

import numpy as np

Coverages = dict[str, dict[str, np.ndarray]]

PORTRAITS, PARTS = "CryptoObject", "CryptoMaterial"  # what compositors and Blender's view layers call such layers
LEVELS = 6  # names that a pixel can hold; two a pass
PART_OF_MATTE = {
    "SkinMatte": "skin",
    "HairMatte": "hair",
    "EyesMatte": "eyes",
    "MouthMatte": "mouth",
    "ClothesMatte": "clothes",
    "GlassesMatte": "glasses",
}
REST = "rest"  # what is in no matte of a part
MASK = 0xFFFFFFFF


def murmur3(text: str) -> int:
    """MurmurHash3_x86_32 with seed 0 of a text in UTF-8."""
    data = text.encode()
    whole = len(data) // 4 * 4
    mixed = 0
    for (block,) in struct.iter_unpack("<I", data[:whole]):
        mixed = (rotated(mixed ^ scrambled(block), 13) * 5 + 0xE6546B64) & MASK
    mixed ^= scrambled(int.from_bytes(data[whole:], "little")) ^ len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = ((mixed ^ mixed >> shift) * factor) & MASK
    return mixed ^ mixed >> 16


def scrambled(block: int) -> int:
    return rotated(block * 0xCC9E2D51 & MASK, 15) * 0x1B873593 & MASK


def rotated(number: int, bits: int) -> int:
    return (number << bits | number >> 32 - bits) & MASK


def identifier(name: str) -> int:
    """A name's 32 bits, which as a float are neither tiny, infinite nor no number."""
    bits = murmur3(name)
    return bits ^ 1 << 23 if bits >> 23 & 255 in (0, 255) else bits


def pass_names(layer: str, levels: int = LEVELS) -> list[str]:
    """The passes that hold a layer's names in the order of their coverage: CryptoObject00 and so on."""
    return [f"{layer}{number:02}" for number in range((levels + 1) // 2)]


def texts(layer: str, names: Iterable[str]) -> dict[str, str]:
    """What a file's metadata say of a layer."""
    manifest = {name: f"{identifier(name):08x}" for name in sorted(names)}
    start = f"cryptomatte/{murmur3(layer):08x}"[:19]
    about = {"name": layer, "hash": "MurmurHash3_32", "conversion": "uint32_to_float32"}
    about["manifest"] = json.dumps(manifest, ensure_ascii=False, separators=(",", ":"))
    return {f"{start}/{key}": value for key, value in about.items()}


def of_portrait(name: str, passes: Mapping[str, np.ndarray]) -> Coverages:
    """What a portrait covers, by its passes (H, W, C): its parts add up to its alpha."""
    alpha = passes["Combined"][..., 3].clip(0, 1)
    parts = {part: passes[matte][..., 0] for matte, part in PART_OF_MATTE.items() if matte in passes}
    total = sum(parts.values(), np.zeros_like(alpha))
    share = np.divide(alpha, total, out=np.ones_like(alpha), where=total > alpha)
    parts = {part: matte * share for part, matte in parts.items()} | {REST: (alpha - total).clip(0)}
    return {PORTRAITS: {name: alpha}, PARTS: {f"{name} {part}": matte for part, matte in parts.items() if matte.any()}}


def over(front: Coverages, back: Coverages) -> Coverages:
    """What is seen of both where one portrait stands before another."""
    seen = 1 - sum(front[PORTRAITS].values())
    result = {layer: {name: coverage * seen for name, coverage in names.items()} for layer, names in back.items()}
    for layer, names in front.items():
        known = result.setdefault(layer, {})
        known |= {name: coverage + known.get(name, 0) for name, coverage in names.items()}
    return result


def ranked(layer: str, coverages: Mapping[str, np.ndarray], levels: int = LEVELS) -> dict[str, np.ndarray]:
    """The passes (H, W, 4) of a layer: identifier and coverage of two names each, those that cover most first."""
    numbers = np.array([identifier(name) for name in coverages], dtype=np.uint32).view(np.float32)
    stack = np.stack(list(coverages.values()))
    rows, columns = np.nonzero(stack.any(axis=0))
    values = stack[:, rows, columns]
    order = np.argsort(-values, axis=0, kind="stable")[:levels]
    found = np.take_along_axis(values, order, axis=0)
    names = pass_names(layer, levels)
    table = np.zeros((*stack.shape[1:], len(names) * 4), dtype=np.float32)
    for rank, (which, coverage) in enumerate(zip(order, found, strict=True)):
        table[rows, columns, 2 * rank] = np.where(coverage > 0, numbers[which], 0)
        table[rows, columns, 2 * rank + 1] = coverage
    return dict(zip(names, np.split(table, len(names), axis=2), strict=True))
