"""The studio's Blender side: a process that renders one person after another with Cycles.

Run by an interpreter that has bpy (``python stage.py``); needs numpy and the standard library
besides. It reads messages from stdin and answers each with a line of JSON on stdout:

    4 bytes little-endian length, then that many bytes of an .npz file (read without pickle)

The first message is the stage (fixed topologies, image sizes), each later one a person; ``person.py``
builds both. World and camera are the models' own axes in centimetres: y up, the camera on +z looks
along −z, exactly what an unturned Blender camera does.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import sys

import bpy
import numpy as np

HAIR_KINDS = ("scalp", "brows", "lashes", "beard")
SUBSURFACE_RADIUS = (1.0, 0.37, 0.19)  # relative mean free path in skin, R, G, B


class Stage:
    """The one scene; everything in it is made once and then only refilled."""

    def __init__(self, setup: dict):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self.settings(setup)
        self.camera(float(setup["distance"]), float(setup["half_width"]))
        self.detail = picture("detail", setup["detail_size"])
        self.iris = picture("iris", setup["iris_size"])
        self.world = environment(self.scene, picture("environment", setup["environment_size"]))
        materials = [skin_material(self.detail), eye_material(self.iris), plain_material("teeth", 0.18), plain_material("mouth", 0.25)]
        self.head = mesh_object("head", setup["head_quads"], len(setup["head_face_mask"]), materials, setup["head_uv"])
        self.head.data.polygons.foreach_set("material_index", setup["head_material"].astype(np.int32))
        attribute(self.head.data, "face", "FLOAT", "value", setup["head_face_mask"])
        self.shirt = mesh_object("shirt", setup["shirt_quads"], int(setup["shirt_quads"].max()) + 1, [cloth_material()])
        self.glasses = mesh_object("glasses", setup["glasses_quads"], int(setup["glasses_quads"].max()) + 1, [frame_material(), lens_material()])
        self.glasses.data.polygons.foreach_set("material_index", setup["glasses_material"].astype(np.int32))
        self.hair = {kind: hair_material(kind) for kind in HAIR_KINDS}
        self.lamps = {name: lamp(name, self.scene) for name in ("key", "rim")}

    def settings(self, setup: dict) -> None:
        """Few bounces, few samples, denoised; what a face of this size needs."""
        scene, render, cycles = self.scene, self.scene.render, self.scene.cycles
        render.engine = "CYCLES"
        render.resolution_x = render.resolution_y = int(setup["size"])
        render.resolution_percentage = 100
        render.film_transparent = True
        render.use_persistent_data = False  # it would keep the first person's pictures
        render.threads_mode, render.threads = "FIXED", int(setup["threads"])
        render.hair_type = "STRIP"
        cycles.device = "CPU"
        cycles.use_adaptive_sampling = False
        cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 1, 1
        cycles.transmission_bounces, cycles.transparent_max_bounces = 3, 8
        cycles.caustics_reflective = cycles.caustics_refractive = False
        cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
        cycles.denoising_input_passes, cycles.denoising_prefilter = "RGB_ALBEDO_NORMAL", "FAST"
        cycles.sample_clamp_indirect = 4.0
        scene.cycles_curves.shape, scene.cycles_curves.subdivisions = "RIBBONS", 2
        image = render.image_settings
        if hasattr(image, "media_type"):
            image.media_type = "MULTI_LAYER_IMAGE"
        image.file_format, image.color_depth, image.exr_codec = "OPEN_EXR_MULTILAYER", "16", "NONE"
        layer = scene.view_layers[0]
        aov = layer.aovs.add()
        aov.name = "face"
        aov.type = "VALUE"

    def camera(self, distance: float, half_width: float) -> None:
        """A pinhole at (0, 0, distance) that sees ``half_width`` cm to each side of the origin."""
        data = bpy.data.cameras.new("camera")
        data.sensor_width, data.lens = 36.0, 36.0 * distance / (2 * half_width)
        data.clip_end = 1000
        thing = bpy.data.objects.new("camera", data)
        thing.location = (0, 0, distance)
        self.scene.collection.objects.link(thing)
        self.scene.camera = thing

    def fill(self, person: dict) -> None:
        """Put one person on the stage."""
        refill(self.head, person["head"])
        attribute(self.head.data, "colour", "FLOAT_COLOR", "color", with_alpha(person["head_colour"]))
        self.detail.pixels.foreach_set(person["detail"].ravel())
        self.detail.update()
        self.iris.pixels.foreach_set(with_alpha(person["iris"]).ravel())
        self.iris.update()
        values(self.head.data.materials[0], subsurface=person["subsurface"], roughness=person["roughness"])
        refill(self.shirt, person["shirt"])
        values(self.shirt.data.materials[0], colour=person["shirt_colour"])
        self.glasses.hide_render = not bool(person["has_glasses"])
        refill(self.glasses, person["glasses"])
        values(self.glasses.data.materials[0], colour=person["frame_colour"])
        for kind, material in self.hair.items():
            self.strands(kind, material, person[f"{kind}_points"], person[f"{kind}_radius"], person[f"{kind}_colour"])
        self.world.image.pixels.foreach_set(with_alpha(person["environment"]).ravel())
        self.world.image.update()
        for name, thing in self.lamps.items():
            place_lamp(thing, person[f"{name}_direction"], person[f"{name}_irradiance"], float(person[f"{name}_angle"]))
        self.scene.cycles.samples = int(person["samples"])
        self.scene.cycles.seed = int(person["seed"])

    def strands(self, kind: str, material, points: np.ndarray, radius: np.ndarray, colour: np.ndarray) -> None:
        """Exchange one kind of hair: points (R, K, 3), radius (K,) from root to tip, colour (R, 3)."""
        old = bpy.data.objects.get(kind)
        if old:
            curves = old.data
            bpy.data.objects.remove(old)
            bpy.data.hair_curves.remove(curves)
        if not len(points):
            return
        count, length = points.shape[:2]
        curves = bpy.data.hair_curves.new(kind)
        curves.add_curves([length] * count)
        curves.attributes["position"].data.foreach_set("vector", points.astype(np.float32).ravel())
        attribute(curves, "radius", "FLOAT", "value", np.tile(radius, count))
        attribute(curves, "colour", "FLOAT_COLOR", "color", with_alpha(colour), domain="CURVE")
        curves.materials.append(material)
        self.scene.collection.objects.link(bpy.data.objects.new(kind, curves))

    def render(self, path: str) -> None:
        """Write the person as a multilayer EXR of linear light."""
        self.scene.render.filepath = path
        bpy.ops.render.render(write_still=True)


def with_alpha(colour: np.ndarray) -> np.ndarray:
    """(…, 3) -> (…, 4) float32 with alpha 1."""
    return np.concatenate((colour, np.ones((*colour.shape[:-1], 1))), axis=-1).astype(np.float32)


def picture(name: str, size: np.ndarray):
    """A float image of (width, height) that is only ever refilled."""
    image = bpy.data.images.new(name, int(size[0]), int(size[1]), alpha=True, float_buffer=True)
    image.colorspace_settings.name = "Linear Rec.709"
    return image


def mesh_object(name: str, quads: np.ndarray, vertices: int, materials: list, uv: np.ndarray | None = None):
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


def refill(thing, vertices: np.ndarray) -> None:
    """Move an object's vertices."""
    thing.data.attributes["position"].data.foreach_set("vector", vertices.astype(np.float32).ravel())
    thing.data.update()
    thing.data.update_tag()


