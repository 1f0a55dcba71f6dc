"""Frames as files and bytes: PNG, multilayer EXR and raw arrays. Row 0 is the top everywhere.

A frame is a dict of float32 arrays (H, W, C) as ``Rig.frame`` makes it; in EXR and raw arrays its
colours are scene-linear. Every picture says in its metadata that it is synthetic and what made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import PngImagePlugin

from backend import __version__
from backend.files.image_metadata import texts_of
from backend.protocol import cryptomatte, image_texts
from backend.protocol.colour import linear_to_srgb
from backend.protocol.frames import ARRAY_TYPE, COMBINED, ExrCompression, channel_names
from models.io.images import encode_image

EXR_LAYERS = {"Depth": "depth"}  # by the name of the pass, where programs expect another one
EXR_FLOAT = {"Depth", "HeadDepth", "UV", "Position", "Vector"}  # passes that half floats are too coarse for
MAX_HALF = 65504.0
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)  # x, y of red, green, blue and white


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
        """Metadata, name -> text."""
        texts = image_texts.SYNTHETIC_TEXTS | {
            image_texts.SOFTWARE: f"StyleRig {__version__}",
            image_texts.SOURCE: image_texts.source_of(self.model, self.weights_hash, self.seed),
            image_texts.REQUEST: self.request,
        }
        if self.recipe is not None:
            texts[image_texts.CONTROLS] = image_texts.compact(self.recipe["frames"][0])
            texts[image_texts.RECIPE] = image_texts.pack_recipe(image_texts.compact(self.recipe))
        return texts


def straight_srgb(combined: np.ndarray) -> np.ndarray:
    """Scene-linear premultiplied (H, W, 4) -> 8-bit sRGB with straight alpha (H, W, 4)."""
    alpha = np.clip(combined[..., 3:], 0.0, 1.0)
    colour = np.divide(combined[..., :3], alpha, out=np.zeros_like(combined[..., :3]), where=alpha > 0)
    return np.rint(255 * np.concatenate((linear_to_srgb(np.clip(colour, 0, 1)), alpha), axis=2)).astype(np.uint8)


def png_bytes(frame: dict[str, np.ndarray], origin: Origin) -> bytes:
    """The frame's Combined pass as an RGBA PNG."""
    return encode_image(straight_srgb(frame["Combined"]), pnginfo=png_texts(origin), compress_level=3)


def png_texts(origin: Origin) -> PngImagePlugin.PngInfo:
    """The metadata of a PNG."""
    info = PngImagePlugin.PngInfo()
    for name, text in origin.texts().items():
        info.add_text(name, text)
    info.add_itxt(image_texts.XMP_NAME, image_texts.XMP)
    return info


class SceneLinear(dict[str, np.ndarray]):
    """A frame whose colours are all scene-linear; in a rig's own, Portrait is sRGB."""


def scene_linear(frame: dict[str, np.ndarray]) -> SceneLinear:
    """The same frame with scene-linear colours."""
    import torch

    from models.colour import srgb_to_linear

    if isinstance(frame, SceneLinear) or "Portrait" not in frame:
        return SceneLinear(frame)
    return SceneLinear(frame | {"Portrait": srgb_to_linear(torch.from_numpy(frame["Portrait"])).numpy()})


