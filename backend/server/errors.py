"""The HTTP statuses of the models' errors, by their codes: every code that is not here is a 400."""

from __future__ import annotations

from models.errors import StyleRigError

BAD_REQUEST = 400
STATUS = {
    "unknown_job": 404,
    "unknown_model": 404,
    "client_gone": 409,
    "other_weights": 409,
    "superseded": 409,
    "weights_missing": 409,
    "offsets_missing": 409,
    "not_finite": 422,
    "out_of_memory": 422,
    "busy": 429,
}


def status_of(error: StyleRigError) -> int:
    """The HTTP status (4xx) that the error crosses the service with."""
    return STATUS.get(error.code, BAD_REQUEST)
