"""The texts that every picture of ours carries: that it is synthetic, what made it, and how to make it again."""

from __future__ import annotations

import base64
import json
import zlib
from functools import lru_cache
from typing import Any

SYNTHETIC = "Synthetic portrait made by a generative model. It does not show a real person."
# IPTC's term for media made by a trained model; image libraries and social networks read it from XMP.
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE}"/></rdf:RDF></x:xmpmeta>'
)

# Names of the texts.
XMP_NAME = "XML:com.adobe.xmp"
DESCRIPTION, SOFTWARE, SOURCE, SOURCE_TYPE = "Description", "Software", "Source", "DigitalSourceType"
CONTROLS = "StyleRigControls"  # JSON of what the rig asked for
RECIPE = "StyleRigRecipe"  # a rig file of this one frame, packed
REQUEST = "StyleRigRequest"  # digest of all that the backend's own renderer made the frame from
PORTRAIT = "StyleRigPortrait"  # the rig's name in Blender
SYNTHETIC_TEXTS = {DESCRIPTION: SYNTHETIC, SOURCE_TYPE: DIGITAL_SOURCE}

MAX_RECIPE = 2 << 20  # bytes; a frame with the largest portrait that the schema takes has 1


def source_of(model: str, weights_hash: str, seed: int) -> str:
    """Who a picture shows."""
    return f"{model} {weights_hash}, seed {seed}"


def compact(value: object) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def pack_recipe(start: str, rest: str = "", level: int = -1) -> str:
    """The JSON of a rig file, given in two parts, as one line of text: deflated, base64.

    Recipes of one portrait begin alike: what ``start`` is packed to is remembered.
    """
    packed, stream = packed_start(start, level)
    stream = stream.copy()
    return base64.b64encode(packed + stream.compress(rest.encode()) + stream.flush()).decode("ascii")


@lru_cache(maxsize=4)
def packed_start(start: str, level: int) -> tuple[bytes, Any]:
    """What a text that begins so is packed to, and the stream to be copied that goes on with it.

    That saves packing 40 kB in each frame, 0.3 ms.
    """
    stream = zlib.compressobj(level)
    return stream.compress(start.encode()), stream


def unpack_recipe(text: str) -> bytes:
    """The JSON that ``pack_recipe`` packed. Raises ValueError or zlib.error for anything else."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(base64.b64decode(text, validate=True), MAX_RECIPE)
    if not unpacker.eof:
        raise ValueError("the recipe is cut off or too long")
    return content
