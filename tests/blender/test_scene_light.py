"""Lamps, world and presets as spherical harmonics; intensities against Cycles."""

from __future__ import annotations

import math

import bpy
import numpy as np
import pytest
from mathutils import Euler, Vector

UP = np.array((0.0, 0.0, 1.0))


@pytest.fixture
def harmonics(part):
    return part("protocol.harmonics")


def add_lamp(kind: str, location, target=(0, 0, 0), **settings) -> bpy.types.Object:
    """A lamp that shines at ``target``."""
    data = bpy.data.lights.new(kind, kind)
    for name, value in settings.items():
        setattr(data, name, value)
    lamp = bpy.data.objects.new(kind, data)
    lamp.location = location
    lamp.rotation_euler = (Vector(target) - Vector(location)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(lamp)
    return lamp


def patch_scene(tmp_path) -> bpy.types.Scene:
    """A small white diffuse square at the origin, facing up, seen by Cycles without bounces."""
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = "CYCLES", 64, False, 0
    scene.render.resolution_x = scene.render.resolution_y = 8
    scene.render.image_settings.file_format, scene.view_settings.view_transform = "OPEN_EXR", "Raw"
    scene.render.filepath = str(tmp_path / "patch.exr")
    mesh = bpy.data.meshes.new("Patch")
    mesh.from_pydata([(-0.01, -0.01, 0), (0.01, -0.01, 0), (0.01, 0.01, 0), (-0.01, 0.01, 0)], [], [(0, 1, 2, 3)])
    material = bpy.data.materials.new("White")
    if not material.use_nodes:
        material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    diffuse, output = nodes.new("ShaderNodeBsdfDiffuse"), nodes.new("ShaderNodeOutputMaterial")
    diffuse.inputs["Color"].default_value = (1, 1, 1, 1)
    material.node_tree.links.new(diffuse.outputs[0], output.inputs[0])
    mesh.materials.append(material)
    patch = bpy.data.objects.new("Patch", mesh)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.type, camera.data.ortho_scale, camera.data.clip_start = "ORTHO", 0.01, 0.001
    camera.parent, camera.location = patch, (0, 0, 0.05)
    for item in (patch, camera):
        scene.collection.objects.link(item)
    scene.camera = camera
    return scene


def cycles_irradiance(scene, normal=(0, 0, 1)) -> np.ndarray:
    """What the patch turned to ``normal`` receives, (3,), by Cycles."""
    patch = scene.camera.parent
    patch.rotation_euler = Vector(normal).to_track_quat("Z", "Y").to_euler()
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    pixels = np.array(image.pixels[:]).reshape(-1, 4)[:, :3].mean(axis=0)
    bpy.data.images.remove(image)
    return pixels * math.pi


LAMPS = {
    "sun": ("SUN", {"energy": 3.0, "color": (1, 0.5, 0.25)}),
    "exposed sun": ("SUN", {"energy": 1.0, "exposure": 1.5}),
    "sun by its size": ("SUN", {"energy": 100.0, "normalize": False, "angle": 0.2}),
    "point": ("POINT", {"energy": 100.0, "shadow_soft_size": 0.05}),
    "point by its size": ("POINT", {"energy": 100.0, "normalize": False, "shadow_soft_size": 0.1}),
    "spot": ("SPOT", {"energy": 100.0, "spot_size": 0.8, "spot_blend": 0.4}),
    "area": ("AREA", {"energy": 100.0, "size": 0.2}),
    "rectangle": ("AREA", {"energy": 100.0, "shape": "RECTANGLE", "size": 0.3, "size_y": 0.1}),
    "disk": ("AREA", {"energy": 100.0, "shape": "DISK", "size": 0.3}),
    "ellipse by its size": ("AREA", {"energy": 100.0, "shape": "ELLIPSE", "size": 0.3, "size_y": 0.2, "normalize": False}),
    "spread": ("AREA", {"energy": 10.0, "size": 0.1, "spread": 1.2}),
}


@pytest.mark.parametrize("name", LAMPS)
def test_lamps_are_as_bright_as_in_cycles(part, empty_scene, harmonics, tmp_path, name):
    kind, settings = LAMPS[name]
    scene = patch_scene(tmp_path)
    lamp = add_lamp(kind, (0, 0, 2), **settings)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    light = part("rig.scene_light").lamp_light(lamp.evaluated_get(depsgraph), np.zeros(3))
    # The even part of a small light tells its irradiance on what faces it.
    assert light[0] / harmonics.CONSTANT == pytest.approx(cycles_irradiance(scene), rel=0.03)
    assert harmonics.main_direction(light) == pytest.approx(UP, abs=1e-3)


@pytest.mark.parametrize("aside", [0.0, 0.5, 0.7, 0.9])
def test_the_edge_of_a_spot(part, empty_scene, harmonics, tmp_path, aside):
    scene = patch_scene(tmp_path)
    lamp = add_lamp("SPOT", (0, 0, 2), target=(aside, 0, 0), energy=100.0, spot_size=0.9, spot_blend=0.5, shadow_soft_size=0)
    light = part("rig.scene_light").lamp_light(lamp.evaluated_get(bpy.context.evaluated_depsgraph_get()), np.zeros(3))
    assert light[0] / harmonics.CONSTANT == pytest.approx(cycles_irradiance(scene), rel=0.03, abs=0.01)


def test_lamps_behind_an_area_lamp_and_at_the_head_itself(part, rig, harmonics):
    lamp = add_lamp("AREA", (0, 0, 2), target=(0, 0, 4), size=0.2)
    close = add_lamp("POINT", (0, 0, 0))
    depsgraph = bpy.context.evaluated_depsgraph_get()
    read = part("rig.scene_light").lamp_light
    assert not read(lamp.evaluated_get(depsgraph), np.zeros(3)).any()
    assert np.isfinite(read(close.evaluated_get(depsgraph), np.zeros(3))).all()


def smooth_world(harmonics, part, name="Sky", turn=(0.3, -0.2, 0.9), strength=1.5) -> bpy.types.World:
    """A world with a picture that order 2 can hold, turned by a Mapping node."""
    height, width = 64, 128
    polar = ((np.arange(height) + 0.5) / height - 0.5) * math.pi
    around = (0.5 - (np.arange(width) + 0.5) / width) * 2 * math.pi
    level, angle = np.meshgrid(polar, around, indexing="ij")
    x, y, z = np.cos(level) * np.cos(angle), np.cos(level) * np.sin(angle), np.sin(level)
    pixels = np.stack((1 + 0.8 * x, 1 - 0.5 * y + 0.4 * x * z, 0.6 + 0.5 * z * z, np.ones_like(x)), axis=-1)
    image = bpy.data.images.new(name, width, height, float_buffer=True)
    image.pixels.foreach_set(pixels.astype(np.float32).ravel())
    image.pack()
    world = bpy.data.worlds.new(name)
    if not world.use_nodes:
        world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    background = next(node for node in nodes if node.type == "BACKGROUND")
    texture, mapping, place = (nodes.new(f"ShaderNode{kind}") for kind in ("TexEnvironment", "Mapping", "TexCoord"))
    texture.image, mapping.inputs["Rotation"].default_value = image, turn
    background.inputs["Strength"].default_value = strength
    links.new(place.outputs["Generated"], mapping.inputs["Vector"])
    links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
    links.new(texture.outputs["Color"], background.inputs["Color"])
    bpy.context.scene.world = world
    return world


def test_a_worlds_picture_is_as_in_cycles(part, rig, harmonics, tmp_path):
    world = smooth_world(harmonics, part)
    scene_light = part("rig.scene_light")
    assert scene_light.stale_world(rig, world)
    scene_light.read_world(rig, world)
    assert not scene_light.stale_world(rig, world)
    rig.stylerig.head.hide_render = True
    scene = patch_scene(tmp_path)
    light = scene_light.world_light(world, rig)
    for normal in ((1, 0, 0), (0, -1, 0), (-0.6, 0.5, -0.6)):
        unit = np.array(normal) / np.linalg.norm(normal)
        assert harmonics.irradiance(light, unit) == pytest.approx(cycles_irradiance(scene, normal), rel=0.03)


def test_worlds_without_a_picture(part, rig, harmonics):
    scene_light, scene = part("rig.scene_light"), bpy.context.scene
    scene.world = None
    assert not scene_light.world_light(None, rig).any()
    scene.world = world = bpy.data.worlds.new("Plain")
    if not world.use_nodes:
        world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value, background.inputs["Strength"].default_value = (0.5, 0.25, 1, 1), 2
    light = scene_light.world_light(world, rig)
    assert harmonics.irradiance(light, UP) == pytest.approx(np.array((1, 0.5, 2)) * math.pi)
    scene_light.read_world(rig, world)
    assert rig.stylerig.world_image == ""


def test_a_missing_picture_is_told(part, rig, harmonics):
    world = smooth_world(harmonics, part)
    image = part("rig.scene_light").world_image(world)
    image.unpack(method="REMOVE") if image.packed_file else None
    image.source, image.filepath = "FILE", "//nowhere.exr"
    image.reload()
    with pytest.raises(RuntimeError, match=r"cannot be read.*Find the missing file"):
        bpy.ops.stylerig.light_from_scene()


def asked(part, rig) -> np.ndarray:
    return np.array(part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())[1]["light"])


