"""The portrait on the mesh's UVs: right where it is seen, plausible where not."""

from __future__ import annotations

import bpy
import fake_backend
import numpy as np
import pytest
from output_shot import KnownClient, module, prepare, read_png, to_linear, use_client

PLACEMENT = (0.3, -0.1, 0.05, 0.4, -0.3, 2.0)
PICTURE = 256
SKIN_QUADS = 15 * 24


def radii() -> np.ndarray:
    """Of the mesh of the test's portrait, cm."""
    return fake_backend.radii(fake_backend.new_portrait(7, 0.7))


def rays(size: int) -> np.ndarray:
    """Directions (S, S, 3) from the portrait camera through its pixels, of depth 1."""
    line = ((np.arange(size) + 0.5) / size * 2 - 1) * 12.5 / 120
    x, y = np.meshgrid(line, -line)
    return np.stack((x, y, -np.ones_like(x)), axis=-1)


def rotation() -> np.ndarray:
    """R of PLACEMENT, written out anew from the convention Rz(roll) Ry(yaw) Rx(pitch)."""
    yaw, pitch, roll = PLACEMENT[:3]

    def turn(axis: int, angle: float) -> np.ndarray:
        a, b = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[a, a] = matrix[b, b] = np.cos(angle)
        matrix[b, a], matrix[a, b] = np.sin(angle), -np.sin(angle)
        return matrix

    return turn(2, roll) @ turn(1, yaw) @ turn(0, pitch)


def colour_of(points: np.ndarray) -> np.ndarray:
    """The colour that the test's portrait has at world points (…, 3): smooth, in linear light."""
    x, y = points[..., 0] / 30 + 0.5, points[..., 1] / 30 + 0.5
    return np.stack((x, y, 1 - 0.5 * x), axis=-1).clip(0.02, 0.98)


def ellipsoid_frame(_controls: dict, _size: int) -> dict[str, np.ndarray]:
    """The fake backend's ellipsoid head as its portrait camera sees it, by exact intersection."""
    to_model = rotation().T
    origin = (np.array((0.0, 0.0, 120.0)) - PLACEMENT[3:]) @ to_model.T / radii()
    along = rays(PICTURE) @ to_model.T / radii()
    a, b, c = (along**2).sum(-1), along @ origin, (origin**2).sum() - 1
    root = b * b - a * c
    hit = root > 0
    depth = np.where(hit, (-b - np.sqrt(np.maximum(root, 0))) / a, 0)
    points = np.array((0.0, 0.0, 120.0)) + depth[..., None] * rays(PICTURE)
    combined = np.concatenate((colour_of(points), np.ones_like(depth)[..., None]), axis=-1) * hit[..., None]
    return {
        "Combined": combined.astype(np.float32),
        "Depth": np.where(hit, depth, 1e10).astype(np.float32)[..., None],
        "placement": np.array(PLACEMENT),
    }


@pytest.fixture
def client(extension, monkeypatch) -> KnownClient:
    client = KnownClient(ellipsoid_frame)
    use_client(extension, monkeypatch, client)
    return client


@pytest.fixture
def rig(extension, empty_scene, client):
    rig = prepare(extension, empty_scene)
    for key in rig.stylerig.head.data.shape_keys.key_blocks:
        key.value = 0
    uv = rig.stylerig.head.data.uv_layers[0].uv
    places = np.empty(2 * len(uv), dtype=np.float32)
    uv.foreach_get("vector", places)
    places[8 * SKIN_QUADS :] = 0  # the eyeballs lie over the skin in these UVs: away with them
    uv.foreach_set("vector", places)
    bpy.context.view_layer.objects.active = rig
    return rig


