"""Which files a frame has: as Blender names them, with all that it puts into a path."""

from __future__ import annotations

from pathlib import Path

import bpy
import pytest
from output_shot import module, prepare

OWN = [  # paths of the scene's output, below a folder
    "f####", "f", "", "f##_x", "f_#", "f.png", "f.v01", "f####.png", "d##/f", "f_{{a}}_##", "f%", "x/", "[1]*/f####", "f###_####",
    "{resolution_x}x{resolution_y}_{fps}/f", "{blend_name}_####", "//beside/f####", "Größe 🙂/f ####",
]  # fmt: skip
OWN_OF_5 = ["{camera_name}/{scene_name}_####", "{blend_dir}/f####", "f{fps:##.#}_####"]
NODES = [  # file_name, or what base_path ends with where it is one file of layers; item or slot
    ("n_", "Image"), ("n_####_x", "q####z"), ("n_##_###", "a##b###"), ("sub/n", "sub2/Image"), ("n.v2", "Image.x"), ("n.png", "Image.png"),
    ("n####.png", "i####.png"), ("n%04d #", "I"), ("n{{x}}_####", "{{y}}"), ("[a]*?_", "[b]_"), ("n_{resolution_x}/####", "{fps}_####"),
    ("{blend_name}_####", "b_{blend_name}"),
]  # fmt: skip
NODES_OF_5 = [
    ("{scene_name}_{camera_name}_####", "i"),
    ("{node_name}####", "{camera_name}"),
    ("{blend_dir}/n", "i"),
    ("{fps:.##}_{resolution_x:#####}", "i"),
]


def is_5() -> bool:
    return bpy.app.version >= (5, 0, 0)


@pytest.fixture
def files(extension):
    return module(extension, "render.output_files")


@pytest.fixture
def scene(extension, empty_scene, client, tmp_path):
    prepare(extension, empty_scene, 16, 16)
    empty_scene.name, empty_scene.camera.name = "A/b: c", "Cam?1"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "my.shot.blend"))
    scene = bpy.context.scene
    scene.render.filepath, scene.frame_start, scene.frame_end = str(tmp_path / "out" / "f####"), 7, 7
    module(extension, "render.sequence").set_format(scene.render.image_settings, "IMAGE", "PNG", "8")
    return scene


def node_in(extension, scene: bpy.types.Scene, folder: Path, names: tuple[str, str], layered: bool) -> bpy.types.Node:
    """A File Output node with two slots, of which the second has something linked to it."""
    compositor = module(extension, "render.compositor")
    tree = compositor.ensure_tree(scene)
    compositor.ensure_output(tree, scene)
    node = tree.nodes.new("CompositorNodeOutputFile")
    kind = ("MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER", "32") if layered else ("IMAGE", "PNG", "8")
    module(extension, "render.sequence").set_format(node.format, *kind)
    if is_5():
        node.directory, node.file_name = str(folder), names[0]
        node.file_output_items.clear()
        for name in ("unused", names[1]):
            node.file_output_items.new("RGBA", name)
    else:
        node.base_path = f"{folder}/{names[0]}" if layered else str(folder)
        node.file_slots.clear()
        for name in ("unused", names[1]):
            node.file_slots.new(name)
    tree.links.new(compositor.render_layers(tree, scene).outputs["Image"], node.inputs[1])
    return node


def render(frame: int = 7) -> None:
    scene = bpy.context.scene
    if is_5():
        bpy.ops.render.render(animation=True, frame_start=frame, frame_end=frame)
    else:
        scene.frame_start = scene.frame_end = frame
        bpy.ops.render.render(animation=True)


def pictures_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".png", ".exr", ".jpg", ""} and path.is_file())


def assert_known(files, scene: bpy.types.Scene, frame: int, folder: Path, count: int) -> None:
    """What Blender has written is what the frame is said to have."""
    written, known = pictures_below(folder), files.of_frame(scene, frame)
    assert sorted(set(files.found(known))) == written and len(known) == len(written) == count, (known, written)


@pytest.mark.parametrize("path", OWN + OWN_OF_5)
def test_the_scenes_own_picture(files, scene, tmp_path, path):
    if path in OWN_OF_5 and not is_5():
        pytest.skip("Blender 4.5 does not know these words")
    scene.render.filepath = path if path.startswith(("//", "{blend_dir}")) else f"{tmp_path}/out/{path}"
    render()
    assert_known(files, scene, 7, tmp_path, 1)
    assert files.existing(scene) == [7]


@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("names", NODES + NODES_OF_5)
def test_what_file_output_nodes_write(extension, files, scene, tmp_path, names, layered):
    if names in NODES_OF_5 and not is_5():
        pytest.skip("Blender 4.5 does not know these words")
    node = node_in(extension, scene, tmp_path / "nodes", names, layered)
    if names[0].startswith("{blend_dir}"):
        node.directory, node.file_name = "{blend_dir}/nodes", "n"
    render()
    assert_known(files, scene, 7, tmp_path, 2)


@pytest.mark.parametrize("frame", [0, 1, 9999, 10000, 123456])
@pytest.mark.parametrize("layered", [False, True])
def test_numbers_of_frames(extension, files, scene, tmp_path, frame, layered):
    node_in(extension, scene, tmp_path / "nodes", ("n_##", "i_##"), layered)
    render(frame)
    assert_known(files, scene, frame, tmp_path, 2)
    assert files.existing(scene) == [frame]


