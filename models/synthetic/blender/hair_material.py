"""Hair of all kinds."""

from __future__ import annotations

import bpy

from models.synthetic.blender.nodes import class_output, new_material

HAIR_KINDS = ("scalp", "brows", "lashes", "beard")
CLASS = {"scalp": "hair", "brows": "brows", "lashes": "eyes", "beard": "hair"}


def hair_material(kind: str) -> bpy.types.Material:
    """Chiang's hair shader; the colour is each strand's own."""
    material, nodes, links, output = new_material(kind)
    shader = nodes.new("ShaderNodeBsdfHairPrincipled")
    shader.model, shader.parametrization = "CHIANG", "COLOR"
    shader.inputs["IOR"].default_value = 1.4
    shader.inputs["Roughness"].default_value = 0.35
    shader.inputs["Radial Roughness"].default_value = 0.5
    colour = nodes.new("ShaderNodeAttribute")
    colour.attribute_name = "colour"
    links.new(colour.outputs["Color"], shader.inputs["Color"])
    links.new(shader.outputs[0], output.inputs["Surface"])
    class_output(nodes, links, CLASS[kind])
    return material