def texture_pixels(name: str) -> np.ndarray:
    image = bpy.data.images[name]
    pixels = np.empty(image.size[0] * image.size[1] * 4, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(image.size[1], image.size[0], 4)


def skin_vertices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World points, unit normals and UVs of the skin's vertices, those behind the eyeballs left out."""
    mesh = fake_backend.mesh_of(fake_backend.new_portrait(7, 0.7))
    points = mesh["vertices"][mesh["corners"][: 4 * SKIN_QUADS : 4]]  # the first corner of each quad
    uv = mesh["uv"][: 4 * SKIN_QUADS : 4]
    normals = points / radii() ** 2
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    keep = np.linalg.norm(points[:, None] - fake_backend.EYES, axis=-1).min(1) > 3.0
    return (points @ rotation().T + PLACEMENT[3:])[keep], (normals @ rotation().T)[keep], uv[keep]


def test_seen_texels_hold_the_portrait(rig):
    assert bpy.ops.stylerig.portrait_texture(size=256) == {"FINISHED"}
    points, normals, uv = skin_vertices()
    to_camera = np.array((0, 0, 120)) - points
    facing = (normals * to_camera).sum(1) / np.linalg.norm(to_camera, axis=1)
    picture = texture_pixels(f"{rig.name} Portrait")
    columns, rows = (uv.clip(0, 0.999) * 256).astype(int).T
    texels = picture[rows, columns, :3]
    error = np.abs(to_linear(texels) - colour_of(points))[facing > 0.5]
    assert len(error) > 40 and np.median(error) < 0.01 and error.max() < 0.05
    away = to_linear(texels)[facing < -0.3]
    assert len(away) > 30 and away.min() > 0.0 and away.max() <= 1.0


def test_the_unseen_side_has_no_seam_and_no_hole(rig):
    bpy.ops.stylerig.portrait_texture(size=256)
    picture = to_linear(texture_pixels(f"{rig.name} Portrait")[..., :3])
    behind = picture[60:200, [2, 253]]  # the two sides of the UV seam, at the back of the head
    assert np.abs(behind[:, 0] - behind[:, 1]).max() < 0.05
    assert behind.min() > 0.02


def test_head_fills_the_picture_whatever_the_shot_does(rig, client):
    rig.pose.bones["head"].location = (0.1, 0, 0.2)
    bpy.context.view_layer.update()
    bpy.ops.stylerig.portrait_texture(size=64)
    controls = client.requests[-1]["controls"]
    assert controls["translation"] == [0, 0] and controls["scale"] == 1
    assert client.requests[-1]["passes"] == ("Depth",)


def test_expression_moves_the_mesh_that_is_projected_on(extension, rig):
    texture = module(extension, "render.texture")
    neutral = texture.head_mesh(rig.stylerig.head, {}).vertices
    opened = texture.head_mesh(rig.stylerig.head, {"jawOpen": 0.5}).vertices
    mesh = fake_backend.mesh_of(fake_backend.new_portrait(7, 0.7))
    np.testing.assert_allclose(neutral, mesh["vertices"], atol=1e-4)
    change = mesh["expression"][fake_backend.EXPRESSIONS.index("jawOpen")]
    np.testing.assert_allclose(opened, mesh["vertices"] + 0.5 * change, atol=1e-4)


@pytest.mark.parametrize("shading,socket", [("OWN", "Emission Color"), ("SCENE", "Base Color")])
def test_material_shows_the_texture(rig, shading, socket):
    bpy.ops.stylerig.portrait_texture(size=64, shading="SCENE")
    bpy.ops.stylerig.portrait_texture(size=64, shading=shading)
    tree = rig.stylerig.head.data.materials[0].node_tree
    textures = [node for node in tree.nodes if node.type == "TEX_IMAGE"]
    links = [link.to_socket.name for link in textures[0].outputs["Color"].links]
    assert len(textures) == 1 and links == [socket]
    assert textures[0].image.packed_file and len(bpy.data.images) <= 2


def test_a_file_is_written_whole_or_not_at_all(rig, tmp_path):
    path = tmp_path / "out" / "texture.png"
    bpy.ops.stylerig.portrait_texture(size=64, filepath=str(path))
    np.testing.assert_array_equal(read_png(path)[::-1], np.round(texture_pixels(f"{rig.name} Portrait") * 255))
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError, match=r"texture cannot be written to .*Choose another folder"):
        bpy.ops.stylerig.portrait_texture(size=64, filepath=str(tmp_path / "file" / "texture.png"))
    assert [entry.name for entry in path.parent.iterdir()] == ["texture.png"]


