"""The one kind of error that a user can cause."""

from __future__ import annotations


class StyleRigError(Exception):
    """Something the user can put right.

    ``message`` says what is wrong, ``hint`` what to do about it, ``code`` is a short
    machine-readable name and ``status`` the HTTP status (4xx) it crosses the service with.
    """

    def __init__(self, message: str, hint: str = "", code: str = "error", status: int = 400):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.status = status

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()
