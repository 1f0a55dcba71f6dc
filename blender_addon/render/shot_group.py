"""The node group *StyleRig Shot*: what makes a portrait part of its plate. Light wrap, softness and grain."""

from __future__ import annotations

import math

import bpy

from .compositor_nodes import arrange, set_option

NAME = "StyleRig Shot"
SOCKETS = (  # name, kind, default, tooltip
    ("Image", "NodeSocketColor", (0, 0, 0, 1), "The portrait over the plate"),
    ("Plate", "NodeSocketColor", (0, 0, 0, 1), "The plate alone, whose light wraps round the portrait"),
    ("Matte", "NodeSocketFloat", 0.0, "Where the portrait is"),
    ("Rendered", "NodeSocketFloat", 0.0, "Where something else is rendered that has no grain yet"),
    ("Light Wrap", "NodeSocketFloat", 0.25, "How much of the plate's light goes round the edges"),
    ("Wrap Size", "NodeSocketFloat", 16.0, "Pixels from the edge that it reaches"),
    ("Softness", "NodeSocketFloat", 0.0, "Radius in pixels that the portrait is softened by, as the plate's lens is soft"),
    ("Grain", "NodeSocketColor", (0, 0, 0, 1), "Standard deviation of the noise of white, by channel"),
    ("Grain Size", "NodeSocketFloat", 0.0, "Pixels across a grain; 0 for single pixels"),
)
RADIUS = 3  # deviations after which a Blur node's Gaussian ends
TO_DEVIATION_ONE = math.sqrt(12)  # of noise that is spread evenly over 0 to 1


