"""The node group *StyleRig Relight*: another lamp on a rendered portrait, by Albedo, Normal, Shading and the portrait itself.

What the portrait reflects of a light is the picture divided by the light that fell on it (Shading); so pores and
beard stay. A highlight comes on top (Walter et al., "Microfacet Models for Refraction", 2007: GGX; Schlick's Fresnel).
"""

from __future__ import annotations

import bpy

from .shot_group import Builder, in_columns, new_group

NAME = "StyleRig Relight"
SOCKETS = (  # name, kind, default, tooltip
    ("Image", "NodeSocketColor", (0, 0, 0, 1), "The portrait, premultiplied"),
    ("Matte", "NodeSocketFloat", 1.0, "Its alpha"),
    ("Albedo", "NodeSocketColor", (0, 0, 0, 1), "The pass, which is black where the mesh is not"),
    ("Normal", "NodeSocketVector", (0, 0, 0), "The pass, in the world"),
    ("Shading", "NodeSocketColor", (0, 0, 0, 1), "The pass"),
    ("Keep", "NodeSocketFloat", 1.0, "How much of the portrait's own light stays"),
    ("Color", "NodeSocketColor", (1, 1, 1, 1), "Color of the lamp"),
    ("Strength", "NodeSocketFloat", 0.0, "Of the lamp: 1 lights a surface that faces it as radiance 1 all around does"),
    ("Direction", "NodeSocketVector", (0.5, -0.7, 0.5), "To the lamp, in the world"),
    ("View", "NodeSocketVector", (0, -1, 0), "To the camera, in the world"),
    ("Roughness", "NodeSocketFloat", 0.4, "Of the skin"),
    ("Specular", "NodeSocketFloat", 0.028, "Share of the light that skin mirrors from the front"),
    ("Occlusion", "NodeSocketFloat", 1.0, "The pass: how much of the lamp's light comes into mouth, nostrils and creases"),
    ("Shading of Hair", "NodeSocketFloat", 0.6, "Light that is taken to fall where there is no mesh"),
)
DARKEST = 0.05  # Shading below which the picture says too little of what is lit


def make() -> bpy.types.NodeTree:
    """The group, made anew."""
    build, given, result = new_group(NAME, SOCKETS)
    lamp = build.vector("Normalized Direction", "NORMALIZE", given["Direction"])
    facing = build.math("Facing", "MAXIMUM", build.vector("Normal on Direction", "DOT_PRODUCT", given["Normal"], lamp), 0.0)
    reaching = build.math("Reaching", "MULTIPLY", facing, given["Occlusion"])
    light = build.vector("Lamp", "MULTIPLY", given["Color"], build.math("Amount", "MULTIPLY", given["Strength"], reaching))
    kept = build.vector("Kept", "MULTIPLY", given["Image"], given["Keep"])
    added = build.vector("Diffuse", "MULTIPLY", reflectance(build, given), light)
    shine = build.math("Covered", "MULTIPLY", highlight(build, given, lamp), given["Matte"])
    mirrored = build.vector("Mirrored", "MULTIPLY", light, shine)
    total = build.vector("Total", "ADD", build.vector("Lit", "ADD", kept, added), mirrored)
    build.feed(build.mix("With Alpha", "ADD", 1.0, without_colour(build, given["Image"]), total), result)
    in_columns(build.tree)
    return build.tree


def without_colour(build: Builder, picture: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """Black with the picture's alpha, which vectors do not carry."""
    black = build.node("CompositorNodeRGB", "Black")
    black.outputs[0].default_value = (0, 0, 0, 1)
    return build.mix("Alpha Alone", "MULTIPLY", 1.0, picture, black.outputs[0])


def reflectance(build: Builder, given: dict[str, bpy.types.NodeSocket]) -> bpy.types.NodeSocket:
    """What the portrait sends back of light 1, premultiplied: its picture without its shading."""
    mesh = build.math("Mesh", "GREATER_THAN", build.vector("Albedo Sum", "DOT_PRODUCT", given["Albedo"], (1.0, 1.0, 1.0)), 0.0)
    hair = build.math("No Mesh", "SUBTRACT", 1.0, mesh)
    elsewhere = build.math("Elsewhere", "MULTIPLY", hair, given["Shading of Hair"])
    fell = build.vector("Fell", "ADD", build.vector("On Mesh", "MULTIPLY", given["Shading"], mesh), elsewhere)
    return build.vector("Reflectance", "DIVIDE", given["Image"], build.vector("At Least", "MAXIMUM", fell, (DARKEST,) * 3))


def highlight(build: Builder, given: dict[str, bpy.types.NodeSocket], lamp: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """What is mirrored to the camera for a surface that faces a lamp of irradiance pi: pi · D · F / 4, facets shadowing each other as seen from the front."""
    view = build.vector("Normalized View", "NORMALIZE", given["View"])
    half = build.vector("Half", "NORMALIZE", build.vector("Between", "ADD", lamp, view))
    along = build.math("Normal on Half", "MAXIMUM", build.vector("Cosine", "DOT_PRODUCT", given["Normal"], half), 0.0)
    alpha = build.math("Alpha", "MULTIPLY", given["Roughness"], given["Roughness"])
    squared = build.math("Alpha Squared", "MULTIPLY", alpha, alpha)
    lobe = build.math("Lobe", "MULTIPLY", build.math("Square", "MULTIPLY", along, along), build.math("Less", "SUBTRACT", squared, 1.0))
    below = build.math("Below", "POWER", build.math("Plus One", "ADD", lobe, 1.0), 2.0)
    facets = build.math("Facets", "DIVIDE", squared, build.math("Not Zero", "MAXIMUM", below, 1e-6))
    grazing = build.math("Grazing", "SUBTRACT", 1.0, build.vector("View on Half", "DOT_PRODUCT", view, half))
    rest = build.math("Rest", "SUBTRACT", 1.0, given["Specular"])
    fresnel = build.math(
        "Fresnel", "ADD", build.math("More", "MULTIPLY", rest, build.math("Fifth", "POWER", grazing, 5.0)), given["Specular"]
    )
    on_surface = build.math("Surface", "GREATER_THAN", build.vector("Length", "DOT_PRODUCT", given["Normal"], given["Normal"]), 0.25)
    mirrored = build.math("Mirror", "MULTIPLY", facets, build.math("Of Light", "MULTIPLY", fresnel, 1 / 4))
    return build.math("Highlight", "MULTIPLY", mirrored, on_surface)
