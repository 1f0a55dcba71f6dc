"""The render passes of a portrait in a picture: the one table that engine, compositor, sequence and files read."""

from __future__ import annotations

from dataclasses import dataclass

from . import cryptomatte, frames


@dataclass(frozen=True)
class RenderPass:
    """A pass as Blender registers it."""

    name: str
    channels: str  # one letter per channel, as in the EXR file
    kind: str  # Blender's type of the socket: VALUE | VECTOR | COLOR
    outside: float = 0.0  # value where the portrait does not reach

    @property
    def count(self) -> int:
        return len(self.channels)

    @property
    def smooth(self) -> bool:
        """Whether values may be mixed: not where their mean belongs to no surface."""
        return self.kind == "COLOR" or self.name in {"HeadMatte", "FaceMask", "Occlusion", *frames.MATTES}


COMBINED = RenderPass("Combined", "RGBA", "COLOR")  # scene-linear, premultiplied

# "Bare" is the placement Aligned Crop, where there is no scene camera.
PASSES = (
    RenderPass("Portrait", "RGB", "COLOR"),  # scene-linear, the generator's whole picture, no alpha
    RenderPass("HeadMatte", "X", "VALUE"),  # 0 to 1, coverage of head, hair and shoulders
    RenderPass("FaceMask", "X", "VALUE"),  # 0 to 1, coverage of the rig's face
    RenderPass("Normal", "XYZ", "VECTOR"),  # world; bare: Blender's axes, the portrait's camera looks along +Y
    RenderPass("Albedo", "RGB", "COLOR"),  # scene-linear
    RenderPass("Shading", "RGB", "COLOR"),  # scene-linear light that albedo is multiplied with
    RenderPass("Specular", "RGB", "COLOR"),  # scene-linear, what skin mirrors of the light
    RenderPass("Occlusion", "X", "VALUE", 1.0),  # 0 to 1, of an even light from all around what reaches the mesh
    RenderPass("Depth", "Z", "VALUE", frames.FAR),  # Blender units along the camera's axis
    RenderPass("HeadDepth", "Z", "VALUE", frames.FAR),  # the same, with hair and shoulders: in the plane through the head's middle
    RenderPass("UV", "UVA", "VECTOR"),  # u, v up, and 1 where the mesh is, as Map UV reads it
    RenderPass("Position", "XYZ", "VECTOR"),  # world, Blender units; bare: from the rig's head at rest, its axes
    *(RenderPass(name, "X", "VALUE") for name in frames.MATTES),  # 0 to 1, coverage of a part; of whole heads only
)

SOCKET_TYPES = {"VALUE": "FLOAT", "VECTOR": "VECTOR", "COLOR": "RGBA"}  # of File Output items

VECTOR = RenderPass("Vector", "XYZW", "VECTOR")  # pixels; of view layers that ask for Blender's own pass of this name
MAX_CRYPTOMATTE_LEVELS = 16  # that a view layer can ask for
CRYPTOMATTE = {  # layer -> its passes: identifier and coverage of two names each
    layer: tuple(RenderPass(name, "RGBA", "COLOR") for name in cryptomatte.pass_names(layer, MAX_CRYPTOMATTE_LEVELS))
    for layer in (cryptomatte.PORTRAITS, cryptomatte.PARTS)
}
EVERY_PASS = (COMBINED, *PASSES, VECTOR, *CRYPTOMATTE[cryptomatte.PORTRAITS], *CRYPTOMATTE[cryptomatte.PARTS])