@pytest.mark.skipif(not is_5(), reason="Blender 4.5 renders no negative frames")
def test_negative_frames(extension, files, scene, tmp_path):
    bpy.context.preferences.edit.use_negative_frames = True
    try:
        bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "shot"))
        render(-7)
    finally:
        bpy.context.preferences.edit.use_negative_frames = False
    assert_known(files, scene, -7, tmp_path, 2)
    assert {path.name for path in pictures_below(tmp_path)} == {"frame_-0007.png", "frame_-0007.exr"}
    assert all(module(extension, "render.file_integrity").is_marked(path) for path in pictures_below(tmp_path)) and files.existing(
        scene
    ) == [-7]


@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("own", ["INDIVIDUAL", "STEREO_3D"])
@pytest.mark.parametrize("setup", ["STEREO_3D", "MULTIVIEW"])
def test_views(extension, files, scene, tmp_path, setup, own, layered):
    if setup == "MULTIVIEW" and own == "STEREO_3D":
        pytest.skip("two eyes in one picture are of the simple set-up")
    node = node_in(extension, scene, tmp_path / "nodes", ("n_", "i_"), layered)
    scene.render.use_multiview, scene.render.views_format, scene.render.image_settings.views_format = True, setup, own
    node.format.views_format = "INDIVIDUAL"
    if setup == "MULTIVIEW":
        scene.render.views.new("third")
    render()
    eyes = 3 if setup == "MULTIVIEW" else 2
    assert_known(files, scene, 7, tmp_path, (eyes if own == "INDIVIDUAL" else 1) + eyes)


def test_a_view_that_is_off_has_no_file(files, scene, tmp_path):
    scene.render.use_multiview, scene.render.views[1].use = True, False
    render()
    assert_known(files, scene, 7, tmp_path, 1)


def test_views_in_one_layered_file(extension, files, scene, tmp_path):
    settings = scene.render.image_settings
    module(extension, "render.sequence").set_format(settings, "MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER", "32")
    scene.render.use_multiview, settings.views_format = True, "MULTIVIEW"
    render()
    assert_known(files, scene, 7, tmp_path, 1)


@pytest.mark.parametrize("suffixes", [True, False])
def test_file_extensions_may_be_off(extension, files, scene, tmp_path, suffixes):
    node_in(extension, scene, tmp_path / "nodes", ("n_", "i_"), layered=False)
    scene.render.use_file_extension = suffixes
    render()
    assert_known(files, scene, 7, tmp_path, 2)


@pytest.mark.parametrize("kind", ["TIFF", "TARGA", "JPEG", "OPEN_EXR"])
def test_other_formats(extension, files, scene, tmp_path, kind):
    node = node_in(extension, scene, tmp_path / "nodes", ("n_", "i_"), layered=False)
    scene.render.image_settings.file_format = node.format.file_format = kind
    render()
    known = files.of_frame(scene, 7)
    assert len(known) == 2 and len(files.found(known)) == 2


@pytest.mark.skipif(not is_5(), reason="Blender 4.5 has no such word")
def test_a_camera_bound_to_a_marker_is_in_the_frames_name(files, scene, tmp_path):
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    scene.collection.objects.link(other)
    for frame, camera in ((1, scene.camera), (8, other)):
        scene.timeline_markers.new(camera.name, frame=frame).camera = camera
    scene.render.filepath = f"{tmp_path}/out/{{camera_name}}_####"
    for frame in (7, 8, 9):
        render(frame)
    assert [path.name for path in pictures_below(tmp_path)] == ["Cam_1_0007.png", "Other_0008.png", "Other_0009.png"]
    for present in (scene.camera, other):
        scene.camera = present
        assert [len(files.found(files.of_frame(scene, frame))) for frame in (7, 8, 9)] == [1, 1, 1]
        assert files.existing(scene) == [7, 8, 9]


def test_muted_nodes_and_groups_write_nothing(extension, files, scene, tmp_path):
    node = node_in(extension, scene, tmp_path / "nodes", ("n_", "i_"), layered=False)
    node.mute = True
    assert len(files.of_frame(scene, 7)) == 1
    tree = module(extension, "render.compositor").scene_tree(scene)
    group = tree.nodes.new("CompositorNodeGroup")
    group.node_tree = bpy.data.node_groups.new("Inner", "CompositorNodeTree")
    group.node_tree.nodes.new("CompositorNodeRGB")
    inner = group.node_tree.nodes.new("CompositorNodeOutputFile")
    if is_5():
        inner.file_output_items.new("RGBA", "inner")
    group.node_tree.links.new(group.node_tree.nodes[0].outputs[0], inner.inputs[0])
    assert len(files.of_frame(scene, 7)) == 2
    group.mute = True
    assert len(files.of_frame(scene, 7)) == 1
    scene.render.use_compositing, node.mute = False, False
    assert len(files.of_frame(scene, 7)) == 1


@pytest.mark.parametrize(("setting", "still"), [("n_####", "n_0007.exr"), ("n_", "n_.exr" if is_5() else "n_0007.exr")])
def test_a_still_has_no_number_where_blender_gives_it_none(extension, files, scene, tmp_path, setting, still):
    node_in(extension, scene, tmp_path / "nodes", (setting, "i"), layered=True)
    scene.frame_set(7)
    bpy.ops.render.render()
    assert (
        files.of_nodes(scene, 7, animation=False) == [str(tmp_path / "nodes" / still)] == [str(path) for path in pictures_below(tmp_path)]
    )
    assert module(extension, "render.file_integrity").is_marked(tmp_path / "nodes" / still)