def attribute(data, name: str, kind: str, field: str, array: np.ndarray, domain: str = "POINT") -> None:
    """Write an attribute, made at its first use."""
    layer = data.attributes.get(name) or data.attributes.new(name, kind, domain)
    layer.data.foreach_set(field, np.ascontiguousarray(array, dtype=np.float32).ravel())


def new_material(name: str):
    """An empty node material, its nodes and links."""
    material = bpy.data.materials.new(name)
    if not material.node_tree:
        material.use_nodes = True
    material.node_tree.nodes.clear()
    output = material.node_tree.nodes.new("ShaderNodeOutputMaterial")
    return material, material.node_tree.nodes, material.node_tree.links, output


def principled(name: str, **inputs):
    """A material of one Principled BSDF; returns material, nodes, links and the shader."""
    material, nodes, links, output = new_material(name)
    shader = nodes.new("ShaderNodeBsdfPrincipled")
    for key, value in inputs.items():
        shader.inputs[key.replace("_", " ")].default_value = value
    links.new(shader.outputs[0], output.inputs["Surface"])
    return material, nodes, links, shader


def face_output(nodes, links) -> None:
    """Write the vertex attribute "face" to the pass of that name."""
    source = nodes.new("ShaderNodeAttribute")
    source.attribute_name = "face"
    aov = nodes.new("ShaderNodeOutputAOV")
    aov.aov_name = "face"
    links.new(source.outputs["Fac"], aov.inputs["Value"])


