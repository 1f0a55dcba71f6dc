"""What can go wrong with output and that a person can put right."""

from __future__ import annotations


class OutputError(Exception):
    """``message`` says what is wrong, ``hint`` what to do; both are one sentence or two.

    ``values`` go into the places that the message has in braces, so that it can be translated.
    """

    def __init__(self, message: str, hint: str = "", **values):
        self.template, self.values = message, values
        self.message = message.format(**values) if values else message
        self.hint = hint
        super().__init__(f"{self.message} {hint}".strip())
