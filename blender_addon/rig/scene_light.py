"""The light that a scene's lamps and world throw on a rig, as spherical harmonics.

Works on evaluated data in the render thread: nothing is written. Intensities are Cycles': a sun's
strength is irradiance, other lamps' is radiant power in watts. There are no shadows, and a lamp is
taken at the head's middle.
"""

from __future__ import annotations

import math

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..errors import UserError
from ..protocol import colour, harmonics
from .bones import HEAD_BONE

AREA_NODES = 4  # points per side that an area lamp is summed over
MAP_WIDTH = 128  # pixels that a world's picture is brought down to before it is projected; order 2 needs far fewer


def scene_light(rig: bpy.types.Object, depsgraph: bpy.types.Depsgraph, matrix: Matrix | None = None) -> np.ndarray:
    """Light (9, 3) in the own Blender axes of an evaluated rig that stands at ``matrix`` (4, 4), by default its own."""
    matrix = rig.matrix_world if matrix is None else matrix
    light = world_light(depsgraph.scene.world, rig)
    place = head_place(rig, matrix)
    for lamp in depsgraph.objects:
        if lamp.type == "LIGHT" and not lamp.hide_render:
            light = light + lamp_light(lamp, place)
    return harmonics.rotate(light, axes_of(matrix).T)


def head_place(rig: bpy.types.Object, matrix: Matrix) -> np.ndarray:
    """Where the middle of the head is in the scene, (3,) metres."""
    bone = rig.pose.bones.get(HEAD_BONE)
    return np.array(matrix @ (bone.head if bone else Vector()))


def axes_of(matrix: Matrix) -> np.ndarray:
    """The axes of an object as columns (3, 3) of length 1, left-handed for a mirrored one, at right angles.

    Its light is mirrored with it; sheared by its parents, it keeps the axis that its face looks along.
    """
    face = matrix.col[1].xyz.normalized()
    up = (matrix.col[2].xyz - face * matrix.col[2].xyz.dot(face)).normalized()
    if not (face.length and up.length):  # scaled to nothing
        return np.eye(3)
    across = face.cross(up)
    return np.array((across * math.copysign(1, across.dot(matrix.col[0].xyz)), face, up)).T


def lamp_light(lamp: bpy.types.Object, place: np.ndarray) -> np.ndarray:
    """Light (9, 3) in Blender's world axes that an evaluated lamp gives at ``place``."""
    data = lamp.data
    power = colour_of(data) * data.energy * 2.0 ** getattr(data, "exposure", 0.0)
    matrix = np.array(lamp.matrix_world)
    axes = matrix[:3, :3] / np.maximum(np.linalg.norm(matrix[:3, :3], axis=0), 1e-9)
    if data.type == "SUN":
        return harmonics.from_directions(axes[:, 2], power * shape_factor(data, matrix))
    if data.type == "AREA":
        return area_light(data, matrix, place, power)
    offset = matrix[:3, 3] - place
    distance = max(float(np.linalg.norm(offset)), 1e-3)
    towards = offset / distance
    power = power * shape_factor(data, matrix)
    if data.type == "SPOT":
        power = power * spot_share(data, axes, matrix, -towards)
    return harmonics.from_directions(towards, power / (4 * math.pi * distance**2))


def colour_of(data: bpy.types.Light) -> np.ndarray:
    """Linear colour (3,), its temperature included."""
    colour = np.array(data.color, dtype=float)
    if getattr(data, "use_temperature", False):
        colour = colour * np.array(data.temperature_color, dtype=float)
    return colour


def shape_factor(data: bpy.types.Light, matrix: np.ndarray) -> float:
    """What a lamp's strength is multiplied by where it is not divided by the lamp's size ("Normalize" off)."""
    if getattr(data, "normalize", True):
        return 1.0
    if data.type == "SUN":
        return math.pi * math.sin(data.angle / 2) ** 2
    return 4 * math.pi * data.shadow_soft_size**2