def stacked(frame: dict[str, np.ndarray], passes: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Combined and ``passes`` as one little-endian float32 array (H, W, C) and its channels' names."""
    colours = scene_linear(frame)
    layers = [colours[name] for name in (COMBINED, *passes)]
    array = (layers[0] if len(layers) == 1 else np.concatenate(layers, axis=2)).astype(ARRAY_TYPE, copy=False)
    return np.ascontiguousarray(array), channel_names([COMBINED, *passes])


def exr_channels(frame: dict[str, np.ndarray], passes: Sequence[str]) -> dict[str, np.ndarray]:
    """Channel name -> (H, W), float16 where that is enough and float32 where it is not.

    Combined is plain R, G, B, A and depth has Nuke's name, as every program expects them.
    """
    array, names = stacked(frame, passes)
    return {exr_name(name): exr_pixels(name.partition(".")[0], array[..., i]) for i, name in enumerate(names)}


def exr_name(channel: str) -> str:
    """A channel of a raw array as EXR files name it."""
    layer, _, letter = channel.partition(".")
    return letter if layer == COMBINED else f"{EXR_LAYERS.get(layer, layer)}.{letter}"


def exr_pixels(layer: str, pixels: np.ndarray) -> np.ndarray:
    if layer in EXR_FLOAT:
        return np.ascontiguousarray(pixels, dtype=np.float32)
    return np.ascontiguousarray(pixels.clip(-MAX_HALF, MAX_HALF), dtype=np.float16)


def cryptomattes(coverages: cryptomatte.Coverages) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Channels and header of Cryptomattes."""
    channels: dict[str, np.ndarray] = {}
    header: dict[str, str] = {}
    for layer, names in coverages.items():
        header |= cryptomatte.texts(layer, names)
        for name, pixels in cryptomatte.ranked(layer, names).items():
            channels |= {f"{name}.{letter}": np.ascontiguousarray(pixels[..., i]) for i, letter in enumerate("RGBA")}
    return channels, header


def write_exr(
    path: Path,
    frame: dict[str, np.ndarray],
    passes: Sequence[str],
    origin: Origin,
    compression: ExrCompression = "ZIP",
    coverages: cryptomatte.Coverages | None = None,
) -> None:
    """Write the frame as a multilayer EXR, with Cryptomattes if there are ``coverages``. Raises OSError."""
    exact, about = cryptomattes(coverages) if coverages else ({}, {})
    write_channels(path, exr_channels(frame, passes), exact, origin.texts() | about, compression)  # names of texts that Blender writes too


def write_channels(
    path: Path, channels: dict[str, np.ndarray], exact: dict[str, np.ndarray], texts: dict[str, str], compression: ExrCompression
) -> None:
    """Write channels (H, W) by name, and those that have to stay to the bit, with ``texts`` in the header. Raises OSError.

    ``compression``: ZIP loses nothing and makes one part; DWAA loses of colours what is not seen. It would take Y of
    Normal and Position for brightness, so what is no colour is a second part, by ZIP.
    """
    import OpenEXR

    header = {"type": OpenEXR.scanlineimage, "chromaticities": REC709, "colorInteropID": "lin_rec709_scene", **texts}
    layer_of = lambda name: name.rpartition(".")[0]
    colours = {name for name in channels if compression == "ZIP" or (name[-1] in "RGBA" and layer_of(name) not in EXR_FLOAT)}
    colours |= exact.keys() if compression == "ZIP" else set()
    channels = channels | exact
    parts = [
        OpenEXR.Part(header | {"compression": getattr(OpenEXR, f"{kind}_COMPRESSION")}, {name: channels[name] for name in group}, part)
        for part, kind, group in (("rgba", compression, colours), ("data", "ZIP", channels.keys() - colours))
        if group
    ]
    try:
        with OpenEXR.File(parts) as file:
            file.write(str(path))
    except RuntimeError as error:  # the library's words: 'Failed to write … file "PATH". No space left on device.'
        raise OSError(str(error).rpartition('". ')[2].rstrip(".")) from error


def request_of(path: Path) -> str | None:
    """The request digest of a picture of ours, or None if it is not there, not whole or not ours."""
    try:
        return texts_of(path).get(image_texts.REQUEST)
    except Exception:  # whatever is wrong with the file, it is to be made again
        return None


def decodes(path: Path) -> bool:
    """Whether all pixels of a PNG or EXR can be read."""
    import OpenEXR
    from PIL import Image

    try:
        if path.suffix.lower() == ".exr":
            with OpenEXR.File(str(path)) as file:
                return bool(file.channels())
        with Image.open(path) as picture:
            picture.load()
        return True
    except Exception:  # whatever is wrong with the file, it is to be made again
        return False


def recipe_of(path: Path) -> bytes | None:
    """The rig file, as JSON, that a picture of ours or of Blender's says it was made from; None if it says none."""
    try:
        return image_texts.unpack_recipe(texts_of(path)[image_texts.RECIPE])
    except Exception:  # whatever is wrong with the file, nothing can be made from it
        return None
