"""What the models' errors are to a client over HTTP and to a person at a terminal: a status, and the command that helps.

The models know neither; each of their errors has a code, and this is the table of the codes that need more than
the rest: every other one is a 400 whose hint says all.
"""

from __future__ import annotations

from models.errors import StyleRigError

BAD_REQUEST = 400
STATUS = {
    "unknown_model": 404,
    "client_gone": 409,
    "other_weights": 409,
    "superseded": 409,
    "weights_missing": 409,
    "not_finite": 422,
    "out_of_memory": 422,
    "busy": 429,
}
COMMANDS = {  # code -> the sentence that goes on after the error's own hint
    "bad_device": "Commands take --device cpu.",
    "bad_inception": "Its option is --inception.",
    "bad_judge": "`python -m backend train rig --stage judge` makes such a network.",
    "missing_features": "`python -m backend train features --data DIR --output FILE` trains them.",
    "missing_package": "`python build.py setup` makes an environment with all packages.",
    "missing_weights": "`python -m backend train rig` trains a rig.",
    "no_device": "Commands take --device cpu; `python build.py setup --device cuda` installs torch for a GPU.",
    "no_landmarks": "The options are --studio DIR and --landmarks FILE.",
}


def status_of(error: StyleRigError) -> int:
    """The HTTP status (4xx) that the error crosses the service with."""
    return STATUS.get(error.code, BAD_REQUEST)


def hint_of(error: StyleRigError) -> str:
    """The error's hint with the command or option that it is about."""
    return f"{error.hint} {COMMANDS.get(error.code, '')}".strip()
