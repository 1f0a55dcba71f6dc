"""What a rig stores on its armature object: the portrait and the light. All values can be keyframed."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    IntVectorProperty,
    PointerProperty,
    StringProperty,
)

from .errors import UserError
from .rig import light
from .rig.looks import StyleRigLook, StyleRigLookAmount, tag
from .rig.read_rig import parse_portrait

LIGHT_SIZE = 27  # nine coefficients, three channels
OVERRIDABLE = {"LIBRARY_OVERRIDABLE"}  # a linked rig's override keeps its own value


def is_mesh(_self: StyleRigObject, candidate: bpy.types.Object) -> bool:
    return candidate.type == "MESH"


def stored(settings: StyleRigObject, name: str, otherwise: Any) -> Any:
    """An entry of the stored portrait, or ``otherwise`` where there is none."""
    try:
        return parse_portrait(settings.portrait).get(name, otherwise)
    except UserError:
        return otherwise


def seed_of(settings: StyleRigObject) -> str:
    return str(stored(settings, "seed", ""))


def truncation_of(settings: StyleRigObject) -> float:
    return float(stored(settings, "truncation", 0.0))


def model_of(settings: StyleRigObject) -> str:
    return str(stored(settings, "model", ""))


class StyleRigObject(bpy.types.PropertyGroup):
    """Properties of an armature that is a portrait's rig."""

    is_rig: BoolProperty(name="Is a StyleRig", description="This armature is the rig of a portrait", options=set())
    portrait: StringProperty(
        name="Portrait", description="The portrait by value, as JSON: its w and the parameters read from it", options=set()
    )
    seed: StringProperty(name="Seed", description="The number that the portrait was drawn from", get=seed_of)
    truncation: FloatProperty(
        name="Variety", description="How far the portrait is from the average face (truncation)",
        get=truncation_of,
    )  # fmt: skip
    model: StringProperty(name="Model", description="Name of the model that drew the portrait", get=model_of)
    offsets: PointerProperty(
        name="Offsets", description="What was added to the generator for the person on a photo: a file in base64",
        type=bpy.types.Text, options=set(),
    )  # fmt: skip
    source: StringProperty(name="Source", description="How the portrait came about, where it is more than its seed", options=set())
    head: PointerProperty(name="Head", description="The mesh that this rig moves", type=bpy.types.Object, poll=is_mesh, options=set())
    gaze: StringProperty(name="Gaze", description="Angle in radians that each eyeLook expression turns an eye by, as JSON", options=set())
    light_source: EnumProperty(
        name="Source",
        description="What lights the portrait: light of its own, or the scene's lamps and world",
        items=(
            ("OWN", "Portrait", "The portrait's own light: as read from its picture, from a preset, baked or set by hand", "LIGHT_HEMI", 0),
            ("SCENE", "Scene", "The scene's lamps and world, read at each frame", "SCENE_DATA", 1),
        ),
        update=tag,
        override=OVERRIDABLE,
    )
    world_light: FloatVectorProperty(
        name="World Light", description="The light of the world's picture at strength 1", size=LIGHT_SIZE, default=(0.0,) * LIGHT_SIZE,
        options={"HIDDEN"}, update=tag, override=OVERRIDABLE,
    )  # fmt: skip
    world_image: StringProperty(
        name="World Image", description="Picture that World Light was read from", options={"HIDDEN"}, update=tag,
        override=OVERRIDABLE,
    )  # fmt: skip
    light: FloatVectorProperty(
        name="Light",
        description="Spherical-harmonic coefficients of the light: (0,0) to (2,2), red, green and blue of each in turn",
        size=LIGHT_SIZE,
        default=light.EVEN_LIGHT,
        soft_min=-5,
        soft_max=5,
        precision=3,
        update=tag,
        override=OVERRIDABLE,
    )
    light_strength: FloatProperty(
        name="Strength", description="Brightness of the light; 1 is as read from the portrait",
        default=light.NEUTRAL_STRENGTH, min=0, soft_max=3, precision=3, update=tag, override=OVERRIDABLE,
    )  # fmt: skip
    light_tint: FloatVectorProperty(
        name="Tint", description="Color the light is multiplied by", subtype="COLOR", size=3,
        default=light.NEUTRAL_TINT, min=0, soft_max=1, update=tag, override=OVERRIDABLE,
    )  # fmt: skip
    light_direction: FloatVectorProperty(
        name="Direction",
        description="Where the light mainly comes from, in the rig's axes",
        subtype="DIRECTION",
        size=3,
        default=light.FRONT_DIRECTION,
        update=tag,
        override=OVERRIDABLE,
    )
    looks: CollectionProperty(
        name="Looks", description="What the finished portrait gets, from the first to the last", type=StyleRigLook,
        override=OVERRIDABLE | {"USE_INSERTION"},
    )  # fmt: skip
    active_look: IntProperty(name="Active Look", description="The look that is chosen in the list", min=0, options=set())


class StyleRigScene(bpy.types.PropertyGroup):
    """What a scene says about showing its portraits."""

    placement: EnumProperty(
        name="Placement",
        description="Where the render shows a portrait: where its mesh stands before the scene camera, or alone in the middle",
        items=(
            ("SHOT", "In the Shot", "Where the mesh stands, as the scene camera sees it", "CAMERA_DATA", 0),
            ("CROP", "Aligned Crop", "In the middle of the picture, as the portrait's own camera sees the rig", "IMAGE_PLANE", 1),
        ),
        options=set(),
    )
    farm: EnumProperty(
        name="Farm",
        description="Who renders on other machines",
        items=(
            ("FLAMENCO", "Flamenco", "The manager's workers render the saved file with their Blenders", "COMMUNITY", 0),
            (
                "RAY",
                "Ray",
                "A cluster draws the one portrait, without Blender and its compositor, on a transparent ground",
                "NETWORK_DRIVE",
                1,
            ),
        ),
        options=set(),
    )
    farm_chunk: IntProperty(
        name="Task Frames", description="Each task loads the models once: choose as many frames as take a minute or more",
        default=10, min=1, options=set(),
    )  # fmt: skip
    motion_samples: IntProperty(
        name="Motion Samples", description="Portraits that are drawn while the shutter is open, where the scene has motion blur on; "
        "1 leaves it out",
        default=8, min=1, soft_max=32, max=256, options=set(),
    )  # fmt: skip
    overscan: IntVectorProperty(
        name="Overscan", description="Pixels that are rendered beyond the frame's left and right, and beyond its top and bottom",
        size=2, min=0, options={"HIDDEN"},
    )  # fmt: skip
    live: BoolProperty(
        name="Live View", description="Whether the live view ran when the file was saved: it then goes on", options={"HIDDEN"}
    )
    image_look: PointerProperty(name="Look", description="The look for images of the Image Editor", type=StyleRigLook)


CLASSES = (StyleRigLookAmount, StyleRigLook, StyleRigObject, StyleRigScene)


def register() -> None:
    bpy.types.Object.stylerig = PointerProperty(name="StyleRig", type=StyleRigObject, override=OVERRIDABLE)
    bpy.types.Scene.stylerig = PointerProperty(name="StyleRig", type=StyleRigScene)


def unregister() -> None:
    del bpy.types.Object.stylerig, bpy.types.Scene.stylerig
