"""What a frame is made from, as a rig file of that frame alone: it is written into the picture, and makes it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from backend import __version__
from models.errors import StyleRigError

if TYPE_CHECKING:
    from backend.files.images import Origin
    from backend.protocol.frames import LookMask
    from backend.server import schema
    from models.rigging import Controls, LookUse


def one_frame(
    portrait: schema.Portrait,
    controls: schema.Controls,
    size: int | None,
    passes: Sequence[str],
    compression: str = "ZIP",
    cryptomatte: bool = False,
) -> dict[str, Any]:
    """The rig file of one frame. What is as it was before there was a choice is not in it: files made then are known again.

    Offsets are in it by their hash alone: their file is ten times as large as the rest.
    """
    without = {"offsets": {"file"}} if portrait.offsets else {"offsets"}
    frame = dumped(controls)
    chosen = ({} if compression == "ZIP" else {"compression": compression}) | ({"cryptomatte": True} if cryptomatte else {})
    output = {"size": size, "passes": list(passes)} | chosen
    return {"portrait": portrait.model_dump(exclude=without), "frames": [frame], "output": output}


def dumped(controls: schema.Controls) -> dict[str, Any]:
    return with_hashes(controls).model_dump(exclude=None if controls.looks else {"looks"})


def motion(blur: schema.Motion) -> dict[str, Any]:
    """Motion blur of one frame, with its moments."""
    moments = [moment.model_dump(exclude={"controls"}) | {"controls": dumped(moment.controls)} for moment in blur.moments[0]]
    return blur.model_dump(exclude={"moments"}) | {"moments": [moments]}


def with_hashes(controls: schema.Controls) -> schema.Controls:
    """The controls with the hashes of the looks that they only name: a file made with another look of that name is out of date."""
    if all(use.sha256 for use in controls.looks):
        return controls
    looks = [use if use.sha256 else use.model_copy(update={"sha256": hash_of_look(use.name)}) for use in controls.looks]
    return controls.model_copy(update={"looks": looks})


def hash_of_look(name: str) -> str | None:
    """None where there is no such look: what draws the frame says so."""
    from models.translation.library import library

    try:
        return library().digest_of(name)
    except StyleRigError:
        return None


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
        distance=controls.distance,
        attributes=dict(controls.attributes),
        looks=[look_to_schema(use) for use in controls.looks],
    )


def look_to_schema(use: LookUse) -> schema.LookUse:
    """A look as a rig file has it."""
    import numpy as np

    from backend.server import schema, serialization

    style = None if use.style is None else serialization.encode(np.array(use.style))
    return schema.LookUse(
        name=use.name,
        sha256=use.sha256,
        strength=use.strength,
        label=use.label,
        seed=use.seed,
        style=style,
        mask=cast("LookMask", use.mask),
    )
