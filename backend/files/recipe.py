"""What a frame is made from, as a rig file of that frame alone: it is written into the picture, and makes it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from backend import __version__

if TYPE_CHECKING:
    from backend.files.images import Origin
    from backend.server import schema
    from models.rigging import Controls


def one_frame(
    portrait: schema.Portrait, controls: schema.Controls, size: int | None, passes: Sequence[str], compression: str = "ZIP"
) -> dict[str, Any]:
    """The rig file of one frame. What is as it was before there was a choice is not in it: files made then are known again."""
    output = {"size": size, "passes": list(passes)} | ({} if compression == "ZIP" else {"compression": compression})
    return {"portrait": portrait.model_dump(), "frames": [controls.model_dump()], "output": output}


def digest(recipe: dict[str, Any]) -> str:
    """A digest of all that a frame is made from, the program's version among it."""
    return hashlib.sha256(json.dumps([__version__, recipe], sort_keys=True).encode()).hexdigest()


def origin(recipe: dict[str, Any]) -> Origin:
    """What the picture of a recipe says of itself."""
    from backend.files.images import Origin

    portrait = recipe["portrait"]
    return Origin(portrait["model"], portrait["weights_hash"], portrait["seed"], digest(recipe), recipe)


def controls_to_schema(controls: Controls) -> schema.Controls:
    """Controls as a rig file has them; float32 values survive the way there and back."""
    from backend.server import schema

    return schema.Controls(
        rotation=controls.rotation and list(controls.rotation),
        expression=dict(controls.expression),
        light=None if controls.light is None else controls.light.tolist(),
        translation=controls.translation and list(controls.translation),
        scale=controls.scale,
        attributes=dict(controls.attributes),
    )