def spot_share(data: bpy.types.SpotLight, axes: np.ndarray, matrix: np.ndarray, from_lamp: np.ndarray) -> float:
    """How much of a spot's light goes in the direction ``from_lamp`` (3,): 1 inside the cone, 0 outside, smooth between."""
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    x, y, z = from_lamp @ axes
    if z >= 0:
        return 0.0
    x, y = x * scale[2] / max(scale[0], 1e-9), y * scale[2] / max(scale[1], 1e-9)  # a scaled lamp has an oval cone
    cosine = -z / math.sqrt(x * x + y * y + z * z)
    edge = math.cos(data.spot_size / 2)
    width = (1 - edge) * data.spot_blend
    share = min(max((cosine - edge) / width if width > 1e-6 else float(cosine > edge), 0.0), 1.0)
    return share * share * (3 - 2 * share)


def area_light(data: bpy.types.AreaLight, matrix: np.ndarray, place: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Light (9, 3) of an area lamp: its surface summed point by point, each a small Lambertian emitter."""
    round_shape = data.shape in {"DISK", "ELLIPSE"}
    height = data.size_y if data.shape in {"RECTANGLE", "ELLIPSE"} else data.size
    across, up = matrix[:3, 0] * data.size, matrix[:3, 1] * height
    area = float(np.linalg.norm(np.cross(across, up))) * (math.pi / 4 if round_shape else 1.0)
    normal = np.cross(across, up)
    normal = -normal / max(float(np.linalg.norm(normal)), 1e-12)  # it shines along its own -Z
    nodes = area_nodes(round_shape)
    offsets = matrix[:3, 3] + nodes @ np.stack((across, up)) - place
    distance = np.maximum(np.linalg.norm(offsets, axis=1), 1e-3)
    towards = offsets / distance[:, None]
    cosine = np.maximum(-towards @ normal, 0.0)
    radiance = 1 / (math.pi * area) if getattr(data, "normalize", True) and area > 1e-12 else 1 / math.pi
    share = cosine * spread_share(data.spread, cosine) / distance**2 * (radiance * area / len(nodes))
    return harmonics.from_directions(towards, share[:, None] * power)


def area_nodes(round_shape: bool) -> np.ndarray:
    """Points (M, 2) spread evenly over the square of side 1 around the origin, or the disc in it."""
    line = (np.arange(AREA_NODES) + 0.5) / AREA_NODES
    first, second = (axis.ravel() for axis in np.meshgrid(line, line))
    if not round_shape:
        return np.stack((first - 0.5, second - 0.5), axis=1)
    radius, angle = 0.5 * np.sqrt(first), 2 * math.pi * second
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)


def spread_share(spread: float, cosine: np.ndarray) -> np.ndarray:
    """What an area lamp with a grid before it ("Spread") sends at an angle, against one without; as Cycles has it."""
    half = spread / 2
    if half > math.pi / 2 - 1e-3:
        return np.ones_like(cosine)
    tangent = np.sqrt(np.maximum(1 - cosine**2, 0)) / np.maximum(cosine, 1e-6)
    return np.maximum(math.tan(half) - tangent, 0) / max(math.tan(half) - half, 1e-9)


def world_light(world: bpy.types.World | None, rig: bpy.types.Object) -> np.ndarray:
    """Light (9, 3) in Blender's world axes of the world's Background node.

    Colour, strength and the picture's rotation are read at each frame; the picture itself was
    projected when it was read (``read_world``) and is kept on the rig.
    """
    source = background(world)
    if source is None:
        return harmonics.ambient(world.color if world is not None else (0, 0, 0))
    colour, strength, picture = source
    if picture is None:
        return harmonics.ambient(np.array(colour) * strength)
    image, turn = picture
    stored = rig.stylerig
    if image is None or stored.world_image != image.name:
        return np.zeros((harmonics.COUNT, 3))
    return harmonics.rotate(np.reshape(stored.world_light[:], (harmonics.COUNT, 3)), turn.T) * strength


def background(world: bpy.types.World | None) -> tuple | None:
    """(colour, strength, picture) of the world's active Background; picture is (image, rotation (3, 3)) or None."""
    tree = world.node_tree if world is not None and world.use_nodes else None
    node = next((node for node in tree.nodes if node.type == "BACKGROUND"), None) if tree else None
    if node is None:
        return None
    colour, strength = node.inputs["Color"], float(node.inputs["Strength"].default_value)
    texture = colour.links[0].from_node if colour.is_linked else None
    if texture is None or texture.type != "TEX_ENVIRONMENT":
        return tuple(colour.default_value)[:3], strength, None
    return None, strength, (texture.image, mapping_of(texture))


def mapping_of(texture: bpy.types.Node) -> np.ndarray:
    """The rotation (3, 3) by which the texture's coordinates were turned."""
    vector = texture.inputs["Vector"]
    node = vector.links[0].from_node if vector.is_linked else None
    if node is None or node.type != "MAPPING":
        return np.eye(3)
    turn = np.array(node.inputs["Rotation"].default_value.to_matrix())
    return turn.T if node.vector_type == "TEXTURE" else turn


def world_image(world: bpy.types.World | None) -> bpy.types.Image | None:
    """The picture that the world shows, if it shows one."""
    source = background(world)
    return source[2][0] if source and source[2] else None


def stale_world(rig: bpy.types.Object, world: bpy.types.World | None) -> bool:
    """Whether the world shows a picture that the rig has not read yet."""
    image = world_image(world)
    return image is not None and rig.stylerig.world_image != image.name


def read_world(rig: bpy.types.Object, world: bpy.types.World | None) -> None:
    """Project the world's picture, if there is one, and keep it on the rig. Raises UserError."""
    image = world_image(world)
    if image is None:
        rig.stylerig.world_image = ""
        return
    rig.stylerig.world_light = project(pixels_of(image)).ravel().tolist()
    rig.stylerig.world_image = image.name


def pixels_of(image: bpy.types.Image) -> np.ndarray:
    """Scene-linear (H, W, 3) of a picture, at most ``MAP_WIDTH`` wide, row 0 at the bottom. Raises UserError."""
    width, height = image.size
    if not width or not height or len(image.pixels) != 4 * width * height:
        raise UserError(
            "no_image", "The world's picture {name} cannot be read.", "Find the missing file, or choose another.", name=image.name
        )
    pixels = np.empty(4 * width * height, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    pixels = shrunk(pixels.reshape(height, width, 4)[..., :3])
    if image.colorspace_settings.name == "sRGB" and not image.is_float:
        pixels = colour.srgb_to_linear(pixels)
    return pixels


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """Means of equal blocks, so that at most ``MAP_WIDTH`` columns are left."""
    block = max(1, min(pixels.shape[1] // MAP_WIDTH, pixels.shape[0]))
    height, width = (size // block * block for size in pixels.shape[:2])
    return pixels[:height, :width].reshape(height // block, block, width // block, block, 3).mean(axis=(1, 3))


def project(pixels: np.ndarray) -> np.ndarray:
    """An equirectangular picture (H, W, 3), scene-linear, row 0 at the bottom -> light (9, 3) in Blender's axes.

    Blender's mapping: the middle column looks along +X, columns further right turn towards -Y.
    """
    height, width = pixels.shape[:2]
    edges = np.sin((np.arange(height + 1) / height - 0.5) * math.pi)
    upward = ((np.arange(height) + 0.5) / height - 0.5) * math.pi
    around = (0.5 - (np.arange(width) + 0.5) / width) * 2 * math.pi
    level, turn = np.meshgrid(upward, around, indexing="ij")
    directions = np.stack((np.cos(level) * np.cos(turn), np.cos(level) * np.sin(turn), np.sin(level)), axis=-1)
    solid_angles = np.diff(edges) * (2 * math.pi / width)
    return harmonics.from_directions(directions, pixels * solid_angles[:, None, None])
