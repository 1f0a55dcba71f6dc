"""Every picture that Blender writes of a portrait says what it is and what made it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import bpy
import pytest
from output_shot import add_rig, module, prepare, read_png, srgb_bytes

READ = "import sys; from pathlib import Path; from backend.files import images; import json; print(json.dumps(images.texts_of(Path(sys.argv[1]))))"


def texts_in(path: Path) -> dict[str, str]:
    """The texts of a picture as the backend reads them."""
    answer = subprocess.run([os.environ["STYLERIG_PYTHON"], "-c", READ, str(path)], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(answer.stdout)


@pytest.fixture
def scene(extension, empty_scene, client):
    prepare(extension, empty_scene)
    module(extension, "render.compositor").set_exact_colours(empty_scene)
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
            assert module(extension, "render.file_integrity").is_complete(tmp_path / name)
    assert not list(tmp_path.rglob(".*"))


def test_a_still_without_stamps_and_an_artists_own_file_output(extension, scene, client, tmp_path):
    compositor = module(extension, "render.compositor")
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
    module(extension, "render.sequence").set_format(settings, "MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER", "32")
    bpy.data.images["Render Result"].save_render(str(path), scene=scene)
    texts = texts_in(path)
    assert_told(texts, client.requests[0])
    assert_told(texts, client.requests[1], "2")


def test_recipes_of_portraits_in_turn_hold_each_frame_whole(extension):
    """What frames have in common is packed once: neither the frames nor other portraits get into it."""
    metadata, portrait = module(extension, "render.metadata"), module(extension, "client.portrait").Portrait
    first, second = ({"seed": seed, "w": 'Ä"' * 5000, "parameters": {"expression": {"jawOpen": 0.5}}} for seed in (1, 2))
    for number, one in enumerate((first, second, portrait(first), first, portrait(second))):
        controls = {"rotation": [0.1 * number, 0.0, 0.0]}
        text = zlib.decompress(base64.b64decode(metadata.recipe(one, controls, 64)))
        assert json.loads(text) == {"portrait": one, "frames": [controls], "output": {"size": 64, "passes": []}}


def test_files_that_cannot_be_understood_stay_as_they_are(extension, tmp_path):
    texts = module(extension, "render.metadata_text")
    for name, content in (
        ("half.png", b"\x89PNG\r\n\x1a\n"),
        ("text.exr", b"v/1\x01 no header"),
        ("empty.exr", b""),
        ("a.tga", b"\0" * 99),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        texts.add_texts(path, {"StyleRigVersion": "1"})
        assert path.read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 4
    texts.add_texts(tmp_path / "nowhere" / "frame.png", {"StyleRigVersion": "1"})


def file_output(extension, scene: bpy.types.Scene, folder: Path, kind: str) -> None:
    """A File Output node for single pictures named "beauty"."""
    compositor = module(extension, "render.compositor")
    tree = compositor.ensure_tree(scene)
    compositor.ensure_output(tree, scene)
    node = tree.nodes.new("CompositorNodeOutputFile")
    if hasattr(node, "directory"):
        node.directory, node.file_name, node.format.media_type = str(folder), "", "IMAGE"
        node.file_output_items.clear()
        node.file_output_items.new("RGBA", "beauty####")
    else:
        node.base_path = str(folder)
        node.file_slots.clear()
        node.file_slots.new("beauty####")
    node.format.file_format = kind
    tree.links.new(compositor.render_layers(tree, scene).outputs["Image"], node.inputs[0])


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("OPEN_EXR", "exr"), ("JPEG", "jpg")])
def test_only_files_that_this_frame_has_made_get_its_texts(extension, scene, client, tmp_path, kind, suffix):
    """Whatever their times are: the file server's clock may be behind or ahead of this computer's."""
    is_marked = module(extension, "render.file_integrity").is_marked
    file_output(extension, scene, tmp_path, kind)
    other = tmp_path / f"beauty0008.{suffix}"
    scene.frame_set(7)

    def slow_clock(*_arguments) -> None:
        os.utime(tmp_path / f"beauty0007.{suffix}", (1, 1))

    bpy.app.handlers.render_post.insert(0, slow_clock)
    try:
        bpy.ops.render.render()
        made = tmp_path / f"beauty0007.{suffix}"
        assert is_marked(made)
        other.write_bytes(made.read_bytes().replace(b"StyleRigVersion", b"SomebodyVersion"))
        before = other.stat().st_mtime_ns
        bpy.ops.render.render()
    finally:
        bpy.app.handlers.render_post.remove(slow_clock)
    assert is_marked(made) and is_marked(other) is False and other.stat().st_mtime_ns == before


def test_a_node_that_makes_nothing_gets_nothing(extension, scene, client, tmp_path):
    """A file of its name, from before, is not this frame's."""
    file_output(extension, scene, tmp_path, "PNG")
    tree = module(extension, "render.compositor").scene_tree(scene)
    node = next(node for node in tree.nodes if node.bl_idname == "CompositorNodeOutputFile")
    tree.links.new(tree.nodes.new("CompositorNodeRGB").outputs[0], node.inputs[0])  # one color is no picture: Blender writes none
    path = tmp_path / "beauty0001.png"
    bpy.data.images.new("old", 4, 4).save(filepath=str(path))
    before = path.read_bytes()
    bpy.ops.render.render()
    assert client.requests and path.read_bytes() == before


