"""The portrait as an image texture on the rig's mesh."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty
from mathutils.kdtree import KDTree

from ..client.backend_manager import connector
from ..client.http_client import Client
from ..errors import UserError
from ..identity import found, key_of
from ..operators import AsyncOperator
from ..protocol import colour, compositing, conversions, harmonics
from ..protocol.camera import camera_of, rotation_from_matrix, rotation_to_matrix
from ..protocol.rounding import rounded, rounded_light
from ..rig.build import ALBEDO
from ..rig.read_rig import active_rig, head_of, present_rig, read_controls
from ..translations import tr
from . import projection

TEXTURE_NODE = "StyleRig Portrait"
SIDES = (0.0, math.radians(40), math.radians(-40))  # how the head is turned for each view
DARKEST = 0.05  # light that a picture is divided by at least
TURNED_FAR = math.radians(25)  # from the front: much of the face is filled in
NEAR_TWIN = 0.5  # cm between a vertex and the mirrored place of its twin, at most
GREY_ALBEDO = 0.5  # albedo of a mesh whose colour attribute is gone
CENTRED_CONTROLS = {"translation": [0.0, 0.0], "scale": 1.0}  # so that the head fills the picture


def texture_drawer(
    rig: bpy.types.Object, depsgraph: bpy.types.Depsgraph, size: int, sides: bool, delit: bool
) -> Callable[[Callable[[], Client]], np.ndarray]:
    """What draws the rig's portrait, as it is posed now, onto its mesh's UVs: sRGB (size, size, 3), row 0 at the bottom.

    ``sides``: from either side too, in the same light of the face. ``delit``: divided by the light.
    It is for any thread, is called with what gives the backend's client, and raises UserError.
    Raises UserError.
    """
    head = head_of(rig)
    if head is None:
        raise UserError("no_head", "{name} has no mesh to put a texture on.", "Undo its removal, or make a new portrait.", name=rig.name)
    portrait, controls = read_controls(rig, depsgraph)
    mesh = head_mesh(head, controls["expression"])

    def draw(connect: Callable[[], Client]) -> np.ndarray:
        client, pixels = connect(), compositing.backend_size(size)
        wanted = ("Depth", "Shading") if delit else ("Depth",)
        asked = [turned(controls, angle) for angle in (SIDES if sides else (0.0,))]
        views = [client.frame(portrait, {**one, **CENTRED_CONTROLS}, pixels, wanted) for one in asked]
        views, light = ([without_light(view) for view in views], None) if delit else (views, np.array(controls["light"]))
        texture = projection.portrait_texture(mesh, views, light, camera_of(portrait), size)
        return colour.linear_to_srgb(np.clip(texture, 0, 1))

    return draw


def turned_by(rig: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> float:
    """How far, in radians, the posed head looks away from the front. Raises UserError."""
    forward = rotation_to_matrix(read_controls(rig, depsgraph)[1]["rotation"])[2, 2]
    return math.acos(min(max(forward, -1.0), 1.0))


def turned(controls: dict, angle: float) -> dict:
    """The controls with the head turned about the upright by ``angle`` radians, and its light with it."""
    if angle == 0:
        return controls
    turn = rotation_to_matrix((angle, 0.0, 0.0))
    rotation = rotation_from_matrix(turn @ rotation_to_matrix(controls["rotation"]))
    return {**controls, "rotation": rounded(rotation), "light": rounded_light(harmonics.rotate(np.array(controls["light"]), turn))}


def without_light(view: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The view with its picture divided by Shading, where there is any."""
    combined, shading = view["Combined"].copy(), view["Shading"]
    lit = shading.max(axis=-1, keepdims=True) > DARKEST
    combined[..., :3] = np.where(lit, combined[..., :3] / np.maximum(shading, DARKEST), combined[..., :3])
    return {**view, "Combined": combined}


