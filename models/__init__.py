"""Tensors only: face model, generators, the rig and its training. Nothing here knows of Blender or of HTTP."""
