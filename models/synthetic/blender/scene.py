"""The studio's Blender side: a process that renders one person after another with Cycles.

Run by an interpreter that has bpy (``python -m models.synthetic.blender.scene``); needs numpy and the standard
library besides. It reads messages from stdin and answers each with a line of JSON on stdout:

    4 bytes little-endian length, then that many bytes of an .npz file (read without pickle)

The first message is the stage, then come persons and, for each, shots; ``models/synthetic/message.py`` builds
them. World and camera are the models' own axes in centimetres: y up, the camera on +z looks along −z, exactly
what an unturned Blender camera does.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import sys
from typing import BinaryIO

import bpy
import numpy as np

from models.synthetic.blender.clothing_material import (
    cloth_material,
    frame_material,
    lens_material,
    metal_material,
)
from models.synthetic.blender.hair_material import HAIR_KINDS, hair_material
from models.synthetic.blender.nodes import PASSES, values
from models.synthetic.blender.skin_material import (
    bust_material,
    eye_material,
    flesh_material,
    skin_material,
    teeth_material,
)

LAMPS = 3


class Stage:
    """The one scene; everything in it is made once and then only refilled."""

    def __init__(self, setup: dict):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self.settings(int(setup["threads"]))
        self.camera = make_camera(self.scene)
        self.detail = picture("detail", setup["detail_size"])
        self.relief = picture("relief", setup["detail_size"])
        self.iris = picture("iris", setup["iris_size"])
        self.world = environment(self.scene, picture("environment", setup["environment_size"]))
        materials = [
            skin_material(self.detail, self.relief),
            eye_material(self.iris),
            teeth_material(),
            *(flesh_material(name, 0.35) for name in ("mouth", "tongue", "gums")),
        ]
        self.head = mesh_object("head", setup["head_quads"], len(setup["head_face_mask"]), materials, setup["head_uv"])
        self.head.data.polygons.foreach_set("material_index", setup["head_material"].astype(np.int32))
        attribute(self.head.data, "face", "FLOAT", "value", setup["head_face_mask"])
        attribute(self.head.data, "neck", "FLOAT", "value", setup["head_neck_mask"])
        attribute(self.head.data, "wet", "FLOAT", "value", setup["head_wet"])
        self.cloth = picture("cloth", setup["cloth_size"])
        worn = {"bust": [bust_material()], "shirt": [cloth_material(self.cloth)], "jacket": [cloth_material()], "collar": [cloth_material()],
                     "glasses": [frame_material(), lens_material()], "earrings": [metal_material()]}  # fmt: skip
        self.worn = {name: mesh_object(name, setup[f"{name}_quads"], int(setup[f"{name}_quads"].max()) + 1, made, setup.get(f"{name}_uv"))
                     for name, made in worn.items()}  # fmt: skip
        self.worn["glasses"].data.polygons.foreach_set("material_index", setup["glasses_material"].astype(np.int32))
        self.hair = {kind: Hair(self.scene, kind) for kind in HAIR_KINDS}
        self.lamps = [lamp(f"lamp{place}", self.scene) for place in range(LAMPS)]

    def settings(self, threads: int) -> None:
        """Few bounces, few samples, denoised; what a face of this size needs."""
        scene, render, cycles = self.scene, self.scene.render, self.scene.cycles
        render.engine = "CYCLES"
        render.resolution_percentage = 100
        render.film_transparent = True
        render.use_persistent_data = False  # it would keep the first person's pictures
        render.threads_mode, render.threads = "FIXED", threads
        render.hair_type = "STRIP"
        cycles.device = "CPU"
        cycles.use_adaptive_sampling = False
        cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 1, 1
        cycles.transmission_bounces, cycles.transparent_max_bounces = 2, 8
        cycles.caustics_reflective = cycles.caustics_refractive = False
        cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
        cycles.denoising_input_passes, cycles.denoising_prefilter = "RGB_ALBEDO_NORMAL", "FAST"
        cycles.sample_clamp_indirect = 4.0
        scene.cycles_curves.shape, scene.cycles_curves.subdivisions = "RIBBONS", 2
        image = render.image_settings
        if hasattr(image, "media_type"):
            image.media_type = "MULTI_LAYER_IMAGE"
        image.file_format, image.color_depth, image.exr_codec = "OPEN_EXR_MULTILAYER", "16", "NONE"
        for name in PASSES:
            aov = scene.view_layers[0].aovs.add()
            aov.name, aov.type = name, "COLOR"

    def person(self, message: dict) -> None:
        """Dress the stage for one person."""
        self.scene.render.resolution_x = self.scene.render.resolution_y = int(message["size"])
        self.scene.cycles.samples = int(message["samples"])
        attribute(self.head.data, "colour", "FLOAT_COLOR", "color", with_alpha(message["head_colour"]))
        fill_picture(self.detail, message["detail"])
        fill_picture(self.relief, message["relief"])
        fill_picture(self.iris, message["iris"])
        values(self.head.data.materials[0], subsurface=message["subsurface"], oil=message["oil"])
        fill_picture(self.cloth, with_alpha(message["cloth"]))
        for name, thing in self.worn.items():
            thing.hide_render = not bool(message.get(f"has_{name}", True))
            for material in thing.data.materials:
                values(material, **{key: message[f"{name}_{key}"] for key in ("colour", "tint") if key in material.node_tree.nodes})
        for kind, hair in self.hair.items():
            hair.make(*(message[f"{kind}_{part}"] for part in ("shape", "radius", "colour")))

    def shot(self, message: dict) -> None:
        """Pose that person, light the scene and place the camera."""
        attribute(self.head.data, "creases", "FLOAT_COLOR", "color", with_alpha(message["creases"]))
        attribute(self.head.data, "lid_tint", "FLOAT_COLOR", "color", with_alpha(message["lid_tint"]))
        refill(self.head, message["head"])
        for name, thing in self.worn.items():
            refill(thing, message[name])
        for kind, hair in self.hair.items():
            hair.move(message[f"{kind}_points"])
        fill_picture(self.world.image, with_alpha(message["environment"]))
        for place, thing in enumerate(self.lamps):
            place_lamp(thing, *(message[f"lamp{place}_{part}"] for part in ("direction", "irradiance", "angle")))
        place_camera(self.camera, float(message["distance"]), float(message["half_width"]))
        self.scene.cycles.seed = int(message["seed"])

    def render(self, path: str) -> None:
        """Write the shot as a multilayer EXR of linear light."""
        self.scene.render.filepath = path
        bpy.ops.render.render(write_still=True)


class Hair:
    """One kind of hair: curves that are exchanged for each person and moved for each shot."""

    def __init__(self, scene: bpy.types.Scene, kind: str):
        self.scene, self.kind, self.material = scene, kind, hair_material(kind)

    def make(self, shape: np.ndarray, radius: np.ndarray, colour: np.ndarray) -> None:
        """New curves: ``shape`` is (R strands, K points each), radius (R, K) from root to tip, colour (R, 3)."""
        if old := bpy.data.objects.get(self.kind):
            curves = old.data
            bpy.data.objects.remove(old)
            bpy.data.hair_curves.remove(curves)
        count, length = map(int, shape)
        if not count:
            return
        curves = bpy.data.hair_curves.new(self.kind)
        curves.add_curves([length] * count)
        attribute(curves, "radius", "FLOAT", "value", radius)
        attribute(curves, "colour", "FLOAT_COLOR", "color", with_alpha(colour), domain="CURVE")
        curves.materials.append(self.material)
        self.scene.collection.objects.link(bpy.data.objects.new(self.kind, curves))

    def move(self, points: np.ndarray) -> None:
        """Put the strands' points (R, K, 3) in their places."""
        if len(points):
            curves = bpy.data.objects[self.kind].data
            curves.attributes["position"].data.foreach_set("vector", points.astype(np.float32).ravel())
            curves.update_tag()


