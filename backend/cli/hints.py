"""The command or option that helps with an error, by its code: for a person at a terminal.

The models know no commands, and clients over HTTP have other ways.
"""

from __future__ import annotations

from models.errors import StyleRigError

COMMANDS = {  # code -> the sentence that goes on after the error's own hint
    "bad_device": "Commands take --device cpu.",
    "bad_inception": "Its option is --inception.",
    "bad_judge": "`python -m backend train rig --only judge` makes such a network.",
    "missing_features": "`python -m backend train features --data DIR --output FILE` trains them.",
    "missing_package": "`python build.py setup` makes an environment with all packages.",
    "missing_weights": "`python -m backend train rig` trains a rig.",
    "no_attributes": "`python -m backend directions attributes` makes one.",
    "no_device": "Commands take --device cpu; `python build.py setup --device cuda` installs torch for a GPU.",
    "no_face_regressor": "Its option is --face-regressor; `python -m backend train rig --only landmarks` trains it.",
    "several_faces": "Its option is --face.",
    "no_makeovers": "`python -m backend data makeovers --output DIR` renders one.",
    "no_landmarks": "The options are --studio DIR and --landmarks FILE.",
}


def hint_of(error: StyleRigError) -> str:
    """The error's hint with the command or option that it is about."""
    return f"{error.hint} {COMMANDS.get(error.code, '')}".strip()
