"""Which of the render passes a view layer has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol import cryptomatte
from ..protocol.passes import CRYPTOMATTE, PASSES, VECTOR, RenderPass

if TYPE_CHECKING:
    import bpy


def passes_of(view_layer: bpy.types.ViewLayer) -> tuple[RenderPass, ...]:
    """The passes besides Combined that a view layer has."""
    matted = (entry for layer, levels in cryptomatte_levels(view_layer).items() for entry in CRYPTOMATTE[layer][: (levels + 1) // 2])
    return (*PASSES, *((VECTOR,) if view_layer.use_pass_vector else ()), *matted)


def cryptomatte_levels(view_layer: bpy.types.ViewLayer) -> dict[str, int]:
    """How many names a pixel can hold, by layer of Cryptomatte that a view layer has."""
    wanted = {
        cryptomatte.PORTRAITS: view_layer.use_pass_cryptomatte_object,
        cryptomatte.PARTS: view_layer.use_pass_cryptomatte_material,
    }
    return {layer: view_layer.pass_cryptomatte_depth for layer, asked in wanted.items() if asked}
