"""Skin, eyes, teeth and the inside of the mouth."""

from __future__ import annotations

from models.synthetic.blender.nodes import (
    class_outputs,
    multiply,
    named_colour,
    named_value,
    one_minus,
    principled,
    vertex_value,
)

SUBSURFACE_RADIUS = (1.0, 0.37, 0.19)  # relative mean free path in skin, R, G, B


def skin_material(detail):
    """Skin: vertex colour times the detail map, which holds in its alpha how rough the skin is."""
    material, nodes, links, shader = principled("skin", Subsurface_Weight=1.0, IOR=1.4)
    shader.subsurface_method = "BURLEY"
    shader.inputs["Subsurface Radius"].default_value = SUBSURFACE_RADIUS
    colour = nodes.new("ShaderNodeAttribute")
    colour.attribute_name = "colour"
    texture = nodes.new("ShaderNodeTexImage")
    texture.image, texture.extension = detail, "EXTEND"
    links.new(multiply(nodes, links, colour.outputs["Color"], texture.outputs["Color"]), shader.inputs["Base Color"])
    rough = nodes.new("ShaderNodeMath")
    rough.operation = "MULTIPLY"
    links.new(texture.outputs["Alpha"], rough.inputs[0])
    links.new(named_value(nodes, "roughness"), rough.inputs[1])
    links.new(rough.outputs[0], shader.inputs["Roughness"])
    links.new(named_value(nodes, "subsurface"), shader.inputs["Subsurface Scale"])
    neck, face = vertex_value(nodes, "neck"), vertex_value(nodes, "face")
    class_outputs(nodes, links, {"skin": one_minus(nodes, links, neck), "neck": neck, "face": face})
    return material


def eye_material(iris):
    """An eyeball: the painted picture under a wet coat."""
    material, nodes, links, shader = principled("eye", Roughness=0.35, IOR=1.376, Coat_Weight=1.0, Coat_Roughness=0.02, Coat_IOR=1.376)
    texture = nodes.new("ShaderNodeTexImage")
    texture.image, texture.extension = iris, "EXTEND"
    links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    shader.inputs["Subsurface Weight"].default_value = 0.15
    shader.inputs["Subsurface Scale"].default_value = 0.1
    shader.subsurface_method = "BURLEY"
    class_outputs(nodes, links, {"eyes": None, "face": None})
    return material


def plain_material(name: str, roughness: float):
    """Teeth and the inside of the mouth: their vertex colour, wet."""
    material, nodes, links, shader = principled(name, Roughness=roughness)
    colour = nodes.new("ShaderNodeAttribute")
    colour.attribute_name = "colour"
    links.new(colour.outputs["Color"], shader.inputs["Base Color"])
    class_outputs(nodes, links, {"mouth": None, "face": None})
    return material


def bust_material():
    """Skin below the neck: one colour."""
    material, nodes, links, shader = principled("bust", Subsurface_Weight=1.0, IOR=1.4, Roughness=0.55)
    shader.subsurface_method = "BURLEY"
    shader.inputs["Subsurface Radius"].default_value = SUBSURFACE_RADIUS
    shader.inputs["Subsurface Scale"].default_value = 0.12
    links.new(named_colour(nodes, "colour"), shader.inputs["Base Color"])
    class_outputs(nodes, links, {"neck": None})
    return material
