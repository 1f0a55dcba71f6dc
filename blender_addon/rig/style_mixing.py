"""Style mixing: layers of one portrait's latent taken from another's. numpy only.

After Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks",
2019, section 3.1: coarse styles (4² and 8²) carry pose and the shape of the face, middle ones (16²
and 32²) features and hair, fine ones colours and small detail. Two layers of w per resolution.
"""

from __future__ import annotations

import base64
import binascii

import numpy as np

from ..client import offsets
from ..errors import UserError

GROUPS = {"COARSE": (0, 4), "MIDDLE": (4, 8), "FINE": (8, None)}  # layers of w, from the first to before the last


def decode_w(portrait: dict) -> np.ndarray:
    """The latent w (L, 512) of a stored portrait. Raises UserError."""
    try:
        return np.frombuffer(base64.b64decode(portrait["w"], validate=True), dtype="<f4").reshape(portrait["w_shape"])
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise UserError("bad_portrait", "The portrait's w cannot be read.", "Make a new portrait.") from error


def encode_w(w: np.ndarray) -> str:
    """w as it is stored: base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(w, dtype="<f4").tobytes()).decode("ascii")


def mix(portrait: dict, other: dict, groups: set[str], amount: float = 1.0) -> np.ndarray:
    """w (L, 512) of ``portrait`` with the layers of ``groups`` taken from ``other``, or gone towards by ``amount``.

    Raises UserError when the two are of different generators.
    """
    w, source = decode_w(portrait).copy(), decode_w(other)
    if w.shape != source.shape or portrait.get("weights_hash") != other.get("weights_hash"):
        raise UserError("other_generator", "The two portraits were made by different generators.", "Make one of them again.")
    for group in groups:
        layers = slice(*GROUPS[group])
        w[layers] = np.float32(1 - amount) * w[layers] + np.float32(amount) * source[layers]  # exact at 0 and 1
    return w


def mix_parameters(portrait: dict, other: dict, groups: set[str], amount: float = 1.0) -> dict | None:
    """Parameters of the mixture where a latent does not hold a head's shape: identity goes with the coarse layers,
    reflectance with the fine ones. None where the latent holds them.
    """
    if not portrait.get("frame"):
        return None
    own, source = portrait["parameters"], other["parameters"]
    parts = [part for group, part in (("COARSE", "identity"), ("FINE", "reflectance")) if group in groups]
    return own | {part: ((1 - amount) * np.array(own[part]) + amount * np.array(source[part])).tolist() for part in parts}


def with_offsets_of(portrait: dict, mixed: dict) -> dict:
    """A mixture drawn by the generator as it was tuned to the photo of ``portrait``, where it was."""
    return {**mixed, "offsets": portrait["offsets"]} if offsets.digest_of(portrait) else mixed


def leaves_offsets(portrait: dict, other: dict) -> bool:
    """Whether ``other`` was made of a photo whose tuning a mixture with it lacks: there is one generator for all layers."""
    return offsets.digest_of(other) not in ("", offsets.digest_of(portrait))


def describe(other: str, groups: set[str], amount: float) -> str:
    """How a mixed portrait was made: "coarse and fine of Portrait 12"."""
    names = [name.lower() for name in GROUPS if name in groups]
    share = "" if amount == 1 else f"{amount:.0%} of "
    return f"{share}{' and '.join(names)} of {other}"
