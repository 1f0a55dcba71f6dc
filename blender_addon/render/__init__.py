"""What leaves Blender: the render engine, its passes, compositor, sequences, textures."""

from __future__ import annotations

from . import compositor, engine, farm_check, metadata, prefetch, reach, rig_file, sequence, texture

CLASSES = (*engine.CLASSES, *compositor.CLASSES, *sequence.CLASSES, *rig_file.CLASSES, *texture.CLASSES, *farm_check.CLASSES)


def register() -> None:
    engine.register()
    sequence.register()
    metadata.register()
    prefetch.register()
    reach.register()


def unregister() -> None:
    reach.unregister()
    prefetch.unregister()
    metadata.unregister()
    sequence.unregister()
    engine.unregister()
