"""Node groups of an earlier version in a saved file: they work until they are updated, and settings go on."""

from __future__ import annotations

import bpy
import pytest
from output_shot import module, prepare

FIRST = ("Image", "Plate", "Matte", "Light Wrap", "Wrap Size", "Softness", "Grain", "Grain Size")  # sockets of the first version
COLORS = {"Image", "Plate", "Grain"}


@pytest.fixture
def scene(extension, empty_scene, client, tmp_path):
    """A file that was saved with the first version's group, in whose node settings were changed and keyed."""
    prepare(extension, empty_scene)
    bpy.ops.stylerig.setup_compositor()
    tree = module(extension, "render.compositor").scene_tree(empty_scene)
    node = tree.nodes["StyleRig Plate Shot"]
    given = {link.to_socket.name: link.from_socket for link in tree.links if link.to_node == node}
    target = node.outputs["Image"].links[0].to_socket
    bpy.data.node_groups.remove(node.node_tree)
    node.node_tree = first_group()
    for name, source in given.items():
        if name in node.inputs:
            tree.links.new(source, node.inputs[name])
    tree.links.new(node.outputs["Image"], target)
    node.inputs["Light Wrap"].default_value, node.inputs["Grain"].default_value = 0.75, (0.1, 0.2, 0.3, 1)
    for frame, value in ((1, 0.0), (3, 2.0)):
        node.inputs["Softness"].default_value = value
        node.inputs["Softness"].keyframe_insert("default_value", frame=frame)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "old.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "old.blend"))
    return bpy.context.scene


def first_group() -> bpy.types.NodeTree:
    """A group that passes its picture on, with the sockets and without the version of the first."""
    group = bpy.data.node_groups.new("StyleRig Shot", "CompositorNodeTree")
    for name in FIRST:
        group.interface.new_socket(name, in_out="INPUT", socket_type=f"NodeSocket{'Color' if name in COLORS else 'Float'}")
    group.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    start, end = group.nodes.new("NodeGroupInput"), group.nodes.new("NodeGroupOutput")
    group.links.new(start.outputs["Image"], end.inputs["Image"])
    return group


def shot_node(extension, scene) -> bpy.types.Node:
    return module(extension, "render.compositor").scene_tree(scene).nodes["StyleRig Plate Shot"]


def test_it_renders_as_it_is(scene):
    assert bpy.ops.render.render() == {"FINISHED"}


def test_the_button_keeps_settings_links_and_keys(extension, scene):
    old = bpy.data.node_groups["StyleRig Shot"]
    assert bpy.ops.stylerig.update_node_groups() == {"FINISHED"}
    node = shot_node(extension, scene)
    assert node.node_tree == bpy.data.node_groups["StyleRig Shot"] != old and "Rendered" in node.inputs
    assert old.name == "StyleRig Shot (old)" and old.use_fake_user
    assert node.inputs["Light Wrap"].default_value == 0.75
    assert list(node.inputs["Grain"].default_value)[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert {socket.name for socket in node.inputs if socket.is_linked} == {"Image", "Plate", "Matte"} and node.outputs["Image"].is_linked
    for frame, value in ((1, 0.0), (2, 1.0), (3, 2.0)):
        scene.frame_set(frame)
        assert node.inputs["Softness"].default_value == pytest.approx(value)
    assert not bpy.ops.stylerig.update_node_groups.poll()
    assert bpy.ops.render.render() == {"FINISHED"}


def test_the_set_up_updates_it_and_says_so(extension, scene, capfd):
    words = (
        "The node group “StyleRig Shot” was of an earlier version: a new one is in its place, the old one stays as “StyleRig Shot (old)”."
    )
    bpy.ops.stylerig.setup_compositor(light_wrap=0.5)
    assert f"Info: {words}" in capfd.readouterr().out
    node = shot_node(extension, scene)
    assert "Rendered" in node.inputs and node.inputs["Light Wrap"].default_value == 0.5
    bpy.ops.stylerig.setup_compositor()
    assert "earlier version" not in capfd.readouterr().out