def test_a_replaced_file_keeps_its_rights_and_follows_no_link(extension, tmp_path, monkeypatch):
    texts, is_marked = module(extension, "render.metadata_text"), module(extension, "render.file_integrity").is_marked
    path, target = tmp_path / "a.png", tmp_path / "target"
    bpy.data.images.new("a", 4, 4).save(filepath=str(path))
    path.chmod(0o640)
    target.write_bytes(b"not to be touched")
    beside, plain = tmp_path / ".a.png.aa.stylerig", path.read_bytes()
    monkeypatch.setattr(texts.secrets, "token_hex", lambda _: "aa")  # as if it could be foreseen
    beside.symlink_to(target)
    texts.add_texts(path, {"StyleRigVersion": "1"})
    assert target.read_bytes() == b"not to be touched" and path.read_bytes() == plain and beside.is_symlink()
    beside.unlink()
    texts.add_texts(path, {"StyleRigVersion": "1"})
    assert is_marked(path) and path.stat().st_mode & 0o777 == 0o640 and sorted(tmp_path.iterdir()) == [path, target]
    read_png(path)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from render import metadata_text as texts
texts.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
texts.add_texts(texts.Path(sys.argv[2]), {"StyleRigVersion": "1"})
"""


@pytest.mark.skipif(os.name == "nt", reason="no such kill")
def test_killed_while_a_file_is_replaced_the_file_is_whole_and_what_is_left_is_known(extension, tmp_path):
    texts, whole = module(extension, "render.metadata_text"), module(extension, "render.file_integrity")
    package = tmp_path / "code" / "render"
    package.mkdir(parents=True)
    for one in (texts, whole):
        (package / Path(one.__file__).name).write_bytes(Path(one.__file__).read_bytes())
    path = tmp_path / "a.png"
    bpy.data.images.new("a", 4, 4).save(filepath=str(path))
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(package.parent), str(path)], timeout=60)
    left = texts.left_beside(path)
    assert len(left) == 2 and whole.is_complete(path) and whole.is_marked(path) is False
    assert sorted(tmp_path.iterdir()) == sorted([path, package.parent, *left])


def test_a_recipe_that_is_too_long_for_a_jpeg_does_not_stop_it(extension, scene, client, tmp_path):
    """Blender cannot write comments of 64 kB, nor the picture then."""
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    long = "".join(f"{number:x}" for number in range(50_000))
    rig.stylerig.portrait = json.dumps(json.loads(rig.stylerig.portrait) | {"note": zlib.compress(long.encode()).hex()})
    scene.render.image_settings.file_format, scene.render.filepath = "JPEG", str(tmp_path / "still.jpg")
    bpy.ops.render.render(write_still=True)
    assert len(client.requests) == 1 and module(extension, "render.file_integrity").is_marked(tmp_path / "still.jpg")


def test_other_engines_pictures_are_not_touched(extension, scene, client, tmp_path):
    bpy.ops.stylerig.setup_sequence(directory=str(tmp_path))
    scene.frame_end = 1
    bpy.ops.render.render(animation=True)
    path = tmp_path / "passes" / "frame_0001.exr"
    before = path.stat().st_mtime_ns
    scene.render.engine = "BLENDER_WORKBENCH"
    module(extension, "render.metadata").after_frame(scene)
    assert path.stat().st_mtime_ns == before
