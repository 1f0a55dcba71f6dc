"""Every picture that Blender writes of a portrait says what it is and what made it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import zlib
from pathlib import Path

import bpy
import pytest

from output_shot import add_rig, module, prepare, read_png, srgb_bytes

READ = "import sys; from pathlib import Path; from backend import images; import json; print(json.dumps(images.texts_of(Path(sys.argv[1]))))"


def texts_in(path: Path) -> dict[str, str]:
    """The texts of a picture as the backend reads them."""
    answer = subprocess.run([os.environ["STYLERIG_PYTHON"], "-c", READ, str(path)], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(answer.stdout)


@pytest.fixture
def scene(extension, empty_scene, client):
    prepare(extension, empty_scene)
    module(extension, "output.compositor").set_exact_colours(empty_scene)
    return empty_scene


def assert_told(texts: dict[str, str], request: dict, number: str = "") -> None:
    """The texts say that the picture is synthetic, and hold the request that made it."""
    assert "does not show a real person" in texts["Description"]
    assert texts["DigitalSourceType"].endswith("trainedAlgorithmicMedia") and "trainedAlgorithmicMedia" in texts["XML:com.adobe.xmp"]
    portrait = request["portrait"]
    assert portrait["weights_hash"] in texts[f"Source{number}"] and f"seed {portrait['seed']}" in texts[f"Source{number}"]
    assert json.loads(texts[f"StyleRigControls{number}"]) == request["controls"]
    assert texts["StyleRigVersion"][0].isdigit() and texts[f"StyleRigPortrait{number}"].startswith("Portrait")
    recipe = json.loads(zlib.decompress(base64.b64decode(texts[f"StyleRigRecipe{number}"])))
    assert recipe == {"portrait": portrait, "frames": [request["controls"]], "output": {"size": request["size"], "passes": []}}


def test_sequence_and_passes(extension, scene, client, tmp_path):
    bpy.ops.stylerig.setup_sequence(directory=str(tmp_path))
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    for frame, strength in ((1, 0.5), (3, 1.5)):
        rig.stylerig.light_strength = strength
        rig.keyframe_insert("stylerig.light_strength", frame=frame)
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 3
    for index in (1, 3):
        for name in (f"frames/frame_{index:04}.png", f"passes/frame_{index:04}.exr"):
            assert_told(texts_in(tmp_path / name), client.requests[index - 1])
            assert module(extension, "output.whole").is_whole(tmp_path / name)
    assert not list(tmp_path.rglob(".*"))


def test_a_still_without_stamps_and_an_artists_own_file_output(extension, scene, client, tmp_path):
    compositor = module(extension, "output.compositor")
    tree = compositor.ensure_tree(scene)
    compositor.ensure_output(tree, scene)
    node = tree.nodes.new("CompositorNodeOutputFile")
    if hasattr(node, "directory"):
        node.directory, node.file_name = str(tmp_path / "own"), "beauty"
        node.format.media_type = "IMAGE"
        node.format.file_format = "PNG"
        node.file_output_items.clear()
        node.file_output_items.new("RGBA", "Image")
    else:
        node.base_path, node.format.file_format = str(tmp_path / "own"), "PNG"
    tree.links.new(compositor.render_layers(tree, scene).outputs["Image"], node.inputs[0])
    for name in [name for name in dir(scene.render) if name.startswith("use_stamp")]:
        setattr(scene.render, name, False)
    scene.render.image_settings.color_mode, scene.render.filepath = "RGBA", str(tmp_path / "still.png")
    bpy.ops.render.render(write_still=True)
    files = [tmp_path / "still.png", *(tmp_path / "own").rglob("*.png")]
    assert len(files) == 2
    for path in files:
        assert_told(texts_in(path), client.requests[0])
        assert read_png(path).shape == (48, 48, 4)
    assert (read_png(files[0])[..., :3] == srgb_bytes(48)).all()


def test_saved_from_the_image_editor_and_two_portraits(extension, scene, client, tmp_path):
    add_rig(extension, seed=8)
    bpy.ops.render.render()
    path = tmp_path / "saved.exr"
    settings = scene.render.image_settings
    module(extension, "output.sequence").set_format(settings, "MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER", "32")
    bpy.data.images["Render Result"].save_render(str(path), scene=scene)
    texts = texts_in(path)
    assert_told(texts, client.requests[0])
    assert_told(texts, client.requests[1], "2")


def test_recipes_of_portraits_in_turn_hold_each_frame_whole(extension):
    """What frames have in common is packed once: neither the frames nor other portraits get into it."""
    metadata, portrait = module(extension, "output.metadata"), module(extension, "link.portrait").Portrait
    first, second = ({"seed": seed, "w": "Ä\"" * 5000, "parameters": {"expression": {"jawOpen": 0.5}}} for seed in (1, 2))
    for number, one in enumerate((first, second, portrait(first), first, portrait(second))):
        controls = {"rotation": [0.1 * number, 0.0, 0.0]}
        text = zlib.decompress(base64.b64decode(metadata.recipe(one, controls, 64)))
        assert json.loads(text) == {"portrait": one, "frames": [controls], "output": {"size": 64, "passes": []}}


def test_files_that_cannot_be_understood_stay_as_they_are(extension, tmp_path):
    metadata = module(extension, "output.metadata")
    for name, content in (("half.png", b"\x89PNG\r\n\x1a\n"), ("text.exr", b"v/1\x01 no header"), ("empty.exr", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        metadata.add_texts(path, {"Description": "synthetic"})
        assert path.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.exr", "half.png", "text.exr"]
    assert metadata.new_files(tmp_path / "nowhere" / "frame_", 1, 0) == []


def test_only_this_frames_own_files_count(extension, tmp_path):
    names = ("shot2_0007.exr", "shot2_0008.exr", "shot2_.png", "photo.png", "shot2_0007.txt")
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / "shot2_.png", (1, 1))
    found = module(extension, "output.metadata").new_files(tmp_path / "shot2_####", 7, time.time())
    assert [path.name for path in found] == ["shot2_0007.exr"]


def test_other_engines_pictures_are_not_touched(extension, scene, client, tmp_path):
    bpy.ops.stylerig.setup_sequence(directory=str(tmp_path))
    scene.frame_end = 1
    bpy.ops.render.render(animation=True)
    path = tmp_path / "passes" / "frame_0001.exr"
    before = path.stat().st_mtime_ns
    scene.render.engine = "BLENDER_WORKBENCH"
    module(extension, "output.metadata").after_frame(scene)
    assert path.stat().st_mtime_ns == before