def test_of_overlapping_triangles_the_seen_one_is_drawn(extension):
    projection = module(extension, "render.projection")
    one = np.array(((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    for priority in ((0.1, 0.9), (0.9, 0.1)):
        found, weights = projection.rasterise_uv(np.stack((one, one)), 8, np.array(priority))
        assert (found[found >= 0] == int(np.argmax(priority))).all()
    assert found[0, 0] >= 0 and found[7, 7] == -1
    np.testing.assert_allclose(weights[0, 0], (1 - 2 / 16, 1 / 16, 1 / 16))


def test_a_mesh_without_uvs_says_so(rig):
    data = rig.stylerig.head.data
    data.uv_layers.remove(data.uv_layers[0])
    with pytest.raises(RuntimeError, match="has no UV map"):
        bpy.ops.stylerig.portrait_texture(size=64)


@pytest.mark.parametrize("slots", [0, 1])
def test_a_mesh_without_a_material_gets_one(rig, slots):
    materials = rig.stylerig.head.data.materials
    materials.clear()
    if slots:
        materials.append(None)
    bpy.ops.stylerig.portrait_texture(size=64)
    assert len(materials) == 1 and "StyleRig Portrait" in materials[0].node_tree.nodes


def view_of_head(controls: dict, _size: int, light: float = 0.8) -> dict[str, np.ndarray]:
    """The ellipsoid turned by the yaw asked for, evenly lit, in a colour that is its place across the head, model space."""
    yaw = controls["rotation"][0]
    turn = np.array(((np.cos(yaw), 0, np.sin(yaw)), (0, 1, 0), (-np.sin(yaw), 0, np.cos(yaw))))
    origin, along = np.array((0.0, 0.0, 120.0)) @ turn / radii(), rays(PICTURE) @ turn / radii()
    a, b, c = (along**2).sum(-1), along @ origin, (origin**2).sum() - 1
    root = b * b - a * c
    hit = root > 0
    depth = np.where(hit, (-b - np.sqrt(np.maximum(root, 0))) / a, 0)
    points = (np.array((0.0, 0.0, 120.0)) + depth[..., None] * rays(PICTURE)) @ turn
    combined = np.concatenate((light * across(points), np.ones_like(depth)[..., None]), axis=-1) * hit[..., None]
    shading = np.full((*hit.shape, 3), light) * hit[..., None]
    placement = np.array((yaw, 0, 0, 0, 0, 0))
    return {"Combined": combined, "Depth": np.where(hit, depth, 1e10)[..., None], "Shading": shading, "placement": placement}


def across(points: np.ndarray) -> np.ndarray:
    """A colour (…, 3) by the place in model space."""
    return np.stack((points[..., 0] / 30 + 0.5, points[..., 1] / 40 + 0.5, np.full(points.shape[:-1], 0.6)), axis=-1).clip(0.02, 0.98)


@pytest.mark.parametrize(("sides", "delit"), [(False, False), (True, False), (True, True)])
def test_views_from_the_sides_and_without_light(extension, rig, monkeypatch, sides, delit):
    asked = []
    use_client(extension, monkeypatch, KnownClient(lambda controls, size: asked.append(controls) or view_of_head(controls, size)))
    rig.pose.bones["head"].rotation_euler = (0, 0, 0)
    bpy.context.view_layer.update()
    assert bpy.ops.stylerig.portrait_texture(size=256, sides=sides, delit=delit) == {"FINISHED"}
    assert sorted(round(np.degrees(one["rotation"][0])) for one in asked) == ([-40, 0, 40] if sides else [0])
    mesh = fake_backend.mesh_of(fake_backend.new_portrait(7, 0.7))
    points, uv = mesh["vertices"][mesh["corners"][: 4 * SKIN_QUADS : 4]], mesh["uv"][: 4 * SKIN_QUADS : 4]
    side = (np.abs(points[:, 0]) > 7.0) & (np.abs(points[:, 2]) < 2.0) & (np.abs(points[:, 1]) < 4)  # where an ear would be
    columns, rows = (uv.clip(0, 0.999) * 256).astype(int).T
    texels = to_linear(texture_pixels(f"{rig.name} Portrait")[rows, columns, :3])
    error = np.abs(texels - (1.0 if delit else 0.8) * across(points))[side, 0]
    assert side.sum() >= 4 and (np.median(error) < 0.03) == sides


def side_texels(rig: bpy.types.Object, x: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear texels (N, 3) of the skin at the front of the head whose x is beyond ``x`` (on its side), and their places (N, 3), model space."""
    mesh = fake_backend.mesh_of(fake_backend.new_portrait(7, 0.7))
    points, uv = mesh["vertices"][mesh["corners"][: 4 * SKIN_QUADS : 4]], mesh["uv"][: 4 * SKIN_QUADS : 4]
    chosen = (points[:, 0] / x > 1) & (points[:, 2] > 0) & (np.abs(points[:, 1]) < 6)
    columns, rows = (uv[chosen].clip(0, 0.999) * 256).astype(int).T
    return to_linear(texture_pixels(f"{rig.name} Portrait")[rows, columns, :3]), points[chosen]


@pytest.mark.parametrize("delit", [False, True])
def test_what_is_turned_away_is_filled_from_the_other_side(extension, rig, monkeypatch, delit):
    """At x the portrait's red tells x: on the side that no view sees, it is the other side's, in this side's light."""
    use_client(extension, monkeypatch, KnownClient(view_of_head))
    rig.pose.bones["head"].rotation_euler = (0, 0.9, 0)  # the head's left is turned away
    light = np.zeros((9, 3))
    light[0] = 2.0
    rig.stylerig.light = light.ravel().tolist()
    bpy.context.view_layer.update()
    bpy.ops.stylerig.portrait_texture(size=256, delit=delit)
    (hidden, places), (shown, _) = side_texels(rig, 6.0), side_texels(rig, -6.0)
    assert len(places) >= 4 and len(shown) >= 4
    mirrored = (1.0 if delit else 0.8) * across(places * (-1, 1, 1))
    assert np.median(np.abs(hidden - mirrored)) < 0.02


def test_filled_in_parts_are_in_their_own_sides_light(part):
    projection = part("render.projection")
    light = np.zeros((9, 3))
    light[0], light[3] = 2.0, 0.5  # brighter from +x
    gain = projection.gain_over_twins(light, np.array(((1.0, 0, 0), (-1.0, 0, 0))), np.array((1, 0)))
    expected = (2.0 * np.pi * 0.2821 + 0.5 * 2 * np.pi / 3 * 0.4886) / (2.0 * np.pi * 0.2821 - 0.5 * 2 * np.pi / 3 * 0.4886)
    assert gain[0] == pytest.approx(expected, rel=1e-3) and gain[1] == pytest.approx(1 / expected, rel=1e-3)


def test_what_no_view_sees_is_alike_on_both_sides(part):
    """A band whose ends alone are seen, one twice as bright as the other: between them it is of the mean brightness."""
    projection, count = part("render.projection"), 201
    x = np.linspace(-10, 10, count)
    vertices = np.concatenate([np.stack((x, np.full(count, y), 0 * x), axis=-1) for y in (0.0, 1.0)])
    here = np.arange(count - 1)
    triangles = np.concatenate((np.stack((here, here + 1, here + count), -1), np.stack((here + 1, here + count + 1, here + count), -1)))
    twins = part("render.texture").mirror_twins(vertices)
    mesh = projection.HeadMesh(vertices, triangles, np.zeros((len(triangles), 3, 2)), np.full_like(vertices, 0.5), twins)
    seen = (np.abs(vertices[:, 0]) > 9).astype(float)
    ratio = projection.lit_ratio(mesh, np.where(vertices[:, :1] > 0, 0.4, 0.2) * np.ones(3), seen)
    middle = np.abs(vertices[:, 0]) < 5
    assert np.allclose(ratio[middle], 0.6, atol=0.01) and set(ratio[seen > 0].ravel().round(3)) == {0.4, 0.8}


def test_vertices_have_their_twins_across_the_middle(extension, rig):
    texture = module(extension, "render.texture")
    mesh = texture.head_mesh(rig.stylerig.head, {"jawOpen": 1.0})
    rest = texture.head_mesh(rig.stylerig.head, {}).vertices
    np.testing.assert_allclose(rest[mesh.twins] * (-1, 1, 1), rest, atol=1e-3)
    alone = texture.mirror_twins(np.array(((1.0, 0, 0), (-1.2, 0, 0), (5.0, 0, 0))))
    assert alone.tolist() == [1, 0, 2]


@pytest.mark.parametrize(("yaw", "told"), [(0.2, False), (0.6, True)])
def test_a_head_that_looks_away_is_told_of(part, rig, yaw, told):
    texture = part("render.texture")
    rig.pose.bones["head"].rotation_euler = (0, yaw, 0)
    bpy.context.view_layer.update()
    drawn = np.zeros((64, 64, 3), np.float32)
    operator = Operator(texture.turned_by(rig, bpy.context.evaluated_depsgraph_get()), part("identity").key_of(rig))
    assert texture.STYLERIG_OT_portrait_texture.finish(operator, bpy.context, drawn) == {"FINISHED"}
    assert operator.reports == ([({"WARNING"}, "The head is turned by 34°")] if told else [])


class Operator:
    """What ``finish`` of the operator reads, and the first words that it reported."""

    filepath, shading, _name = "", "OWN", "Portrait"

    def __init__(self, turned: float, rig: int):
        self._turned, self._rig, self.reports = turned, rig, []

    def report(self, kind: set[str], text: str) -> None:
        self.reports.append((kind, text.partition(":")[0]))


def test_the_light_turns_with_the_head(part):
    light = np.zeros((9, 3))
    light[0], light[3] = 2.0, 1.0
    turned = part("render.texture").turned({"rotation": [0.1, 0.0, 0.0], "light": light.tolist()}, 0.5)
    assert turned["rotation"] == pytest.approx([0.6, 0, 0]) and np.allclose(np.array(turned["light"])[0], 2.0)
    assert np.allclose(np.linalg.norm(np.array(turned["light"])[1:4], axis=0), 1.0)