def make_camera(scene: bpy.types.Scene) -> bpy.types.Object:
    """A pinhole on the z axis."""
    data = bpy.data.cameras.new("camera")
    data.sensor_width, data.clip_start, data.clip_end = 36.0, 1.0, 2000.0
    thing = bpy.data.objects.new("camera", data)
    scene.collection.objects.link(thing)
    scene.camera = thing
    return thing


def place_camera(thing: bpy.types.Object, distance: float, half_width: float) -> None:
    """At (0, 0, distance), with the lens that shows ``half_width`` cm to each side of the origin."""
    thing.location = (0, 0, distance)
    thing.data.lens = 36.0 * distance / (2 * half_width)


def fill_picture(image: bpy.types.Image, pixels: np.ndarray) -> None:
    """Give an image its pixels (H, W, 4)."""
    image.pixels.foreach_set(np.ascontiguousarray(pixels, dtype=np.float32).ravel())
    image.update()


def with_alpha(colour: np.ndarray) -> np.ndarray:
    """(…, 3) -> (…, 4) float32 with alpha 1."""
    return np.concatenate((colour, np.ones((*colour.shape[:-1], 1))), axis=-1).astype(np.float32)


def picture(name: str, size: np.ndarray) -> bpy.types.Image:
    """A float image of (width, height) that is only ever refilled."""
    image = bpy.data.images.new(name, int(size[0]), int(size[1]), alpha=True, float_buffer=True)
    image.colorspace_settings.name = "Linear Rec.709"
    image.alpha_mode = "CHANNEL_PACKED"  # the fourth number is one of its own, not a matte
    return image


