"""The backend process: command line, HTTP service, pictures and sequences. Nothing here knows of Blender."""

__version__ = "0.1.0"