class Builder:
    """Adds nodes to a group's tree; sockets and numbers may stand for each other as inputs."""

    def __init__(self, tree: bpy.types.NodeTree):
        self.tree = tree

    def node(self, kind: str, name: str) -> bpy.types.Node:
        node = self.tree.nodes.new(kind)
        node.name = node.label = name
        return node

    def feed(self, value: bpy.types.NodeSocket | float | tuple, socket: bpy.types.NodeSocket) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = value

    def math(self, name: str, operation: str, *values: bpy.types.NodeSocket | float) -> bpy.types.NodeSocket:
        """A Math node of one number or two."""
        node = self.node("ShaderNodeMath", name)
        node.operation = operation
        for value, socket in zip(values, node.inputs, strict=False):
            self.feed(value, socket)
        return node.outputs["Value"]

    def vector(self, name: str, operation: str, *values: bpy.types.NodeSocket | tuple) -> bpy.types.NodeSocket:
        """A Vector Math node, of colors too: three numbers at a time."""
        node = self.node("ShaderNodeVectorMath", name)
        node.operation = operation
        for value, socket in zip(values, node.inputs, strict=False):
            self.feed(value, socket)
        return node.outputs["Value" if operation == "DOT_PRODUCT" else "Vector"]

    def mix(self, name: str, blend: str, factor: bpy.types.NodeSocket | float, *colors: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        """A Mix node of colors; the alpha is the first one's but for MIX."""
        node = self.node("ShaderNodeMix", name)
        node.data_type, node.blend_type, node.clamp_factor = "RGBA", blend, False
        sockets = [socket for socket in (*node.inputs, *node.outputs) if socket.type == "RGBA"]
        self.feed(factor, node.inputs[0])
        for color, socket in zip(colors, sockets[:2], strict=True):
            self.feed(color, socket)
        return sockets[2]

    def blur(self, name: str, picture: bpy.types.NodeSocket, radius: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        """A Gaussian that ends after ``radius`` pixels, ``RADIUS`` times its standard deviation."""
        node = self.node("CompositorNodeBlur", name)
        set_option(node, "filter_type", "Type", "GAUSS", "Gaussian")
        self.feed(picture, node.inputs["Image"])
        self.feed(radius, node.inputs["Size"])
        return node.outputs["Image"]


def new_group(name: str, sockets: tuple) -> tuple[Builder, dict[str, bpy.types.NodeSocket], bpy.types.NodeSocket]:
    """An empty group of the compositor: its builder, its inputs by name and the socket of its Image."""
    tree = bpy.data.node_groups.new(name, "CompositorNodeTree")
    for title, kind, default, description in sockets:
        item = tree.interface.new_socket(title, in_out="INPUT", socket_type=kind, description=description)
        item.default_value = default
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    entry, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    return Builder(tree), {title: entry.outputs[title] for title, *_ in sockets}, end.inputs["Image"]


def in_columns(tree: bpy.types.NodeTree) -> None:
    """Move the nodes of a group into columns, in the order in which they were made."""
    inner = [node for node in tree.nodes if not node.bl_idname.startswith("NodeGroup")]
    arrange(*((node, 200 * (number // 4), -180 * (number % 4)) for number, node in enumerate(inner)))
    for node in tree.nodes:
        if node.bl_idname.startswith("NodeGroup"):
            node.location = (-240 if node.bl_idname == "NodeGroupInput" else 200 * (len(inner) // 4 + 1), 0)


def make() -> bpy.types.NodeTree:
    """The group, made anew."""
    build, given, result = new_group(NAME, SOCKETS)
    matte = build.math("New", "MINIMUM", build.math("Both", "ADD", given["Matte"], given["Rendered"]), 1.0)  # at their border too
    softened = build.mix("Softened", "MIX", matte, given["Image"], build.blur("Soft", given["Image"], given["Softness"]))
    lit = wrapped(build, given, softened, matte)
    build.feed(build.mix("Grained", "ADD", matte, lit, grain(build, given, lit)), result)
    in_columns(build.tree)
    return build.tree


def wrapped(
    build: Builder, given: dict[str, bpy.types.NodeSocket], picture: bpy.types.NodeSocket, covered: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    """picture + strength · blurred plate · matte · 2 (1 - blurred ``covered``): a rim as wide as the blur, where the plate begins."""
    around = build.blur("Wrap Light", given["Plate"], build.math("Wide", "MULTIPLY", given["Wrap Size"], 2.0))
    outside = build.math("Outside", "SUBTRACT", 1.0, build.blur("Soft Matte", covered, given["Wrap Size"]))
    rim = build.math("Rim", "MULTIPLY", given["Matte"], outside)
    strength = build.math("Strength", "MULTIPLY", build.math("Twice", "MULTIPLY", given["Light Wrap"], 2.0), rim)
    return build.mix("Wrap", "ADD", strength, picture, around)


def grain(build: Builder, given: dict[str, bpy.types.NodeSocket], picture: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """Noise, another at each frame, with the root of the picture's value: a blur of deviation s leaves 1 / (2 √π s) of it."""
    place, time = build.node("CompositorNodeImageCoordinates", "Place"), build.node("CompositorNodeSceneTime", "Time")
    build.feed(picture, place.inputs["Image"])
    noise = build.node("ShaderNodeTexWhiteNoise", "Noise")
    noise.noise_dimensions = "4D"
    build.feed(place.outputs["Pixel"], noise.inputs["Vector"])
    build.feed(time.outputs["Frame"], noise.inputs["W"])
    even = build.vector("Around Zero", "SUBTRACT", noise.outputs["Color"], (0.5, 0.5, 0.5))
    smooth = build.blur("Grains", even, build.math("Radius", "MULTIPLY", given["Grain Size"], 1.5))
    left = build.math("At Least One", "MAXIMUM", build.math("Lost", "MULTIPLY", given["Grain Size"], math.sqrt(math.pi)), 1.0)
    gain = build.math("Gain", "MULTIPLY", left, TO_DEVIATION_ONE)
    root = build.vector("Root", "POWER", build.vector("Positive", "MAXIMUM", picture, (0.0, 0.0, 0.0)), (0.5, 0.5, 0.5))
    scaled = build.vector("Per Channel", "MULTIPLY", given["Grain"], root)
    return build.vector("Grain", "MULTIPLY", build.vector("Scaled", "MULTIPLY", smooth, gain), scaled)