def head_mesh(head: bpy.types.Object, expression: dict[str, float]) -> projection.HeadMesh:
    """The head's triangles in model space with this expression, as the backend shapes it."""
    data = head.data
    if data.uv_layers.active is None:
        raise UserError("no_uv_map", "The mesh {name} has no UV map.", "Add one, or make a new portrait.", name=head.name)
    data.calc_loop_triangles()
    count = len(data.loop_triangles)
    triangles, loops = np.empty(3 * count, dtype=np.int32), np.empty(3 * count, dtype=np.int32)
    data.loop_triangles.foreach_get("vertices", triangles)
    data.loop_triangles.foreach_get("loops", loops)
    uv = read(data.uv_layers.active.uv, "vector", 2)
    rest, vertices = (conversions.points_blender_to_model(shaped(data, values)) for values in ({}, expression))
    return projection.HeadMesh(vertices, triangles.reshape(-1, 3), uv[loops].reshape(-1, 3, 2), albedo(data), mirror_twins(rest))


def mirror_twins(vertices: np.ndarray) -> np.ndarray:
    """The index (V,) of the vertex nearest to the mirrored place of each (V, 3), cm; its own where none is near."""
    tree = KDTree(len(vertices))
    for index, place in enumerate(vertices.tolist()):
        tree.insert(place, index)
    tree.balance()
    near = [tree.find(place) for place in (vertices * (-1, 1, 1)).tolist()]
    return np.array([index if distance < NEAR_TWIN else own for own, (_, index, distance) in enumerate(near)])


def shaped(data: bpy.types.Mesh, expression: dict[str, float]) -> np.ndarray:
    """Vertices (V, 3) in the mesh's own space: its relative shape keys at these values."""
    if data.shape_keys is None:
        return read(data.vertices, "co", 3)
    keys = data.shape_keys.key_blocks
    vertices = read(data.shape_keys.reference_key.points, "co", 3)
    for name, value in expression.items():
        if value and name in keys:
            against = read(keys[name].relative_key.points, "co", 3)
            vertices = vertices + value * (read(keys[name].points, "co", 3) - against)
    return vertices


def albedo(data: bpy.types.Mesh) -> np.ndarray:
    """Linear RGB (V, 3) of the colour attribute that the rig was built with."""
    attribute = data.attributes.get(ALBEDO)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type != "FLOAT_COLOR":
        return np.full((len(data.vertices), 3), GREY_ALBEDO)
    return read(attribute.data, "color", 4)[:, :3]


def read(collection: bpy.types.bpy_prop_collection, name: str, width: int) -> np.ndarray:
    """A float property of all items, (N, width)."""
    values = np.empty(len(collection) * width, dtype=np.float32)
    collection.foreach_get(name, values)
    return values.reshape(-1, width)


def store(name: str, texture: np.ndarray) -> bpy.types.Image:
    """A packed 8-bit image of sRGB values (S, S, 3), row 0 at the bottom."""
    size = texture.shape[0]
    image = bpy.data.images.get(name)
    if image is None:
        image = bpy.data.images.new(name, size, size, alpha=False)
    elif tuple(image.size) != (size, size):
        image.scale(size, size)
    pixels = np.ones((size, size, 4), dtype=np.float32)
    pixels[..., :3] = texture
    image.pixels.foreach_set(pixels.reshape(-1))
    image.update()
    image.pack()
    return image


def save_png(image: bpy.types.Image, path: Path) -> None:
    """Write the image as PNG, whole or not at all. Raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as own:  # a name that nobody can foresee, nor write into
            image.file_format = "PNG"
            temporary = os.path.join(own, "texture.png")
            image.save(filepath=temporary, save_copy=True)
            os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise UserError("not_writable", "The texture cannot be written to {path}.", "Choose another folder.", path=path) from error


def show_on(head: bpy.types.Object, image: bpy.types.Image, lit: bool) -> None:
    """Wire the image into the mesh's first material, made if need be.

    ``lit`` False shows the portrait's own light (emission); True lets the scene light it again.
    """
    material = first_material(head)
    tree = material.node_tree
    texture = tree.nodes.get(TEXTURE_NODE) or tree.nodes.new("ShaderNodeTexImage")
    texture.name = texture.label = TEXTURE_NODE
    texture.image = image
    surface = next((node for node in tree.nodes if node.type == "BSDF_PRINCIPLED"), None)
    if surface is None:
        raise UserError(
            "no_principled",
            "The material {name} has no Principled BSDF.",
            "Connect its node “{node}” by hand.",
            name=material.name,
            node=TEXTURE_NODE,
        )
    texture.location = (surface.location.x - 320, surface.location.y - 260)
    connect(tree, texture, surface, lit)
    tree.nodes.active = texture


def first_material(head: bpy.types.Object) -> bpy.types.Material:
    """The material of the mesh's first slot, with nodes; made where there is none."""
    materials = head.data.materials
    if not materials:
        materials.append(None)
    if materials[0] is None:
        materials[0] = bpy.data.materials.new(head.name)
    if not materials[0].use_nodes:
        materials[0].use_nodes = True
    return materials[0]


