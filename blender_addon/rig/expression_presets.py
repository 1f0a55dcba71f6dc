"""Named expressions: a list that is always there, and actions that an artist keeps as assets."""

from __future__ import annotations

import re

import bpy

from ..errors import UserError
from .animation import ensure_bag
from .attributes import path_of
from .controls import expressions_of, key_path, value_of

MARK = "stylerig_pose"  # custom property of an action that is a pose
AUTHOR = "StyleRig"


def both(**values: float) -> dict[str, float]:
    """The same values on the left and the right side."""
    return {f"{name}_{side}": value for name, value in values.items() for side in "LR"}


# The six basic expressions of Ekman by the shapes that stand for their action units, and everyday ones.
POSES: dict[str, dict[str, float]] = {
    "Smile": both(mouthSmile=0.7, cheekSquint=0.35, eyeSquint=0.2),
    "Laugh": both(mouthSmile=0.9, cheekSquint=0.7, eyeSquint=0.5, mouthUpperUp=0.35, mouthLowerDown=0.3) | {"jawOpen": 0.4},
    "Sad": both(browInnerUp=0.8, mouthFrown=0.7, eyeSquint=0.2, eyeLookDown=0.3) | {"mouthShrugLower": 0.35},
    "Angry": both(browDown=0.9, eyeSquint=0.45, noseSneer=0.4, mouthPress=0.6, mouthFrown=0.2),
    "Surprised": both(browInnerUp=0.8, browOuterUp=0.9, eyeWide=0.8) | {"jawOpen": 0.45},
    "Afraid": both(browInnerUp=0.9, browOuterUp=0.5, eyeWide=0.9, mouthStretch=0.6) | {"jawOpen": 0.2},
    "Disgusted": both(noseSneer=0.9, mouthUpperUp=0.6, browDown=0.5, mouthFrown=0.3, cheekSquint=0.4),
    "Contempt": {"mouthSmile_L": 0.45, "mouthDimple_L": 0.5, "mouthPress_L": 0.3, "eyeSquint_L": 0.2},
    "Blink": both(eyeBlink=1.0),
    "Wink": {"eyeBlink_L": 1.0, "cheekSquint_L": 0.5, "mouthSmile_L": 0.3},
    "Kiss": {"mouthPucker": 0.9, "mouthFunnel": 0.2},
    "Ah": {"jawOpen": 0.6},
    "Ee": both(mouthStretch=0.4, mouthSmile=0.3, mouthLowerDown=0.2) | {"jawOpen": 0.12},
    "Oh": {"mouthFunnel": 0.7, "jawOpen": 0.35},
    "Mm": both(mouthPress=0.4) | {"mouthRollLower": 0.35, "mouthRollUpper": 0.3},
}


def kept_poses() -> list[bpy.types.Action]:
    """The actions of this file that are poses of a face, linked ones too."""
    return [action for action in bpy.data.actions if MARK in action.keys()]


def pose_named(name: str) -> dict[str, float]:
    """Expression name -> value of an action of this name, else of the list. Raises UserError."""
    action = bpy.data.actions.get(name)
    if action is not None and MARK in action.keys():
        return pose_of(action)
    if name not in POSES:
        raise UserError("no_pose", "There is no pose named “{name}”.", "Choose one of the list.", name=name)
    return POSES[name]


def pose_of(action: bpy.types.Action) -> dict[str, float]:
    """Expression name -> value at the first key of each curve."""
    values = {}
    for layer in action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                for curve in bag.fcurves:
                    name = name_of(curve.data_path)
                    if name and curve.keyframe_points:
                        values[name] = curve.keyframe_points[0].co.y
    return values


def name_of(path: str) -> str:
    """The expression that a data path leads to, of shape keys or of a rig's controls; empty for others."""
    inner = re.fullmatch(r'(?:key_blocks)?\["(.+)"\](?:\.value)?', path)
    name = bpy.utils.unescape_identifier(inner[1]) if inner else ""
    return name if path in (key_path(name), path_of(name)) else ""


def keep_pose(name: str, values: dict[str, float]) -> bpy.types.Action:
    """An action of one frame with these values, marked as an asset; replaces a pose of this name.

    It has a slot for shape keys and one for the controls of a rig, so that the NLA of either takes it.
    """
    old = bpy.data.actions.get(name)
    if old is not None and MARK in old.keys() and old.library is None:
        bpy.data.actions.remove(old)
    action = bpy.data.actions.new(name)
    action[MARK] = True
    for kind, path in (("KEY", key_path), ("OBJECT", path_of)):
        bag = ensure_bag(action, action.slots.new(id_type=kind, name="Expression"))
        for expression, value in values.items():
            bag.fcurves.new(path(expression)).keyframe_points.insert(1, value)
    action.asset_mark()
    action.asset_data.author = AUTHOR
    action.asset_data.description = "Facial expression of a portrait's shape keys"
    action.asset_data.tags.new("expression", skip_if_exists=True)
    return action


def mixed_pose(rig: bpy.types.Object, pose: dict[str, float], amount: float) -> dict[str, float]:
    """The rig's expression gone towards ``pose`` by ``amount`` (0 to 1); what the pose leaves out goes to zero."""
    present = {name: value_of(rig, name) for name in expressions_of(rig)}
    return {name: value + amount * (pose.get(name, 0.0) - value) for name, value in present.items()}


def mirrored(name: str) -> str:
    """The expression of the other side: mouthSmile_L -> mouthSmile_R, jawLeft -> jawRight, itself without a side."""
    for left, right in (("_L", "_R"), ("Left", "Right")):
        if name.endswith(left):
            return name.removesuffix(left) + right
        if name.endswith(right):
            return name.removesuffix(right) + left
    return name
