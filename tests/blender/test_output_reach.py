"""A camera that a portrait cannot follow is told of: in the panel, and in a render's log once per range of frames."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from unittest.mock import MagicMock

import bpy
import pytest
from mathutils import Matrix, Vector
from output_shot import KnownClient, module, prepare, random_frame, render_still, use_client

WHOLE = {"frame": {"center": [0.0, 1.0, 1.0], "half_width": 17.0}}


@pytest.fixture
def rig(extension, empty_scene, monkeypatch):
    use_client(extension, monkeypatch, KnownClient(random_frame))
    rig = prepare(extension, empty_scene, 48, 32, placement="SHOT")
    rig.pose.bones["head"].rotation_euler = (0, 0, 0)
    return rig


def orbit(scene, degrees: float, distance: float = 1.2, height: float = 0.0) -> Matrix:
    """The camera looks at the rig's origin from the side."""
    angle = math.radians(degrees)
    place = distance * Vector((math.sin(angle) * math.cos(height), -math.cos(angle) * math.cos(height), math.sin(height)))
    scene.camera.matrix_world = Matrix.Translation(place) @ (-place).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    return scene.camera.matrix_world


def told(extension) -> list[str]:
    bpy.context.view_layer.update()
    scene = bpy.context.scene
    return [str(text) for text in module(extension, "render.reach").beyond_now(scene, bpy.context.evaluated_depsgraph_get())]


CASES = [  # whole head, degrees to the side, metres, radians above; what is told
    (False, 30, 1.2, 0, None),
    (False, 50, 1.2, 0, "40° to the side or 20°"),
    (False, 0, 1.2, 0.6, "40° to the side or 20°"),
    (False, 180, 1.2, 0, "from behind"),
    (False, 0, 0.45, 0, "than 40 cm: its perspective is that of 120 cm"),
    (True, 70, 1.2, 0, None),
    (True, 80, 1.2, 0, "75° to the side or 35°"),
    (True, 100, 1.2, 0, "from behind"),
    (True, 0, 0.38, 0, "than 40 cm: its perspective is that of 40 cm"),
]


@pytest.mark.parametrize(("whole", "degrees", "distance", "height", "words"), CASES)
def test_what_a_portrait_cannot_follow_is_said(extension, rig, empty_scene, whole, degrees, distance, height, words):
    if whole:
        rig.stylerig.portrait = json.dumps(json.loads(rig.stylerig.portrait) | WHOLE)
    orbit(empty_scene, degrees, distance, height)
    found = told(extension)
    assert len(found) == bool(words) and all(words in text and rig.name in text for text in found), found


def test_the_panel_says_it_of_the_engine_that_draws_portraits(extension, rig, empty_scene):
    orbit(empty_scene, 180)
    bpy.context.view_layer.objects.active = rig
    bpy.context.view_layer.update()
    assert f"{rig.name} is seen from behind: it is not drawn." in drawn_in_panel(extension)
    empty_scene.render.engine = "CYCLES"
    assert "from behind" not in drawn_in_panel(extension)


def drawn_in_panel(extension) -> str:
    """The labels of the panel Output, as one line."""
    panel = SimpleNamespace(layout=MagicMock())
    module(extension, "ui.panels").STYLERIG_PT_output.draw(panel, bpy.context)
    labels = [call.kwargs["text"] for call in panel.layout.mock_calls if call[0].endswith("label") and "text" in call.kwargs]
    return " ".join(labels)


def test_nothing_is_said_of_a_head_that_the_camera_does_not_look_at(extension, rig, empty_scene):
    orbit(empty_scene, 180)
    empty_scene.camera.data.shift_x = 5
    assert told(extension) == []
    empty_scene.camera.matrix_world = (
        Matrix.Translation((0, 1, 0)) @ Matrix.Rotation(-math.pi / 2, 4, "X") @ Matrix.Rotation(math.pi, 4, "Z")
    )
    assert told(extension) == []
    orbit(empty_scene, 180)
    empty_scene.camera.data.shift_x = 0
    rig.hide_render = True
    assert told(extension) == []


def test_where_it_cannot_be_said_nothing_is(extension, rig, empty_scene):
    orbit(empty_scene, 180)
    empty_scene.stylerig.placement = "CROP"
    assert told(extension) == []
    empty_scene.stylerig.placement = "SHOT"
    empty_scene.camera.data.type = "PANO"
    assert told(extension) == []
    empty_scene.camera = None
    assert told(extension) == []


def test_a_small_or_scaled_head_counts_in_its_own_centimetres(extension, rig, empty_scene):
    rig.scale = (0.25,) * 3
    orbit(empty_scene, 0, 0.3)
    assert told(extension) == []
    rig.scale = (3,) * 3
    orbit(empty_scene, 0, 1.4)
    assert "than 40 cm" in told(extension)[0]


def test_a_still_says_it_at_once(extension, rig, empty_scene, tmp_path, capfd):
    orbit(empty_scene, 180)
    assert render_still(empty_scene, tmp_path / "behind.png")[..., 3].max() == 0
    assert said(capfd) == [f"{rig.name} is seen from behind: it is not drawn."]


def test_an_animation_says_it_once_for_each_range_of_frames(extension, rig, empty_scene, tmp_path, capfd):
    """Six frames: from the front, twice from behind, from the front, twice beyond what was taught."""
    for frame, degrees in enumerate((0, 180, 170, 0, 60, 60), start=1):
        orbit(empty_scene, degrees)
        empty_scene.camera.keyframe_insert("location", frame=frame)
        empty_scene.camera.keyframe_insert("rotation_euler", frame=frame)
    empty_scene.frame_start, empty_scene.frame_end = 1, 6
    empty_scene.render.filepath = str(tmp_path / "f####")
    bpy.ops.render.render(animation=True)
    first, second = said(capfd)
    assert first == f"Frame 2–3: {rig.name} is seen from behind: it is not drawn."
    assert second.startswith(f"Frame 5–6: {rig.name} is turned") and not module(extension, "render.reach").RANGES


def said(capfd) -> list[str]:
    """What the log of a render says of the rig, in order."""
    lines = capfd.readouterr().out.splitlines()
    return [line.partition(": ")[2] for line in lines if line.startswith(("Warning: ", "StyleRig: "))]
