"""The render passes of a portrait: the one table that engine, compositor and sequence read."""

from __future__ import annotations

from dataclasses import dataclass

FAR = 1e10  # depth where there is nothing, as Blender's own engines write it


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


COMBINED = RenderPass("Combined", "RGBA", "COLOR")  # scene-linear, premultiplied

PASSES = (
    RenderPass("Portrait", "RGB", "COLOR"),  # scene-linear, over the backdrop, no alpha
    RenderPass("FaceMask", "X", "VALUE"),  # 0 to 1, coverage of the rig's face
    RenderPass("Normal", "XYZ", "VECTOR"),  # Blender's axes, the portrait's camera looks along +Y
    RenderPass("Albedo", "RGB", "COLOR"),  # scene-linear
    RenderPass("Shading", "RGB", "COLOR"),  # scene-linear light that albedo is multiplied with
    RenderPass("Depth", "Z", "VALUE", FAR),  # Blender units (metres) along the portrait's view axis
)

PORTRAIT = PASSES[0]
# What the backend is asked for; Combined always comes, and Portrait is made from it.
BACKEND_PASSES = tuple(entry.name for entry in PASSES if entry is not PORTRAIT)

SOCKET_TYPES = {"VALUE": "FLOAT", "VECTOR": "VECTOR", "COLOR": "RGBA"}  # of File Output items
