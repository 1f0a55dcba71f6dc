"""What can go wrong with output and that a person can put right."""

from __future__ import annotations


class OutputError(Exception):
    """``message`` says what is wrong, ``hint`` what to do; both are one sentence or two."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()
