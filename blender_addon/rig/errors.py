"""The error of a rig that a person can put right."""

from __future__ import annotations


class RigError(Exception):
    """A rig that cannot be read: what is wrong (message), what to do (hint), a code.

    ``values`` go into the places that the message has in braces, so that it can be translated.
    """

    def __init__(self, code: str, message: str, hint: str = "", **values):
        self.code = code
        self.template, self.values = message, values
        self.message = message.format(**values) if values else message
        self.hint = hint
        super().__init__(f"{self.message} {hint}".strip())
