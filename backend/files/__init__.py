"""Frames, films and rig files on disk."""
