"""Cloth, spectacle frames, lenses, metal."""

from __future__ import annotations

import bpy

from models.synthetic.blender.nodes import class_output, image_texture, named_colour, new_material, principled


def cloth_material(image: bpy.types.Image | None = None) -> bpy.types.Material:
    """Sheen and no shine; the colour is that of a picture, or one that is set for each person."""
    material, nodes, links, shader = principled("cloth", Roughness=0.9, Sheen_Weight=0.25)
    colour = image_texture(nodes, image).outputs["Color"] if image else named_colour(nodes, "colour")
    links.new(colour, shader.inputs["Base Color"])
    class_output(nodes, links, "clothes")
    return material


def frame_material() -> bpy.types.Material:
    """Spectacle frames: plastic or metal by their colour's brightness alone."""
    material, nodes, links, shader = principled("frame", Roughness=0.25)
    links.new(named_colour(nodes, "colour"), shader.inputs["Base Color"])
    class_output(nodes, links, "glasses")
    return material


def metal_material() -> bpy.types.Material:
    """Polished gold or silver."""
    material, nodes, links, shader = principled("metal", Roughness=0.2, Metallic=1.0)
    links.new(named_colour(nodes, "colour"), shader.inputs["Base Color"])
    class_output(nodes, links, "glasses")
    return material


def lens_material() -> bpy.types.Material:
    """Lenses too thin to bend light: tinted, with a coated surface whose reflection grows towards the edge."""
    material, nodes, links, output = new_material("lens")
    clear, shine, mix = (nodes.new(f"Shader{kind}") for kind in ("NodeBsdfTransparent", "NodeBsdfGlossy", "NodeMixShader"))
    links.new(named_colour(nodes, "tint"), clear.inputs["Color"])
    shine.inputs["Roughness"].default_value = 0.05
    fresnel = nodes.new("ShaderNodeFresnel")
    fresnel.inputs["IOR"].default_value = 1.12
    links.new(fresnel.outputs[0], mix.inputs[0])
    links.new(clear.outputs[0], mix.inputs[1])
    links.new(shine.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], output.inputs["Surface"])
    return material
