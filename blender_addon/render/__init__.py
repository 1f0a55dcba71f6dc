"""What leaves Blender: the render engine, its passes, compositor, sequences, textures."""

from __future__ import annotations

from . import (
    compositor,
    engine,
    farm_check,
    memory,
    metadata,
    node_groups,
    overscan,
    portrait_camera,
    prefetch,
    reach,
    rig_file,
    sequence,
    texture,
)

PARTS = (engine, compositor, node_groups, overscan, sequence, rig_file, texture, farm_check, portrait_camera)
CLASSES = tuple(cls for part in PARTS for cls in part.CLASSES)


def register() -> None:
    engine.register()
    sequence.register()
    metadata.register()
    prefetch.register()
    memory.register()
    reach.register()


def unregister() -> None:
    reach.unregister()
    memory.unregister()
    prefetch.unregister()
    metadata.unregister()
    sequence.unregister()
    engine.unregister()
