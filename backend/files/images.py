"""Frames as files and bytes: PNG, multilayer EXR and raw arrays. Row 0 is the top everywhere.

A frame is a dict of float32 arrays (H, W, C) as ``Rig.frame`` makes it; in EXR and raw arrays its
colours are scene-linear. Every picture says in its metadata that it is synthetic and what made it.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import PngImagePlugin

from backend import __version__
from backend.files.image_metadata import texts_of
from models.io.images import encode_image

CHANNELS = {
    "Combined": "RGBA",
    "Portrait": "RGB",
    "HeadMatte": "X",
    "FaceMask": "X",
    "Normal": "XYZ",
    "Albedo": "RGB",
    "Shading": "RGB",
    "Depth": "Z",
    "UV": "UV",
    "Position": "XYZ",
}
SYNTHETIC = "Synthetic portrait made by a generative model. It does not show a real person."
# IPTC's term for media made by a trained model; image libraries and social networks read it from XMP.
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LARGEST_RECIPE = 2 << 20  # bytes; a frame with the largest portrait that the schema takes has 1
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE}"/></rdf:RDF></x:xmpmeta>'
)


@dataclass(frozen=True)
class Origin:
    """What made a picture.

    ``request`` is a digest of all it was made from, to know it again; ``recipe`` is a rig file of
    this one frame, to make it again.
    """

    model: str
    weights_hash: str
    seed: int
    request: str = ""
    recipe: dict | None = None

    def texts(self) -> dict[str, str]:
        """Metadata, name -> text; blender_addon/render/metadata.py writes the same names."""
        texts = {
            "Description": SYNTHETIC,
            "Software": f"StyleRig {__version__}",
            "Source": f"{self.model} {self.weights_hash}, seed {self.seed}",
            "DigitalSourceType": DIGITAL_SOURCE,
            "StyleRigRequest": self.request,
        }
        if self.recipe is not None:
            texts["StyleRigControls"] = json.dumps(self.recipe["frames"][0], separators=(",", ":"))
            texts["StyleRigRecipe"] = pack_recipe(self.recipe)
        return texts


def pack_recipe(recipe: dict) -> str:
    """A rig file as one line of text: JSON, deflated, base64."""
    return base64.b64encode(zlib.compress(json.dumps(recipe, separators=(",", ":")).encode())).decode("ascii")


def unpack_recipe(text: str) -> bytes:
    """The JSON that ``pack_recipe`` packed. Raises ValueError or zlib.error for anything else."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(base64.b64decode(text, validate=True), LARGEST_RECIPE)
    if not unpacker.eof:
        raise ValueError("the recipe is cut off or too long")
    return content


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Display values 0..1 of scene-linear values, clipped (IEC 61966-2-1)."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)


def straight_srgb(combined: np.ndarray) -> np.ndarray:
    """Scene-linear premultiplied (H, W, 4) -> 8-bit sRGB with straight alpha (H, W, 4)."""
    alpha = np.clip(combined[..., 3:], 0.0, 1.0)
    colour = np.divide(combined[..., :3], alpha, out=np.zeros_like(combined[..., :3]), where=alpha > 0)
    return np.rint(255 * np.concatenate((linear_to_srgb(colour), alpha), axis=2)).astype(np.uint8)


def png_bytes(frame: dict[str, np.ndarray], origin: Origin) -> bytes:
    """The frame's Combined pass as an RGBA PNG."""
    info = PngImagePlugin.PngInfo()
    for name, text in origin.texts().items():
        info.add_text(name, text)
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return encode_image(straight_srgb(frame["Combined"]), pnginfo=info, compress_level=3)


def stacked(frame: dict[str, np.ndarray], passes: list[str]) -> tuple[np.ndarray, list[str]]:
    """Combined and ``passes`` as one little-endian float32 array (H, W, C) and its channels' names."""
    import torch

    from models.colour import srgb_to_linear

    order = ["Combined", *passes]
    layers = [srgb_to_linear(torch.from_numpy(frame[name])).numpy() if name == "Portrait" else frame[name] for name in order]
    array = (layers[0] if len(layers) == 1 else np.concatenate(layers, axis=2)).astype("<f4", copy=False)
    return np.ascontiguousarray(array), [f"{name}.{letter}" for name in order for letter in CHANNELS[name]]


def exr_channels(frame: dict[str, np.ndarray], passes: list[str]) -> dict[str, np.ndarray]:
    """Channel name -> (H, W) float32. Combined is plain R, G, B, A, as every program expects it."""
    array, names = stacked(frame, passes)
    return {name.removeprefix("Combined."): np.ascontiguousarray(array[..., i], dtype=np.float32) for i, name in enumerate(names)}


def write_exr(path: Path, frame: dict[str, np.ndarray], passes: list[str], origin: Origin) -> None:
    """Write the frame as a one-part multilayer EXR in float32 with ZIP compression. Raises OSError."""
    import OpenEXR

    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        **{name[0].lower() + name[1:]: text for name, text in origin.texts().items()},
    }
    try:
        with OpenEXR.File(header, exr_channels(frame, passes)) as file:
            file.write(str(path))
    except RuntimeError as error:  # the library's words: 'Failed to write … file "PATH". No space left on device.'
        raise OSError(str(error).rpartition('". ')[2].rstrip(".")) from error


def request_of(path: Path) -> str | None:
    """The request digest of a picture of ours, or None if it is not there, not whole or not ours."""
    try:
        return texts_of(path).get("StyleRigRequest")
    except Exception:  # whatever is wrong with the file, it is to be made again
        return None


def recipe_of(path: Path) -> bytes | None:
    """The rig file, as JSON, that a picture of ours or of Blender's says it was made from; None if it says none."""
    try:
        return unpack_recipe(texts_of(path)["StyleRigRecipe"])
    except Exception:  # whatever is wrong with the file, nothing can be made from it
        return None