def mesh_object(name: str, quads: np.ndarray, vertices: int, materials: list, uv: np.ndarray | None = None) -> bpy.types.Object:
    """A smooth-shaded object of quads (Q, 4), its vertices still at the origin; uv is (Q, 4, 2)."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0.0, 0.0, 0.0)] * vertices, [], quads.tolist())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(quads), bool))
    if uv is not None:
        mesh.uv_layers.new(name="uv").data.foreach_set("uv", uv.astype(np.float32).ravel())
    for material in materials:
        mesh.materials.append(material)
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def refill(thing: bpy.types.Object, vertices: np.ndarray) -> None:
    """Move an object's vertices."""
    thing.data.attributes["position"].data.foreach_set("vector", vertices.astype(np.float32).ravel())
    thing.data.update()
    thing.data.update_tag()


def attribute(data: bpy.types.ID, name: str, kind: str, field: str, array: np.ndarray, domain: str = "POINT") -> None:
    """Write an attribute, made at its first use."""
    layer = data.attributes.get(name) or data.attributes.new(name, kind, domain)
    layer.data.foreach_set(field, np.ascontiguousarray(array, dtype=np.float32).ravel())


def environment(scene: bpy.types.Scene, image: bpy.types.Image) -> bpy.types.Node:
    """A world of one equirectangular picture whose pole is +y; returns its image node."""
    world = bpy.data.worlds.new("world")
    if not world.node_tree:
        world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    nodes.clear()
    place, turn = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    turn.vector_type = "VECTOR"
    turn.inputs["Rotation"].default_value = (math.pi / 2, 0, 0)
    texture, background = nodes.new("ShaderNodeTexEnvironment"), nodes.new("ShaderNodeBackground")
    output = nodes.new("ShaderNodeOutputWorld")
    texture.image = image
    links.new(place.outputs["Generated"], turn.inputs["Vector"])
    links.new(turn.outputs["Vector"], texture.inputs["Vector"])
    links.new(texture.outputs["Color"], background.inputs["Color"])
    links.new(background.outputs[0], output.inputs["Surface"])
    world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 128
    scene.world = world
    return texture


def lamp(name: str, scene: bpy.types.Scene) -> bpy.types.Object:
    """A far disc that shines on the origin."""
    data = bpy.data.lights.new(name, "AREA")
    data.shape = "DISK"
    thing = bpy.data.objects.new(name, data)
    thing.visible_camera = False  # it may stand between the camera and the head
    scene.collection.objects.link(thing)
    return thing


def place_lamp(thing: bpy.types.Object, direction: np.ndarray, irradiance: np.ndarray, angle: np.ndarray, distance: float = 300.0) -> None:
    """Put a disc of angular radius ``angle`` () at ``distance`` cm so that it gives ``irradiance`` (3,) at the origin.

    A disc of power P and radius r radiates P / (pi · pi r²) per solid angle and area; at the origin
    that makes P / (pi · distance²) for a small disc.
    """
    from mathutils import Vector

    way = Vector([float(value) for value in direction])
    thing.location = way * distance
    thing.rotation_euler = way.to_track_quat("Z", "Y").to_euler()
    brightest = max(float(irradiance.max()), 1e-6)
    thing.hide_render = not irradiance.any()
    radius = distance * math.tan(float(angle))
    thing.data.size = 2 * radius
    thing.data.color = [float(value) / brightest for value in irradiance]
    thing.data.energy = brightest * math.pi * (distance**2 + radius**2)


def read_message(stream: BinaryIO) -> dict | None:
    """The next message as a dict of arrays; None at the end of the stream."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    size = struct.unpack("<I", head)[0]
    with np.load(io.BytesIO(stream.read(size)), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def main() -> None:
    """Answer messages until stdin closes. Blender's own chatter goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    stage = Stage(read_message(sys.stdin.buffer) or {})
    print(json.dumps({"ready": bpy.app.version_string}), file=answers, flush=True)
    while (message := read_message(sys.stdin.buffer)) is not None:
        try:
            if str(message["kind"]) == "person":
                stage.person(message)
                continue
            stage.shot(message)
            stage.render(str(message["path"]))
            print(json.dumps({"done": str(message["path"])}), file=answers, flush=True)
        except Exception as error:  # told to the parent, which knows the picture's number
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)


if __name__ == "__main__":
    main()