def test_lamps_light_the_portrait_frame_by_frame(part, rig, harmonics):
    lamp = add_lamp("SUN", (2, 0, 0), energy=2.0)
    assert bpy.ops.stylerig.light_from_scene() == {"FINISHED"}
    left = np.array((1.0, 0.0, 0.0))  # of the face: +x in the model too
    assert harmonics.main_direction(asked(part, rig)) == pytest.approx(left, abs=1e-4)
    for frame, angle in ((1, 0.0), (11, math.pi / 2)):
        lamp.rotation_euler = (Euler((0, 0, -angle)).to_matrix() @ Euler((0, math.pi / 2, 0)).to_matrix()).to_euler()
        lamp.keyframe_insert("rotation_euler", frame=frame)
    bpy.context.scene.frame_set(11)  # now from -Y: from where the face looks
    assert harmonics.main_direction(asked(part, rig)) == pytest.approx((0, 0, 1), abs=1e-4)
    lamp.hide_render = True
    assert not asked(part, rig).any()


def test_the_rig_turned_in_the_scene(part, rig, harmonics):
    add_lamp("SUN", (0, -2, 0))
    bpy.ops.stylerig.light_from_scene()
    rig.rotation_euler = (0, 0, math.pi / 2)  # the face now looks along +X: the light is at its right
    bpy.context.view_layer.update()
    assert harmonics.main_direction(asked(part, rig)) == pytest.approx((-1, 0, 0), abs=1e-4)


