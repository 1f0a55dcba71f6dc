"""Cloth, spectacle frames and lenses."""

from __future__ import annotations

from models.synthetic.blender.nodes import class_output, multiply, named_colour, new_material, principled


def cloth_material():
    """A simple weave: sheen, no shine, a little unevenness."""
    material, nodes, links, shader = principled("cloth", Roughness=0.9, Sheen_Weight=0.25)
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 2.5
    noise.inputs["Detail"].default_value = 6.0
    ramp = nodes.new("ShaderNodeMapRange")
    ramp.inputs["To Min"].default_value, ramp.inputs["To Max"].default_value = 0.7, 1.25
    links.new(noise.outputs[0], ramp.inputs["Value"])
    links.new(multiply(nodes, links, named_colour(nodes, "colour"), ramp.outputs[0]), shader.inputs["Base Color"])
    class_output(nodes, links, "clothes")
    return material


def frame_material():
    """Spectacle frames: plastic or metal by their colour's brightness alone."""
    material, nodes, links, shader = principled("frame", Roughness=0.25)
    links.new(named_colour(nodes, "colour"), shader.inputs["Base Color"])
    class_output(nodes, links, "glasses")
    return material


def lens_material():
    """Lenses too thin to bend light: clear, with a reflection that grows towards the edge."""
    material, nodes, links, output = new_material("lens")
    clear, shine, mix = (nodes.new(f"Shader{kind}") for kind in ("NodeBsdfTransparent", "NodeBsdfGlossy", "NodeMixShader"))
    shine.inputs["Roughness"].default_value = 0.0
    fresnel = nodes.new("ShaderNodeFresnel")
    fresnel.inputs["IOR"].default_value = 1.25
    links.new(fresnel.outputs[0], mix.inputs[0])
    links.new(clear.outputs[0], mix.inputs[1])
    links.new(shine.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], output.inputs["Surface"])
    return material
