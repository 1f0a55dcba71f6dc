"""What leaves Blender: the render engine, its passes, compositor, sequences, textures."""

from __future__ import annotations

from . import compositor, engine, sequence, texture

CLASSES = (*engine.CLASSES, *compositor.CLASSES, *sequence.CLASSES, *texture.CLASSES)


def register() -> None:
    engine.register()
    sequence.register()


def unregister() -> None:
    sequence.unregister()
    engine.unregister()