def test_strength_and_tint_lie_over_the_scenes_light(part, rig):
    add_lamp("SUN", (2, 0, 0))
    bpy.ops.stylerig.light_from_scene()
    plain = asked(part, rig)
    rig.stylerig.light_strength, rig.stylerig.light_tint = 2, (1, 0.5, 0)
    assert np.allclose(asked(part, rig), plain * (2, 1, 0), atol=1e-5)


def test_taking_the_scenes_light_as_own(part, rig, harmonics):
    smooth_world(harmonics, part)
    lamp = add_lamp("POINT", (0.5, -1, 0.5), energy=50)
    bpy.ops.stylerig.light_from_scene()
    live = asked(part, rig)
    bpy.ops.stylerig.light_bake()
    assert rig.stylerig.light_source == "OWN" and np.allclose(asked(part, rig), live, atol=1e-4)
    bpy.data.objects.remove(lamp)
    assert np.allclose(asked(part, rig), live, atol=1e-4)


def test_presets_light_a_face_alike(part, rig, harmonics):
    light = part("rig.light")
    for name in light.PRESETS:
        assert bpy.ops.stylerig.light_preset(preset=name) == {"FINISHED"}
        coefficients = asked(part, rig)
        assert np.allclose(coefficients, light.preset(name), atol=1e-4)
        directions = harmonics.SAMPLES[harmonics.SAMPLES[:, 2] > 0.3]
        brightness = harmonics.irradiance(coefficients, directions).mean(axis=0) @ harmonics.LUMINANCE / math.pi
        assert brightness == pytest.approx(light.FACE_BRIGHTNESS, rel=1e-3)
    bpy.ops.stylerig.light_preset(preset="Split")
    assert harmonics.main_direction(asked(part, rig))[0] < -0.9


def test_the_ball_shows_the_light(part, harmonics):
    light = part("rig.light")
    picture = light.ball(light.preset("Split"), 64)
    assert picture.shape == (64, 64, 4) and picture[0, 0, 3] == 0 and picture[32, 32, 3] == 1
    assert picture[32, 8, 1] > 4 * picture[32, 56, 1]  # lit from the picture's left
    above = light.ball(light.preset("Overcast"), 64)
    assert above[56, 32, 1] > above[8, 32, 1]  # row 0 is at the bottom
    even = light.ball(harmonics.ambient((1, 1, 1)), 64)
    assert even[32, 32, :3] == pytest.approx(light.BALL_ALBEDO, abs=1e-6)


def test_the_balls_icon_is_drawn_again_only_when_the_light_changes(part, rig):
    ui, thumbnails = part("ui.light"), part("ui.thumbnails")
    depsgraph = bpy.context.evaluated_depsgraph_get()
    ui.ball_icon(rig, depsgraph)
    key = ui._SHOWN_LIGHT[f"light {rig.session_uid}"]
    rig.stylerig.light_strength = 0.2
    bpy.context.view_layer.update()
    ui.ball_icon(rig, bpy.context.evaluated_depsgraph_get())
    assert ui._SHOWN_LIGHT[f"light {rig.session_uid}"] != key
    assert tuple(thumbnails.previews()[f"light {rig.session_uid}"].image_size) == (96, 96)


def test_light_operators_can_be_undone(part, rig):
    bpy.ops.ed.undo_push(message="start")
    before = rig.stylerig.light[:]
    bpy.ops.stylerig.light_preset(preset="Sunset")
    bpy.ops.ed.undo_push(message="preset")
    bpy.ops.ed.undo()
    assert bpy.data.objects["Portrait 7"].stylerig.light[:] == before
