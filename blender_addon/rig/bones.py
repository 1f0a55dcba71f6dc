"""Names of the bones that a portrait's rig has."""

from __future__ import annotations

HEAD_BONE = "head"
NECK_BONE = "neck"
ROOT_BONE = "root"
EYE_BONES = {"L": "eye_L", "R": "eye_R"}
GAZE_BONE = "gaze"
GAZE_BONES = {"L": "gaze_L", "R": "gaze_R"}  # what each eye looks at; they hang on GAZE_BONE
