"""What every part of the rig knows: the head bone's name, and the error that a person can put right."""

from __future__ import annotations

HEAD_BONE = "head"


class RigError(Exception):
    """A rig that cannot be read: what is wrong (message), what to do (hint), a code."""

    def __init__(self, code: str, message: str, hint: str = ""):
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint
