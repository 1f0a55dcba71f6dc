"""The node group StyleRig Relight: another lamp on a portrait, as formulas in numpy have it."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from output_shot import KnownClient, module, prepare, read_exr, render_still, stacked, use_client, white_frame

SIZE = 64
ALPHA, TEXTURE = 0.5, 0.3
VIEW = np.array((0.0, -1.0, 0.0))


@pytest.fixture
def scene(extension, empty_scene, monkeypatch):
    """A half transparent ball of a mesh lit from the left, in a larger square of hair without a mesh."""

    def draw(controls, size):
        line = (np.arange(size) + 0.5) * 2 / size - 1
        x, y = np.meshgrid(line / 0.7, -line / 0.7)
        mesh = (x * x + y * y < 0.95)[..., None]
        normal = np.stack((x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0))), axis=-1) * mesh
        frame = white_frame(controls, size)
        frame["Normal"], frame["Albedo"] = normal.astype(np.float32), np.where(mesh, 0.5, 0) * np.ones(3)
        frame["Shading"] = ((0.6 - 0.4 * normal[..., :1]) * mesh * (1.0, 0.9, 0.8)).astype(np.float32)
        frame["Combined"][..., :3] = np.where(mesh, frame["Shading"], 0.6) * TEXTURE * ALPHA
        frame["Combined"][..., 3] = ALPHA
        return {name: np.asarray(one, dtype=np.float32) for name, one in frame.items()}

    use_client(extension, monkeypatch, KnownClient(draw))
    prepare(extension, empty_scene, SIZE, SIZE)
    empty_scene.camera.rotation_euler = (np.pi / 2, 0, 0)
    return empty_scene


def passes(extension, scene, tmp_path, name: str, **settings) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The frame's passes, and what the group makes of them (H, W, 4)."""
    compositor = module(extension, "render.compositor")
    bpy.ops.stylerig.setup_compositor(relight=True)
    tree = compositor.scene_tree(scene)
    node = tree.nodes["StyleRig Plate Relight"]
    assert np.allclose(node.inputs["View"].default_value, VIEW, atol=1e-6)
    for key, value in settings.items():
        node.inputs[key].default_value = value
    module(extension, "render.sequence").setup_sequence(scene, str(tmp_path / name))
    output = tree.nodes["StyleRig Passes"]
    tree.links.new(node.outputs["Image"], output.inputs["Combined"])
    scene.frame_end = 1
    bpy.ops.render.render(animation=True)
    channels = read_exr(tmp_path / name / "passes" / "frame_0001.exr", tmp_path)
    letters = "RGBA" if "Combined.R" in channels else "rgba"
    return channels, stacked(channels, "Combined", letters)


def test_the_group_looks_from_where_the_camera_is(extension, scene):
    bpy.ops.stylerig.setup_compositor(relight=True)
    view = module(extension, "render.compositor").scene_tree(scene).nodes["StyleRig Plate Relight"].inputs["View"]
    for angles in ((0.9, 0.2, 0.7), (1.2, -0.3, -0.4)):
        scene.camera.rotation_euler = angles
        scene.frame_set(scene.frame_current + 1)
        assert np.allclose(view.default_value, scene.camera.matrix_world.to_3x3().col[2], atol=1e-5)


def expected(channels: dict[str, np.ndarray], original: np.ndarray, lamp: np.ndarray, strength: float, keep: float) -> np.ndarray:
    normal, shading = stacked(channels, "Normal", "XYZ"), stacked(channels, "Shading", "RGB")
    mesh = stacked(channels, "Albedo", "RGB").sum(-1, keepdims=True) > 0
    lamp = lamp / np.linalg.norm(lamp)
    light = strength * np.maximum(normal @ lamp, 0)[..., None] * stacked(channels, "Occlusion", "X")
    half = (lamp + VIEW) / np.linalg.norm(lamp + VIEW)
    squared = 0.4**4
    facets = squared / (np.pi * (np.maximum(normal @ half, 0) ** 2 * (squared - 1) + 1) ** 2)
    fresnel = 0.028 + (1 - 0.028) * (1 - VIEW @ half) ** 5
    mirrored = np.pi * facets * fresnel / 4 * (np.square(normal).sum(-1) > 0.25)
    reflectance = original[..., :3] / np.maximum(np.where(mesh, shading, 0.6), 0.05)
    return keep * original[..., :3] + (reflectance + mirrored[..., None] * ALPHA) * light


def test_a_lamp_that_is_off_changes_nothing(extension, scene, tmp_path):
    _, picture = passes(extension, scene, tmp_path, "off")
    bpy.ops.stylerig.setup_compositor()
    module(extension, "render.sequence").setup_sequence(scene, str(tmp_path / "none"))
    bpy.ops.render.render(animation=True)
    channels = read_exr(tmp_path / "none" / "passes" / "frame_0001.exr", tmp_path)
    letters = "RGBA" if "Combined.R" in channels else "rgba"
    np.testing.assert_allclose(picture, stacked(channels, "Combined", letters), atol=1e-6)


def test_it_is_what_the_formulas_say(extension, scene, tmp_path):
    _, original = passes(extension, scene, tmp_path, "off")
    lamp = np.array((0.8, -0.6, 0.3))
    channels, picture = passes(extension, scene, tmp_path, "on", Direction=tuple(lamp), Strength=1.5, Keep=0.25)
    np.testing.assert_allclose(picture[..., 3], original[..., 3], atol=1e-6)
    wanted = expected(channels, original, lamp, 1.5, 0.25)
    assert (wanted - original[..., :3]).max() > 0.1
    np.testing.assert_allclose(picture[..., :3], wanted, atol=2e-4)


def test_a_group_of_an_earlier_version_gets_occlusion(extension, scene):
    """The first one had no socket for it; an artist's changes stay in the old one."""
    group = module(extension, "render.relight_group").make()
    group.interface.remove(next(item for item in group.interface.items_tree if item.name == "Occlusion"))
    group.nodes["Alpha"].mute = True
    bpy.ops.stylerig.setup_compositor(relight=True)
    node = compositor_node(scene)
    assert node.inputs["Occlusion"].is_linked and not node.node_tree.nodes["Alpha"].mute
    old = bpy.data.node_groups["StyleRig Relight (old)"]
    assert old == group and old.nodes["Alpha"].mute


def compositor_node(scene) -> bpy.types.Node:
    tree = scene.compositing_node_group if hasattr(scene, "compositing_node_group") else scene.node_tree
    return tree.nodes["StyleRig Plate Relight"]


def test_the_set_up_shows_it(scene, tmp_path):
    bpy.ops.stylerig.setup_compositor()
    dark = render_still(scene, tmp_path / "a.png").astype(int)
    bpy.ops.stylerig.setup_compositor(relight=True, light_wrap=0.25)
    compositor_node(scene).inputs["Strength"].default_value = 2.0
    assert (render_still(scene, tmp_path / "b.png").astype(int) - dark)[16:48, 34:48, 0].mean() > 10