def connect(tree: bpy.types.NodeTree, texture: bpy.types.Node, surface: bpy.types.Node, lit: bool) -> None:
    """Make the picture the surface's base colour, or its emission without anything else."""
    for link in list(texture.outputs["Color"].links):
        tree.links.remove(link)
    base, emission = surface.inputs["Base Color"], surface.inputs["Emission Color"]
    surface.inputs["Emission Strength"].default_value = 0.0 if lit else 1.0
    surface.inputs["Specular IOR Level"].default_value = 0.5 if lit else 0.0
    if not lit:
        for link in list(base.links):
            tree.links.remove(link)
        base.default_value = (0.0, 0.0, 0.0, 1.0)
    tree.links.new(texture.outputs["Color"], base if lit else emission)


class STYLERIG_OT_portrait_texture(AsyncOperator, bpy.types.Operator):
    """Put the portrait, as it is posed now, onto the mesh as an image texture"""

    bl_idname = "stylerig.portrait_texture"
    bl_label = "Portrait to Texture"
    bl_options = {"REGISTER", "UNDO"}
    waiting = "Drawing the texture…"

    size: IntProperty(name="Size", description="Width and height of the texture", default=512, min=64, max=4096, subtype="PIXEL")
    filepath: StringProperty(
        name="File", description="A PNG file to write as well; empty for none",
        subtype="FILE_PATH", options={"SKIP_SAVE", "PATH_SUPPORTS_BLEND_RELATIVE"},
    )  # fmt: skip
    sides: BoolProperty(
        name="From the Sides Too", description="Draw it turned by 40° to either side as well, and blend the three by what each faces"
    )
    delit: BoolProperty(name="Without Light", description="Divide the picture by the portrait's light, for a texture that is lit again")
    shading: EnumProperty(
        name="Shading",
        description="How the material uses the texture",
        items=(
            ("OWN", "Portrait's Light", "Shadeless: the light is in the picture already"),
            ("SCENE", "Scene's Light", "As base color, lit by the scene on top"),
        ),
        default="OWN",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode == "EDIT_MESH":
            cls.poll_message_set("Leave Edit Mode first")
        elif active_rig(context) is None:
            cls.poll_message_set("Select a portrait's rig")
        else:
            return True
        return False

    def work(self) -> Callable[[], np.ndarray]:
        rig, connect = present_rig(bpy.context), connector()
        self._rig, self._name = key_of(rig), rig.name
        depsgraph = bpy.context.evaluated_depsgraph_get()
        self._turned = turned_by(rig, depsgraph)
        draw = texture_drawer(rig, depsgraph, self.size, self.sides, self.delit)
        return lambda: draw(connect)

    def finish(self, context: bpy.types.Context, value: np.ndarray) -> set[str]:
        rig = found(context.scene.objects, self._rig)
        head = head_of(rig) if rig else None
        if rig is None or head is None:
            raise UserError("rig_removed", "{name} was removed while its texture was drawn.", "Undo that, and try again.", name=self._name)
        image = store(f"{rig.name} Portrait", value)
        show_on(head, image, lit=self.shading == "SCENE")
        if self.filepath:
            save_png(image, Path(bpy.path.abspath(self.filepath)))
        if self._turned > TURNED_FAR:
            told = tr("The head is turned by {angle}°: what it turns away is filled in. Turn it to the front to have its whole face",
                      angle=round(math.degrees(self._turned)))  # fmt: skip
            self.report({"WARNING"}, told)
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_portrait_texture,)
