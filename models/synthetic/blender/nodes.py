"""Building blocks of node materials, and which class a surface belongs to in the segmentation."""

from __future__ import annotations

import bpy
import numpy as np

from models.synthetic.classes import CHANNELS

PASSES = ("class_a", "class_b", "class_c")  # colour passes, each of three channels of the segmentation


def new_material(name: str) -> tuple[bpy.types.Material, bpy.types.Nodes, bpy.types.NodeLinks, bpy.types.Node]:
    """An empty node material, its nodes and links."""
    material = bpy.data.materials.new(name)
    if not material.node_tree:
        material.use_nodes = True
    material.node_tree.nodes.clear()
    output = material.node_tree.nodes.new("ShaderNodeOutputMaterial")
    return material, material.node_tree.nodes, material.node_tree.links, output


def principled(name: str, **inputs: float) -> tuple[bpy.types.Material, bpy.types.Nodes, bpy.types.NodeLinks, bpy.types.Node]:
    """A material of one Principled BSDF; returns material, nodes, links and the shader."""
    material, nodes, links, output = new_material(name)
    shader = nodes.new("ShaderNodeBsdfPrincipled")
    for key, value in inputs.items():
        shader.inputs[key.replace("_", " ")].default_value = value
    links.new(shader.outputs[0], output.inputs["Surface"])
    return material, nodes, links, shader


def class_output(nodes: bpy.types.Nodes, links: bpy.types.NodeLinks, name: str, weight: bpy.types.NodeSocket | None = None) -> None:
    """Let a surface count as class ``name``, by ``weight`` (a socket, 1 where there is none); ``face`` and ``neck`` share skin."""
    class_outputs(nodes, links, {name: weight})


def class_outputs(nodes: bpy.types.Nodes, links: bpy.types.NodeLinks, weights: dict) -> None:
    """Let a surface count as several classes, each by its socket (None: wholly)."""
    for number, passed in enumerate(PASSES):
        mine = CHANNELS[3 * number : 3 * number + 3]
        if not set(mine) & set(weights):
            continue
        combine = nodes.new("ShaderNodeCombineXYZ")
        for place, name in enumerate(mine):
            if name in weights and weights[name] is None:
                combine.inputs[place].default_value = 1.0
            elif name in weights:
                links.new(weights[name], combine.inputs[place])
        output = nodes.new("ShaderNodeOutputAOV")
        output.aov_name = passed
        links.new(combine.outputs[0], output.inputs["Color"])


def vertex_value(nodes: bpy.types.Nodes, name: str) -> bpy.types.NodeSocket:
    """A vertex attribute as a number."""
    source = nodes.new("ShaderNodeAttribute")
    source.attribute_name = name
    return source.outputs["Fac"]


def one_minus(nodes: bpy.types.Nodes, links: bpy.types.NodeLinks, value: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """1 − value."""
    node = nodes.new("ShaderNodeMath")
    node.operation = "SUBTRACT"
    node.inputs[0].default_value = 1.0
    links.new(value, node.inputs[1])
    return node.outputs[0]


def named_value(nodes: bpy.types.Nodes, name: str) -> bpy.types.NodeSocket:
    """A number that ``values`` sets for every person."""
    node = nodes.new("ShaderNodeValue")
    node.name = name
    return node.outputs[0]


def named_colour(nodes: bpy.types.Nodes, name: str) -> bpy.types.NodeSocket:
    """A colour that ``values`` sets for every person."""
    node = nodes.new("ShaderNodeRGB")
    node.name = name
    return node.outputs[0]


def values(material: bpy.types.Material, **numbers: np.ndarray) -> None:
    """Set named values and colours of a material."""
    for name, value in numbers.items():
        output = material.node_tree.nodes[name].outputs[0]
        output.default_value = (*map(float, value), 1.0) if np.size(value) == 3 else float(value)


def multiply(nodes: bpy.types.Nodes, links: bpy.types.NodeLinks, a: bpy.types.NodeSocket, b: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """Product of two colours."""
    node = nodes.new("ShaderNodeVectorMath")
    node.operation = "MULTIPLY"
    links.new(a, node.inputs[0])
    links.new(b, node.inputs[1])
    return node.outputs[0]


def image_texture(nodes: bpy.types.Nodes, image: bpy.types.Image) -> bpy.types.Node:
    """The node of an image that does not repeat."""
    node = nodes.new("ShaderNodeTexImage")
    node.image, node.extension = image, "EXTEND"
    return node
