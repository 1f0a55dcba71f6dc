"""The backend's own errors in words that can be translated: what it filled into a known message is taken out again.

Standard library only.
"""

from __future__ import annotations

import re
from functools import cache

from ..errors import Text, UserError

# What the backend says by the code of its error, as templates. It says more than this; what is not here is shown as it is.
MESSAGES: dict[str, tuple[str, ...]] = {
    "wrong_token": ("The token is missing or wrong.",),
    "out_of_memory": ("There is not enough memory for this frame.", "Ask for a smaller size or fewer passes, or close other programs."),
    "busy": ("{count} requests are waiting already.", "Wait for answers first."),
    "not_finite": (
        "This frame would hold values that are not numbers ({names}).",
        "Its portrait or its controls are far outside what the rig was made for: bring them nearer to those of a new portrait.",
    ),
    "unknown_model": ("There is no model {model} here.", "Use {name}."),
    "weights_missing": (
        "The weights that made this portrait ({wanted}) are not here; here are {present}.",
        "Install the version of StyleRig that holds them, or make a new portrait (its seed was {seed}).",
    ),
    "bad_portrait": ("This portrait cannot be used: {reason}.", "Make a new portrait, or restore the one in the file from a copy."),
    "no_face": (
        "There is no face to be found in {name}.",
        "Choose a photo that shows both eyes and the mouth, or cut it to head and shoulders.",
        "{name} has no face {number}: it shows {count}.",
        "Choose 1 to {count}, from left to right.",
    ),
    "several_faces": ("{name} shows {count} faces.", "Say which is meant: 1 to {count}, from left to right."),
    "bad_photo": (
        "{name} cannot be used: {reason}.",
        "Choose another picture, or save it as JPEG or PNG.",
        "Choose a photo that shows both eyes.",
        "Choose a sharper photo, or one with nothing before the face.",
    ),
    "bad_offsets": (
        "The offsets of this portrait cannot be used: {reason}.",
        "Restore the file from a copy, or make the portrait from its photo again.",
    ),
    "offsets_missing": (
        "The offsets {name} of this portrait are not here.",
        "Send the portrait with their file once, or open a file that holds it.",
    ),
    "unknown_attribute": ("The portrait has no attribute {name}.",),
    "bad_directions": (
        "{file} holds no directions that can be used: {reason}.",
        "Make the directions again.",
        "Choose the generator that they were made for, or make directions for this one.",
    ),
    "bad_layers": ("The layers cannot be used: {reason}.", 'Give numbers and ranges, as in "0-1,4", or "all".'),
    "bad_controls": ("The controls cannot be used: {reason}.", "Correct the values."),
    "missing_weights": (
        "There are no weights in {folder}.",
        "Reinstall StyleRig, or choose the folder of a finished rig training.",
        "{folder} lacks {names}.",
        "Train or copy the rig again.",
    ),
    "weights_do_not_fit": (
        "The {network} weights belong to another generator or face model.",
        "Train the rig for this generator and face model.",
    ),
    "other_weights": (
        'The portrait was made with other weights of the model "{model}" than those loaded.',
        "Load the weights that it was made with, or make the portrait again from its seed.",
    ),
}


def backend_error(error: dict) -> UserError:
    """The error of {"code", "message", "hint"} as the backend sends it. Raises LookupError, TypeError for anything else."""
    code = str(error["code"])
    return UserError(code, recognised(code, str(error["message"])), recognised(code, str(error.get("hint", ""))))


def recognised(code: str, text: str) -> Text:
    """A message as its template and what was filled in; one that is not known as it is."""
    for template in MESSAGES.get(code, ()):
        if match := pattern(template).fullmatch(text):
            return Text(template, **match.groupdict())
    return Text(text)


@cache
def pattern(template: str) -> re.Pattern[str]:
    """What a template looks like when it is filled in."""
    parts = re.split(r"{(\w+)}", template)
    return re.compile("".join(f"(?P<{part}>.*)" if index % 2 else re.escape(part) for index, part in enumerate(parts)), re.DOTALL)
