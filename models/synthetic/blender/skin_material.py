"""Skin, eyes, teeth and the inside of the mouth."""

from __future__ import annotations

import bpy

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
OIL, OIL_ROUGHNESS = 0.09, 0.33  # the thin film on skin: a second, tighter highlight; how much of it where no person says
WET = 0.12  # roughness of the lids' inner edges


def skin_material(detail: bpy.types.Image, relief: bpy.types.Image) -> bpy.types.Material:
    """Skin: vertex colour times the detail map, which holds in its alpha how rough the skin is, and heights in cm."""
    material, nodes, links, shader = principled("skin", Subsurface_Weight=1.0, IOR=1.4, Coat_Roughness=OIL_ROUGHNESS)
    shader.subsurface_method = "BURLEY"
    shader.inputs["Subsurface Radius"].default_value = SUBSURFACE_RADIUS
    links.new(named_value(nodes, "oil"), shader.inputs["Coat Weight"])
    texture = picture_node(nodes, detail)
    colour = vertex_colour(nodes, "colour")
    links.new(multiply(nodes, links, colour, texture.outputs["Color"]), shader.inputs["Base Color"])
    wet = vertex_value(nodes, "wet")
    links.new(mixed(nodes, links, wet, texture.outputs["Alpha"], WET), shader.inputs["Roughness"])
    links.new(named_value(nodes, "subsurface"), shader.inputs["Subsurface Scale"])
    bump = bumped(nodes, links, height(nodes, links, relief))
    links.new(bump, shader.inputs["Normal"])
    links.new(bump, shader.inputs["Coat Normal"])
    neck, face = vertex_value(nodes, "neck"), vertex_value(nodes, "face")
    class_outputs(nodes, links, {"skin": one_minus(nodes, links, neck), "neck": neck, "face": face})
    return material


def height(nodes: bpy.types.Nodes, links: bpy.types.NodeLinks, relief: bpy.types.Image) -> bpy.types.NodeSocket:
    """The skin's height in cm: what is there at rest and, by the vertices' creases, what the face does."""
    texture = picture_node(nodes, relief)
    parts, own = nodes.new("ShaderNodeSeparateColor"), nodes.new("ShaderNodeVectorMath")
    # At rest in red; raise, frown and smile in green, blue and alpha.
    links.new(texture.outputs["Color"], parts.inputs[0])
    moves = nodes.new("ShaderNodeCombineXYZ")
    for place, output in enumerate((parts.outputs[1], parts.outputs[2], texture.outputs["Alpha"])):
        links.new(output, moves.inputs[place])
    own.operation = "DOT_PRODUCT"
    links.new(moves.outputs[0], own.inputs[0])
    links.new(vertex_colour(nodes, "creases"), own.inputs[1])
    total = nodes.new("ShaderNodeMath")
    links.new(parts.outputs[0], total.inputs[0])
    links.new(own.outputs["Value"], total.inputs[1])
    return total.outputs[0]


def bumped(nodes: bpy.types.Nodes, links: bpy.types.NodeLinks, heights: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """The normal of a surface raised by ``heights`` cm."""
    bump = nodes.new("ShaderNodeBump")
    bump.inputs["Distance"].default_value = 1.0
    if "Filter Width" in bump.inputs:
        bump.inputs["Filter Width"].default_value = 0.5
    links.new(heights, bump.inputs["Height"])
    return bump.outputs[0]


def mixed(
    nodes: bpy.types.Nodes, links: bpy.types.NodeLinks, share: bpy.types.NodeSocket, value: bpy.types.NodeSocket, other: float
) -> bpy.types.NodeSocket:
    """``value`` where ``share`` is 0, ``other`` where it is 1."""
    node = nodes.new("ShaderNodeMapRange")
    links.new(share, node.inputs["Value"])
    links.new(value, node.inputs["To Min"])
    node.inputs["To Max"].default_value = other
    return node.outputs[0]


def picture_node(nodes: bpy.types.Nodes, image: bpy.types.Image) -> bpy.types.Node:
    """An image looked up at the head's own coordinates."""
    texture = nodes.new("ShaderNodeTexImage")
    texture.image, texture.extension = image, "EXTEND"
    return texture


def vertex_colour(nodes: bpy.types.Nodes, name: str) -> bpy.types.NodeSocket:
    """A vertex attribute as a colour."""
    colour = nodes.new("ShaderNodeAttribute")
    colour.attribute_name = name
    return colour.outputs["Color"]


def eye_material(iris: bpy.types.Image) -> bpy.types.Material:
    """An eyeball: the painted picture, an iris that is a bowl, under a clear wet cornea; darker behind the lids."""
    material, nodes, links, shader = principled(
        "eye", Roughness=0.4, Specular_IOR_Level=0.1, Coat_Weight=1.0, Coat_Roughness=0.015, Coat_IOR=1.376
    )
    texture = picture_node(nodes, iris)
    tinted = multiply(nodes, links, texture.outputs["Color"], vertex_colour(nodes, "lid_tint"))
    links.new(tinted, shader.inputs["Base Color"])
    links.new(bumped(nodes, links, texture.outputs["Alpha"]), shader.inputs["Normal"])
    class_outputs(nodes, links, {"eyes": None, "face": None})
    return material


def teeth_material() -> bpy.types.Material:
    """Teeth: their vertex colour; light spreads in enamel, and they are wet."""
    return mouth_part("teeth", Roughness=0.25, Subsurface_Weight=0.7, Subsurface_Scale=0.12, IOR=1.55, Coat_Weight=0.6, Coat_Roughness=0.06)


def flesh_material(name: str, roughness: float) -> bpy.types.Material:
    """Gums, tongue and the inside of the mouth: their vertex colour, wet and uneven."""
    return mouth_part(name, Roughness=roughness, Coat_Weight=0.7, Coat_Roughness=0.12)


def mouth_part(name: str, **inputs: float) -> bpy.types.Material:
    """A material of the vertices' colour that counts as mouth."""
    material, nodes, links, shader = principled(name, **inputs)
    shader.subsurface_method = "BURLEY"
    links.new(vertex_colour(nodes, "colour"), shader.inputs["Base Color"])
    class_outputs(nodes, links, {"mouth": None, "face": None})
    return material


def bust_material() -> bpy.types.Material:
    """Skin below the neck: one colour."""
    material, nodes, links, shader = principled(
        "bust", Subsurface_Weight=1.0, IOR=1.4, Roughness=0.5, Coat_Weight=OIL, Coat_Roughness=OIL_ROUGHNESS
    )
    shader.subsurface_method = "BURLEY"
    shader.inputs["Subsurface Radius"].default_value = SUBSURFACE_RADIUS
    shader.inputs["Subsurface Scale"].default_value = 0.12
    links.new(named_colour(nodes, "colour"), shader.inputs["Base Color"])
    class_outputs(nodes, links, {"neck": None})
    return material
