"""What leaves Blender: the render engine, its passes, compositor, sequences, textures."""

from __future__ import annotations

from . import ahead, check, compositor, engine, metadata, sequence, texture

CLASSES = (*engine.CLASSES, *compositor.CLASSES, *sequence.CLASSES, *texture.CLASSES, *check.CLASSES)


def register() -> None:
    engine.register()
    sequence.register()
    metadata.register()
    ahead.register()


def unregister() -> None:
    ahead.unregister()
    metadata.unregister()
    sequence.unregister()
    engine.unregister()
