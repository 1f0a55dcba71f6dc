"""What a farm asks first, and what the panel says of that which is not rendered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bpy
import pytest
from output_shot import module, prepare

LINE = "import bpy; exec(bpy.data.texts['StyleRig Check'].as_string())"  # as docs/user-guide.md has it
WITHOUT = """
import sys, bpy
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
try:
    exec(sys.argv[2])
except RuntimeError as error:
    print("REFUSED", error, bpy.context.scene.render.engine, flush=True)
import os; os._exit(0)
"""


@pytest.fixture
def scene(extension, empty_scene, client, backend, tmp_path):
    prepare(extension, empty_scene)
    bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "shot"))
    module(extension, "render.sequence").RENDER_ERRORS.clear()
    return empty_scene


def run_line() -> None:
    exec(LINE, {})


@pytest.mark.parametrize("button", ["setup_sequence", "setup_compositor"])
def test_the_set_up_buttons_leave_the_check(extension, empty_scene, client, tmp_path, button):
    prepare(extension, empty_scene)
    for _ in range(2):
        getattr(bpy.ops.stylerig, button)(**{"directory": str(tmp_path)} if button == "setup_sequence" else {})
        assert [text.name for text in bpy.data.texts] == ["StyleRig Check"]
        bpy.data.texts[0].from_string("of an earlier version")
    assert LINE in (Path(__file__).parents[2] / "docs" / "user-guide.md").read_text(encoding="utf-8")


def test_a_blender_that_can_render_passes(scene, backend):
    run_line()
    assert backend.running


def test_a_blender_without_the_extension_is_refused(scene, tmp_path):
    """It opens the file with another engine."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "nobody")}
    command = [sys.executable, "-c", WITHOUT, str(tmp_path / "shot.blend"), LINE]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert "REFUSED The extension StyleRig is missing" in answer.stdout and "BLENDER_EEVEE" in answer.stdout, answer


def break_engine(scene, _extension, _monkeypatch) -> None:
    scene.render.engine = "BLENDER_WORKBENCH"


def break_portrait(scene, _extension, _monkeypatch) -> None:
    for item in [item for item in scene.objects if item.type == "ARMATURE"]:
        bpy.data.objects.remove(item)


def break_folder(scene, _extension, _monkeypatch) -> None:
    folder = Path(scene.render.filepath).parent
    folder.rmdir()
    folder.write_text("in the way")


def break_path(scene, _extension, _monkeypatch) -> None:
    scene.render.filepath = "//{unknown_word}/f####"


def break_environment(_scene, extension, monkeypatch) -> None:
    module(extension, "client.backend_manager").BACKEND.stop()
    monkeypatch.setenv("STYLERIG_PYTHON", "/nowhere/python")


def fail_to_render(scene, extension, monkeypatch) -> None:
    error = module(extension, "errors").UserError("x", "No memory for it.", "")
    with monkeypatch.context() as patch:
        patch.setattr(module(extension, "render.engine").StyleRigEngine, "pictures", lambda *_: (_ for _ in ()).throw(error))
        with pytest.raises(RuntimeError):
            bpy.ops.render.render(animation=True)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (break_engine, "rendered by BLENDER_WORKBENCH, not by StyleRig"),
        (break_portrait, "no StyleRig portrait in this scene"),
        (break_folder, "cannot be made"),
        (break_path, "Blender cannot read the output path.*unknown_word"),
        (break_environment, "environment is missing"),
        (fail_to_render, "A render failed: No memory for it"),
    ],
)
def test_what_would_go_wrong_or_did_is_refused(extension, scene, monkeypatch, tmp_path, broken, words):
    (tmp_path / "shot" / "frames").mkdir(parents=True, exist_ok=True)
    broken(scene, extension, monkeypatch)
    with pytest.raises(RuntimeError, match=f"(?s){words}"):
        run_line()


def test_of_several_renders_in_the_background_one_that_failed_is_not_forgotten(extension, scene, monkeypatch):
    """As of blender -b FILE -f 1 -f 2 --python-expr CHECK."""
    fail_to_render(scene, extension, monkeypatch)
    bpy.ops.render.render(animation=True)
    with pytest.raises(RuntimeError, match="A render failed"):
        run_line()


def blur(scene) -> None:
    scene.render.use_motion_blur, scene.stylerig.motion_samples = True, 1


def focus(scene) -> None:
    scene.camera.data.dof.use_dof = True


def lines(scene) -> None:
    scene.render.use_freestyle = True


def hold_out(scene) -> None:
    scene.objects[0].is_holdout = True


def hold_out_a_collection(scene) -> None:
    outer, inner = bpy.data.collections.new("Outer"), bpy.data.collections.new("Inner")
    scene.collection.children.link(outer)
    outer.children.link(inner)
    scene.view_layers[0].layer_collection.children["Outer"].children["Inner"].holdout = True


def override(scene) -> None:
    scene.view_layers[0].material_override = bpy.data.materials.new("Clay")


def sky(scene) -> None:
    scene.render.film_transparent = False
    scene.world = bpy.data.worlds.new("World")
    scene.world.use_nodes = True
    tree = scene.world.node_tree
    background = next(node for node in tree.nodes if node.type == "BACKGROUND")
    tree.links.new(tree.nodes.new("ShaderNodeTexEnvironment").outputs["Color"], background.inputs["Color"])


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (blur, "Motion Blur"), (focus, "Depth of Field"), (lines, "Freestyle"), (hold_out, "Holdout"), (hold_out_a_collection, "Holdout"),
        (override, "Material Override"), (sky, "World Picture"),
    ],
)  # fmt: skip
def test_what_is_asked_for_in_vain_is_named(extension, scene, ask, name):
    left_out = module(extension, "render.ignored_settings").left_out
    assert left_out(scene) == []
    ask(scene)
    assert left_out(scene) == [name]
    assert name.lower() in (Path(__file__).parents[2] / "docs" / "user-guide.md").read_text(encoding="utf-8").lower()


def test_a_scene_without_camera_and_world_asks_for_nothing(extension, scene):
    bpy.data.objects.remove(scene.camera)
    scene.world, scene.render.film_transparent = None, False
    assert module(extension, "render.ignored_settings").left_out(scene) == []