def named_value(nodes, name: str):
    """A number that ``values`` sets for every person."""
    node = nodes.new("ShaderNodeValue")
    node.name = name
    return node.outputs[0]


def named_colour(nodes, name: str):
    """A colour that ``values`` sets for every person."""
    node = nodes.new("ShaderNodeRGB")
    node.name = name
    return node.outputs[0]


def values(material, **numbers) -> None:
    """Set named values and colours of a material."""
    for name, value in numbers.items():
        output = material.node_tree.nodes[name].outputs[0]
        output.default_value = (*map(float, value), 1.0) if np.size(value) == 3 else float(value)


def multiply(nodes, links, a, b):
    """Product of two colours."""
    node = nodes.new("ShaderNodeVectorMath")
    node.operation = "MULTIPLY"
    links.new(a, node.inputs[0])
    links.new(b, node.inputs[1])
    return node.outputs[0]


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
    face_output(nodes, links)
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
    face_output(nodes, links)
    return material


def plain_material(name: str, roughness: float):
    """Teeth and the inside of the mouth: their vertex colour, wet."""
    material, nodes, links, shader = principled(name, Roughness=roughness)
    colour = nodes.new("ShaderNodeAttribute")
    colour.attribute_name = "colour"
    links.new(colour.outputs["Color"], shader.inputs["Base Color"])
    face_output(nodes, links)
    return material


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
    return material


def frame_material():
    """Spectacle frames: plastic or metal by their colour's brightness alone."""
    material, nodes, links, shader = principled("frame", Roughness=0.25)
    links.new(named_colour(nodes, "colour"), shader.inputs["Base Color"])
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


def hair_material(kind: str):
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
    return material


def environment(scene, image):
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


def lamp(name: str, scene):
    """A far disc that shines on the origin."""
    data = bpy.data.lights.new(name, "AREA")
    data.shape = "DISK"
    thing = bpy.data.objects.new(name, data)
    scene.collection.objects.link(thing)
    return thing


def place_lamp(thing, direction: np.ndarray, irradiance: np.ndarray, angle: float, distance: float = 300.0) -> None:
    """Put a disc of angular radius ``angle`` at ``distance`` so that it gives ``irradiance`` (3,) at the origin.

    A disc of power P and radius r radiates P / (pi · pi r²) per solid angle and area; at the origin
    that makes P / (pi · distance²) for a small disc.
    """
    from mathutils import Vector

    way = Vector([float(value) for value in direction])
    thing.location = way * distance
    thing.rotation_euler = way.to_track_quat("Z", "Y").to_euler()
    brightest = max(float(irradiance.max()), 1e-6)
    radius = distance * math.tan(angle)
    thing.data.size = 2 * radius
    thing.data.color = [float(value) / brightest for value in irradiance]
    thing.data.energy = brightest * math.pi * (distance**2 + radius**2)


def read_message(stream) -> dict | None:
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
    stage = Stage(read_message(sys.stdin.buffer))
    print(json.dumps({"ready": bpy.app.version_string}), file=answers, flush=True)
    while (person := read_message(sys.stdin.buffer)) is not None:
        path = str(person["path"])
        try:
            stage.fill(person)
            stage.render(path)
            print(json.dumps({"done": path}), file=answers, flush=True)
        except Exception as error:  # told to the parent, which knows the picture's number
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)


if __name__ == "__main__":
    main()
