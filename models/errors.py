"""The one kind of error that a user can cause."""

from __future__ import annotations

import unicodedata


class StyleRigError(Exception):
    """Something the user can put right.

    ``message`` says what is wrong, ``hint`` what to do about it, ``code`` is a short
    machine-readable name, by which layers above know which command or status belongs to it.
    Control characters in the two, which may come out of a file, are written as escapes.
    """

    def __init__(self, message: str, hint: str = "", code: str = "error"):
        self.message = escaped(message)
        self.hint = escaped(hint)
        super().__init__(self.message)
        self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def escaped(text: str) -> str:
    """``text`` without what a terminal could obey, or could not print: controls, marks of direction, halves of letters."""
    kinds = map(unicodedata.category, text)
    return "".join(repr(letter)[1:-1] if kind in ("Cc", "Cf", "Cs") and letter != "\n" else letter
                   for letter, kind in zip(text, kinds, strict=True))  # fmt: skip
