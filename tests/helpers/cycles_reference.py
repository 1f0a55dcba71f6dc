"""Renders meshes with Cycles: python cycles_reference.py SCENES.npz FOLDER, by an interpreter that has bpy.

SCENES.npz: vertices (S, V, 3) in cm, y up, triangles (F, 3), albedo (V, 3) linear, cameras (S, 2) distance
and half width in cm, size, samples. Writes FOLDER/0.exr … with Combined (the albedo, straight from the
surface), Normal and Depth. Faces seen from behind are left out, as the rasteriser leaves them out.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import bpy
import numpy as np


def main(scenes: str, folder: str) -> None:
    with np.load(scenes) as archive:
        arrays = dict(archive)
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    set_up(scene, int(arrays["size"]), int(arrays["samples"]))
    head = mesh_object(scene, arrays["vertices"][0], arrays["triangles"], arrays["albedo"])
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.clip_end = 1000.0
    scene.collection.objects.link(camera)
    scene.camera = camera
    for number, (vertices, (distance, half_width)) in enumerate(zip(arrays["vertices"], arrays["cameras"], strict=True)):
        head.data.vertices.foreach_set("co", vertices.astype(np.float32).ravel())
        head.data.update()
        camera.location = (0.0, 0.0, distance)  # a Blender camera looks along -z, y up, as ours does
        camera.data.angle = 2 * math.atan(half_width / distance)
        scene.render.filepath = str(Path(folder) / f"{number}.exr")
        bpy.ops.render.render(write_still=True)


def set_up(scene: bpy.types.Scene, size: int, samples: int) -> None:
    """Cycles on the processor, pixels as areas, nothing but what the surfaces send out themselves."""
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples, scene.cycles.max_bounces = samples, 0
    scene.cycles.use_adaptive_sampling = scene.cycles.use_denoising = False
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", 1.0
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.film_transparent = scene.render.use_persistent_data = True
    layer = bpy.context.view_layer
    layer.use_pass_normal = layer.use_pass_z = True
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):  # since Blender 5.0
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format, settings.color_depth = "OPEN_EXR_MULTILAYER", "32"


def mesh_object(scene, vertices: np.ndarray, triangles: np.ndarray, albedo: np.ndarray) -> bpy.types.Object:
    """A smooth mesh that sends out its albedo to the front and lets light through from behind."""
    data = bpy.data.meshes.new("head")
    data.from_pydata(vertices.tolist(), [], triangles.tolist())
    data.shade_smooth()
    colours = np.ones((len(vertices), 4), np.float32)
    colours[:, :3] = albedo
    data.color_attributes.new("albedo", "FLOAT_COLOR", "POINT").data.foreach_set("color", colours.ravel())
    data.materials.append(material())
    head = bpy.data.objects.new("head", data)
    scene.collection.objects.link(head)
    return head


def material() -> bpy.types.Material:
    made = bpy.data.materials.new("albedo")
    made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    nodes.clear()
    output, mix, glow, clear, side, colour = (
        nodes.new(f"ShaderNode{kind}")
        for kind in ("OutputMaterial", "MixShader", "Emission", "BsdfTransparent", "NewGeometry", "VertexColor")
    )
    colour.layer_name = "albedo"
    links.new(colour.outputs["Color"], glow.inputs["Color"])
    links.new(side.outputs["Backfacing"], mix.inputs[0])
    links.new(glow.outputs[0], mix.inputs[1])
    links.new(clear.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], output.inputs["Surface"])
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)
