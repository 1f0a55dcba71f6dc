"""The portrait over a background plate, in the compositor trees of Blender 4.5 and of 5.x."""

from __future__ import annotations

import itertools
import os
import re

import bpy
import numpy as np
from bpy.props import BoolProperty, FloatProperty, StringProperty

from ..errors import Text, UserError
from ..protocol.colour import srgb_to_linear
from ..translations import tr, tr_error
from . import node_groups, plate, relight_group, shot_group
from .compositor_nodes import (
    NODE_PREFIX,
    PLATE,
    arrange,
    has_group_tree,
    layers_node,
    named_node,
    over_node,
    plate_step,
    scene_tree,
    set_option,
    show_scene,
)
from .farm_script import leave_script
from .lens import lens_of
from .overscan import frame_size
from .portrait_camera import ensure_camera
from .scene_objects import OBJECTS, check_depth, covered, objects_layer

GRADIENT_SIZE = 256
LIGHT_WRAP = 0.25  # how much of the plate's light goes round the head's edges
DEFOCUS_MAX = 0.1  # of the picture's longer side; a larger blur is cut off there
REGION = ("measured_x", "measured_y", "measured_width", "measured_height")  # properties of the operator
BLADES = {3: "TRIANGLE", 4: "SQUARE", 5: "PENTAGON", 6: "HEXAGON", 7: "HEPTAGON", 8: "OCTAGON"}  # of an aperture
FOCUS = "Depth of Field"  # how names of nodes begin that blur what is out of focus
SOFTNESS = 0.5  # pixels of a Gaussian's deviation, as lenses and demosaicing leave it: of plates without edges
WRAP_WIDTH = 0.02  # of the picture's shorter side


def ensure_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    """The scene's compositor tree, made and switched on if need be."""
    scene.render.use_compositing = True
    if not has_group_tree():
        scene.use_nodes = True
        return scene.node_tree
    if scene.compositing_node_group is None:
        tree = bpy.data.node_groups.new(f"{NODE_PREFIX} Compositor", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        scene.compositing_node_group = tree
    return scene.compositing_node_group


def node_of(tree: bpy.types.NodeTree, kind: str) -> bpy.types.Node:
    """The tree's first node of this type, or a new one."""
    for node in tree.nodes:
        if node.bl_idname == kind:
            return node
    return tree.nodes.new(kind)


def render_layers(tree: bpy.types.NodeTree, scene: bpy.types.Scene) -> bpy.types.Node:
    """The Render Layers node of this scene, with the sockets of the engine's passes."""
    scene.render.engine = "STYLERIG"  # no other has these passes
    node = layers_node(tree, scene)
    show_scene(node, scene)
    return node


def output_socket(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    """The socket whose picture becomes the render."""
    kind = "NodeGroupOutput" if has_group_tree() else "CompositorNodeComposite"
    node = node_of(tree, kind)
    pictures = [socket for socket in node.inputs if socket.type == "RGBA"]
    if not pictures:
        raise UserError(
            "no_color_output",
            "The compositor group “{name}” has no color output.",
            "Add an output socket of type Color to it, or choose another group.",
            name=tree.name,
        )
    return pictures[0]


def ensure_output(tree: bpy.types.NodeTree, scene: bpy.types.Scene) -> None:
    """Connect the render with the output where nothing is connected yet."""
    socket = output_socket(tree)
    if not socket.is_linked:
        tree.links.new(render_layers(tree, scene).outputs["Image"], socket)


def set_exact_colours(scene: bpy.types.Scene) -> None:
    """Make a PNG hold the portrait's own sRGB values; the defaults, AgX and dither, change them."""
    scene.display_settings.display_device = "sRGB"
    view = scene.view_settings
    view.view_transform, view.look = "Standard", "None"
    view.exposure, view.gamma, view.use_curve_mapping = 0.0, 1.0, False
    scene.render.dither_intensity = 0.0
    scene.render.compositor_precision = "FULL"
    if bpy.app.background:
        scene.render.compositor_device = "CPU"


def setup_compositor(
    scene: bpy.types.Scene,
    path: str = "",
    light_wrap: float = LIGHT_WRAP,
    objects: tuple[str, str] | None = None,
    *,
    motion_blur: bool = False,
    depth_of_field: bool = False,
    match_plate: bool = False,
    relight: bool = False,
    region: plate.Region = plate.WHOLE,
    sequence: bool = False,
    lens: str = "",
) -> bpy.types.NodeTree:
    """Put the scene's render over a plate: the picture or movie at ``path``, else a plain gradient.

    ``light_wrap``: how much of the plate's light goes round the edges of the head; 0 makes no
    node for it. ``objects``: names of another scene and its view layer, which renders the objects
    that are before and behind the portraits; empty names: a scene that is made for it, its first layer.
    ``motion_blur``: blur the portraits along the pass Vector, which is switched on, by the scene's shutter.
    ``depth_of_field``: blur them as far as they are out of the focus of the scene's camera, by its aperture.
    ``match_plate``: make them as soft as the plate and give them its grain, both measured in the ``region`` of it.
    ``relight``: put the node group *StyleRig Relight* behind the portraits, whose lamp is off at first.
    ``lens``: the name of a movie clip by whose tracking camera all that is rendered is distorted, as the plate is.
    ``sequence``: the picture at ``path`` is the first of numbered ones, for each frame from the scene's first on.
    Nodes of an earlier call are replaced, an artist's own nodes stay, a camera is added where the
    scene has none, and the film becomes transparent. Raises UserError.
    """
    image = plate_image(path, sequence)
    tree = ensure_tree(scene)
    target = output_socket(tree)
    ensure_camera(scene)
    if depth_of_field:
        check_lens(scene.camera)
    if depth_of_field or objects:
        check_placement(scene)
    shown = objects_layer(scene, objects[0] or objects_scene(tree), objects[1]) if objects else None
    if shown:
        check_depth(tree, shown)
    through_lens = lens_of(lens, tree, scene)
    remove_earlier(tree)
    if motion_blur:
        use_vector_pass(scene)
    layers = render_layers(tree, scene)
    source = plate_nodes(tree, image, scene).outputs["Image"]
    portrait, matte = layers.outputs["Image"], layers.outputs["HeadMatte"]
    if relight:
        portrait = relight_node(tree, layers, scene)
    if motion_blur:
        portrait, matte = (vector_blur(tree, layers, scene, socket) for socket in (portrait, matte))
    if depth_of_field:
        portrait, matte = (defocus(tree, layers, scene, socket) for socket in (portrait, matte))
    if shown:
        compared = covered(tree, (portrait, matte, layers.outputs["HeadDepth"]), source, shown, through_lens)
        result, matte, rendered = compared.picture, compared.matte, compared.objects
    else:
        matte, rendered = through_lens(matte), None
        result = over_node(tree, "Over", source, through_lens(portrait)).outputs["Image"]
        arrange((result.node, 320, -60))
    if light_wrap > 0 or match_plate:
        settings = {"Light Wrap": light_wrap} | (grain_settings(image, scene, region) if match_plate else {})
        result = shot_node(tree, (result, source, matte, rendered), scene, settings)
    tree.links.new(result, target)
    arrange((layers, 0, 0), (target.node, 1160, -60))
    if sequence and path:
        image.source = "SEQUENCE"
    scene.render.film_transparent = True
    set_exact_colours(scene)
    leave_script()
    return tree


def remove_earlier(tree: bpy.types.NodeTree) -> None:
    """Take away the nodes of an earlier set-up."""
    for node in [node for node in tree.nodes if node.name.startswith(PLATE)]:
        tree.nodes.remove(node)


def use_vector_pass(scene: bpy.types.Scene) -> None:
    """Have the pass Vector in every view layer, and the engine's own blur off, or all would be blurred twice."""
    scene.render.use_motion_blur = False
    for view_layer in scene.view_layers:
        view_layer.use_pass_vector = True


def objects_scene(tree: bpy.types.NodeTree) -> str:
    """The name of the scene whose objects an earlier set-up shows."""
    node = tree.nodes.get(OBJECTS)
    return node.scene.name if node is not None and node.scene is not None else ""


def plate_nodes(tree: bpy.types.NodeTree, image: bpy.types.Image, scene: bpy.types.Scene) -> bpy.types.Node:
    """Nodes that show the image, scaled to fill the render and opaque; returns the last of them.

    Scaling mixes the outermost pixels with nothing: their colour is taken back out of the mixture.
    """
    picture = tree.nodes.new("CompositorNodeImage")
    picture.name = picture.label = PLATE
    picture.image = image
    picture.use_auto_refresh = True
    if image.source == "MOVIE":
        picture.frame_start, picture.frame_duration = scene.frame_start, max(image.frame_duration, 1)
    elif numbered := numbers_from(bpy.path.abspath(image.filepath)):
        picture.frame_start, picture.frame_offset, picture.frame_duration = scene.frame_start, numbered[0] - 1, len(numbered)
    scale = plate_step(tree, picture, "CompositorNodeScale", "Scale")
    set_option(scale, "space", "Type", "RENDER_SIZE", "Render Size")
    set_option(scale, "frame_method", "Frame Type", "CROP", "Crop")
    fitting = within_overscan(tree, scale, scene) if any(scene.stylerig.overscan) else scale
    straight = plate_step(tree, fitting, "CompositorNodePremulKey", "Straight")
    set_option(straight, "mapping", "Type", "PREMUL_TO_STRAIGHT", "To Straight")
    opaque = plate_step(tree, straight, "CompositorNodeSetAlpha", "Opaque")
    set_option(opaque, "mode", "Type", "REPLACE_ALPHA", "Replace Alpha")
    arrange((picture, -620, -420), (scale, -340, -420), (straight, -160, -420), (opaque, 20, -420))
    return opaque


def within_overscan(tree: bpy.types.NodeTree, source: bpy.types.Node, scene: bpy.types.Scene) -> bpy.types.Node:
    """A node that makes the plate as large as the frame, where more than that is rendered."""
    node = plate_step(tree, source, "CompositorNodeScale", "Frame")
    set_option(node, "space", "Type", "RELATIVE", "Relative")
    rendered = scene.render.resolution_x, scene.render.resolution_y
    for name, side, whole in zip("XY", frame_size(scene), rendered, strict=True):
        node.inputs[name].default_value = side / whole
    arrange((node, -340, -640))
    return node


def vector_blur(
    tree: bpy.types.NodeTree, layers: bpy.types.Node, scene: bpy.types.Scene, picture: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    """A Vector Blur node: the picture of the Render Layers node as the scene's shutter sees it move."""
    node = named_node(tree, "CompositorNodeVecBlur", f"Motion Blur {picture.name}")
    depth = "Depth" if "Depth" in node.inputs else "Z"
    for source, socket in ((picture, "Image"), (layers.outputs["HeadDepth"], depth), (layers.outputs["Vector"], "Speed")):
        tree.links.new(source, node.inputs[socket])
    follow(node.inputs["Shutter"], "default_value", ("SCENE", scene), "render.motion_blur_shutter")
    arrange((node, 160, 120 if picture.type == "RGBA" else -160))
    return node.outputs["Image"]


def follow(owner: bpy.types.bpy_struct, name: str, source: tuple[str, bpy.types.ID], path: str, index: int = -1) -> None:
    """Drive a value of a node by one of ``source``, whose type is its first."""
    driver = owner.driver_add(name, index).driver
    driver.type = "SUM"
    target = driver.variables.new().targets[0]
    target.id_type, target.id, target.data_path = *source, path


def defocus(
    tree: bpy.types.NodeTree, layers: bpy.types.Node, scene: bpy.types.Scene, picture: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    """A Defocus node: a picture of the Render Layers node as the scene camera's lens sees it, by HeadDepth.

    The node reads focus and focal length of the scene's camera at each frame; a driver tells it the f-number.
    """
    node = named_node(tree, "CompositorNodeDefocus", f"{FOCUS} {picture.name}")
    node.scene, node.use_zbuffer = scene, True
    node.blur_max = DEFOCUS_MAX * max(scene.render.resolution_x, scene.render.resolution_y)
    if hasattr(node, "use_preview"):
        node.use_preview = False
    lens = scene.camera.data
    if lens.dof.aperture_blades in BLADES:
        node.bokeh, node.angle = BLADES[lens.dof.aperture_blades], lens.dof.aperture_rotation
    follow(node, "f_stop", ("CAMERA", lens), "dof.aperture_fstop")
    tree.links.new(picture, node.inputs["Image"])
    tree.links.new(layers.outputs["HeadDepth"], node.inputs["Z"])
    arrange((node, 240, 240 if picture.type == "RGBA" else -280))
    return node.outputs["Image"]


def check_placement(scene: bpy.types.Scene) -> None:
    """Raise UserError where portraits have no depth in the scene."""
    if scene.stylerig.placement == "CROP":
        raise UserError(
            "no_depth",
            "With the placement Aligned Crop a portrait stands nowhere in the scene: it has no depth there.",
            "Choose the placement In the Shot, or set up the compositor without Scene Objects and Depth of Field.",
        )


def check_compared(scene: bpy.types.Scene) -> None:
    """The same when a render begins whose set-up goes by depth."""
    tree = scene_tree(scene) if scene.render.use_compositing else None
    if tree is not None and any(node.name == OBJECTS or node.name.startswith(f"{PLATE} {FOCUS}") for node in tree.nodes):
        check_placement(scene)


def check_lens(camera: bpy.types.Object) -> None:
    """Raise UserError for a camera that has no depth of field."""
    if camera.type != "CAMERA" or camera.data.type != "PERSP":
        raise UserError(
            "no_lens",
            "“{name}” is no perspective camera: it has no depth of field.",
            "Change its type, or set up the compositor without Depth of Field.",
            name=camera.name,
        )


def relight_node(tree: bpy.types.NodeTree, layers: bpy.types.Node, scene: bpy.types.Scene) -> bpy.types.NodeSocket:
    """The node group *StyleRig Relight* on the Render Layers node's portrait, seen from where the scene's camera, as it is now, looks from."""
    node = named_node(tree, "CompositorNodeGroup", "Relight")
    node.node_tree = node_groups.node_group(relight_group.NAME)
    for name in ("Image", "Albedo", "Normal", "Shading", "Occlusion"):
        tree.links.new(layers.outputs[name], node.inputs[name])
    tree.links.new(layers.outputs["Alpha"], node.inputs["Matte"])
    for axis in range(3):
        follow(node.inputs["View"], "default_value", ("OBJECT", scene.camera), f"matrix_world[2][{axis}]", axis)
    arrange((node, 160, 300))
    return node.outputs["Image"]


def shot_node(
    tree: bpy.types.NodeTree,
    pictures: tuple[bpy.types.NodeSocket | None, ...],
    scene: bpy.types.Scene,
    settings: dict[str, float | tuple],
) -> bpy.types.NodeSocket:
    """The node group *StyleRig Shot* with ``settings`` of its sockets.

    ``pictures``: the portrait over the plate, the plate, the portrait's matte, and that of other things that are rendered.
    """
    node = named_node(tree, "CompositorNodeGroup", "Shot")
    node.node_tree = node_groups.node_group(shot_group.NAME)
    for source, name in zip(pictures, ("Image", "Plate", "Matte", "Rendered"), strict=True):
        if source is not None:
            tree.links.new(source, node.inputs[name])
    for name, value in ({"Wrap Size": max(round(WRAP_WIDTH * min(frame_size(scene))), 1)} | settings).items():
        node.inputs[name].default_value = value
    arrange((node, 940, -60))
    return node.outputs["Image"]


def grain_settings(image: bpy.types.Image, scene: bpy.types.Scene, region: plate.Region) -> dict[str, float | tuple]:
    """Grain and softness of a region of a plate's image as it is shown in the render: scaled to fill it. Raises UserError."""
    pixels = plate.part_of(linear_pixels(image), region)
    if region != plate.WHOLE and min(pixels.shape[:2]) < plate.BLOCK:
        raise UserError(
            "small_region",
            "The measured region has {width} × {height} pixels of the plate.",
            "Choose one of at least {least} × {least} pixels.",
            width=pixels.shape[1],
            height=pixels.shape[0],
            least=plate.BLOCK,
        )
    found = plate.grain_of(pixels)
    scale = max(shown / own for shown, own in zip(frame_size(scene), image.size, strict=True))
    measured = plate.softness_of(pixels, found)
    deviation = SOFTNESS if measured is None else measured * scale
    return {"Grain": (*found.strength, 1.0), "Grain Size": found.size * scale, "Softness": shot_group.RADIUS * deviation}


def linear_pixels(image: bpy.types.Image) -> np.ndarray:
    """An image's colours (H, W, 3): those of byte images are sRGB."""
    width, height = image.size
    pixels = np.empty(width * height * image.channels, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    colour = pixels.reshape(height, width, image.channels)[..., :3]
    colour = np.broadcast_to(colour, (height, width, 3)) if colour.shape[2] == 1 else colour
    return colour if image.is_float else srgb_to_linear(colour)


def plate_image(path: str, sequence: bool) -> bpy.types.Image:
    """The plate at ``path``, a gradient without one; as the first of a ``sequence`` it needs a number. Raises UserError."""
    if not path:
        return gradient_plate()
    image = load_plate(path)
    if sequence and not numbers_from(bpy.path.abspath(path)):
        raise UserError(
            "bad_plate", "The plate {path} has no number in its name.", "Choose a picture that has one, or no Image Sequence.", path=path
        )
    return image


def load_plate(path: str) -> bpy.types.Image:
    """The picture or movie at ``path`` as an image datablock. Raises UserError."""
    try:
        image = bpy.data.images.load(bpy.path.abspath(path), check_existing=True)
    except RuntimeError as error:
        raise UserError("bad_plate", "The plate {path} cannot be read.", "Choose a picture or a movie.", path=path) from error
    if image.source == "SEQUENCE":  # of an earlier set-up: it has no pixels of its own to be measured
        image = bpy.data.images.load(bpy.path.abspath(path))
    if not image.size[0]:
        bpy.data.images.remove(image)
        raise UserError("bad_plate", "The plate {path} is not a picture.", "Choose a picture or a movie.", path=path)
    return image


def numbers_from(path: str) -> list[int]:
    """Numbers of the pictures that follow a numbered one without a gap, from its own on; none of a file without a number."""
    parts = number_in(path)
    if parts is None:
        return []
    before, digits, after = parts
    numbers = itertools.count(int(digits))
    return list(itertools.takewhile(lambda number: os.path.isfile(f"{before}{number:0{len(digits)}}{after}"), numbers))


def number_in(path: str) -> tuple[str, str, str] | None:
    """A path cut at the last number of its file's name, which counts frames as Blender reads it."""
    stem, extension = os.path.splitext(os.path.basename(path))
    found = re.fullmatch(r"(.*?)(\d+)(\D*)", stem, re.DOTALL)
    return (os.path.join(os.path.dirname(path), found[1]), found[2], found[3] + extension) if found else None


def shown_file(node: bpy.types.Node, frame: int) -> str:
    """The file that an Image node shows at a frame of the scene, as Blender counts."""
    image = node.image
    path = bpy.path.abspath(image.filepath, library=image.library)
    parts = number_in(path) if image.source == "SEQUENCE" else None
    if parts is None:
        return path
    place = frame - node.frame_start + 1
    place = (place - 1) % node.frame_duration + 1 if node.use_cyclic else min(max(place, 0), node.frame_duration)
    before, digits, after = parts
    return f"{before}{place + node.frame_offset:0{len(digits)}}{after}"


def check_plate(scene: bpy.types.Scene) -> None:
    """Raise UserError when the set-up's plate is a file that is gone: Blender would show black in its place."""
    tree = scene_tree(scene) if scene.render.use_compositing else None
    node = tree.nodes.get(PLATE) if tree is not None else None
    image = node.image if node is not None and not node.mute else None
    if image is None or image.packed_file is not None or image.source not in {"FILE", "MOVIE", "SEQUENCE"} or not image.filepath:
        return
    path = shown_file(node, scene.frame_current)
    if not os.path.isfile(path):
        raise UserError("plate_gone", "The plate {path} is not there any more.", "Put it back, or choose another one.", path=path)


def other_rate(path: str, scene: bpy.types.Scene) -> Text | None:
    """What to tell of a movie that has another frame rate than the scene: each of its frames is shown for one of the scene's."""
    image = bpy.data.images.get(PLATE) if not path else load_plate(path)
    if image is None or image.source != "MOVIE":
        return None
    clip = bpy.data.movieclips.load(bpy.path.abspath(path))
    plate_rate, rate = clip.fps, scene.render.fps / scene.render.fps_base
    bpy.data.movieclips.remove(clip)
    if abs(plate_rate - rate) < 0.01:
        return None
    return Text(
        "The plate has {plate} frames a second, the scene {rate}: set the scene's Frame Rate to the plate's.",
        plate=f"{plate_rate:g}",
        rate=f"{rate:g}",
    )


def gradient_plate() -> bpy.types.Image:
    """A packed image, blue-grey above and warm grey below: a plate for when there is none yet."""
    image = bpy.data.images.get(PLATE) or bpy.data.images.new(PLATE, GRADIENT_SIZE, GRADIENT_SIZE)
    rows = np.linspace(0, 1, image.size[1], dtype=np.float32)[:, None, None]
    below, above = (np.array(colour, np.float32) for colour in ((0.42, 0.36, 0.32, 1.0), (0.24, 0.33, 0.45, 1.0)))
    pixels = np.broadcast_to(below + rows * (above - below), (image.size[1], image.size[0], 4))
    image.pixels.foreach_set(np.ascontiguousarray(pixels).reshape(-1))
    image.pack()
    return image


class STYLERIG_OT_setup_compositor(bpy.types.Operator):
    """Put the portrait over a background plate in the compositor, with light wrap and exact colors"""

    bl_idname = "stylerig.setup_compositor"
    bl_label = "Set Up Compositor"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="Plate", description="Picture or movie behind the portrait; empty for a plain gradient",
        subtype="FILE_PATH", default="", options={"SKIP_SAVE", "PATH_SUPPORTS_BLEND_RELATIVE"},
    )  # fmt: skip

    sequence: BoolProperty(
        name="Image Sequence", description="The plate is the first of numbered pictures, one for each frame from the scene's first on",
        default=False,
    )  # fmt: skip

    light_wrap: FloatProperty(
        name="Light Wrap", description="How much of the plate's light goes round the edges of the head; 0 for none",
        default=LIGHT_WRAP, min=0, max=1, subtype="FACTOR",
    )  # fmt: skip

    objects: BoolProperty(
        name="Scene Objects", description="Let the scene's objects cover the portrait where they are nearer to the camera: "
        "a second scene renders them, and is made if none is chosen",
        default=False,
    )  # fmt: skip

    objects_scene: StringProperty(name="Scene", description="Scene that renders the objects, with EEVEE or Cycles; empty for a new one")

    objects_layer: StringProperty(name="View Layer", description="Its view layer with the objects; empty for the first")

    lens: StringProperty(
        name="Lens",
        description="Movie clip whose tracking camera says how the plate's lens distorts: the portrait is distorted so; empty for none",
    )

    motion_blur: BoolProperty(
        name="Motion Blur", description="Blur the portrait along its motion, by the scene's shutter; makes the pass Vector",
        default=False,
    )  # fmt: skip

    depth_of_field: BoolProperty(
        name="Depth of Field", description="Blur the portrait where the scene's camera is not focused, by its aperture",
        default=False,
    )  # fmt: skip

    match_plate: BoolProperty(
        name="Match Plate", description="Give the portrait the grain and the softness of the plate, measured where that is flat and at its sharpest edges",
        default=False,
    )  # fmt: skip

    measured_x: FloatProperty(
        name="Measured X", description="Left side of the part of the plate that is measured, as a share of its width",
        default=0, min=0, max=1, subtype="FACTOR",
    )  # fmt: skip

    measured_y: FloatProperty(
        name="Measured Y", description="Lower side of the part of the plate that is measured, as a share of its height",
        default=0, min=0, max=1, subtype="FACTOR",
    )  # fmt: skip

    measured_width: FloatProperty(
        name="Measured Width", description="Of the part of the plate that is measured, as a share of the plate's",
        default=1, min=0, max=1, subtype="FACTOR",
    )  # fmt: skip

    measured_height: FloatProperty(
        name="Measured Height", description="Of the part of the plate that is measured, as a share of the plate's",
        default=1, min=0, max=1, subtype="FACTOR",
    )  # fmt: skip

    relight: BoolProperty(
        name="Relight", description="Add nodes that put another lamp on the portrait, off at first", default=False
    )  # fmt: skip

    def draw(self, _context: bpy.types.Context) -> None:
        self.layout.prop(self, "filepath")
        self.layout.prop(self, "sequence")
        self.layout.prop(self, "match_plate")
        measured = self.layout.column(align=True)
        measured.active = self.match_plate
        for name in REGION:
            measured.prop(self, name)
        self.layout.prop(self, "relight")
        self.layout.prop(self, "light_wrap")
        self.layout.prop_search(self, "lens", bpy.data, "movieclips")
        self.layout.prop(self, "motion_blur")
        self.layout.prop(self, "depth_of_field")
        self.layout.prop(self, "objects")
        column = self.layout.column()
        column.active = self.objects
        column.prop_search(self, "objects_scene", bpy.data, "scenes")
        chosen = bpy.data.scenes.get(self.objects_scene)
        if chosen is not None:
            column.prop_search(self, "objects_layer", chosen, "view_layers")

    def execute(self, context: bpy.types.Context) -> set[str]:
        objects = (self.objects_scene, self.objects_layer) if self.objects else None
        earlier = node_groups.outdated()
        try:
            setup_compositor(
                context.scene, self.filepath, self.light_wrap, objects, motion_blur=self.motion_blur, depth_of_field=self.depth_of_field,
                match_plate=self.match_plate, relight=self.relight, region=tuple(getattr(self, name) for name in REGION),
                sequence=self.sequence, lens=self.lens,
            )  # fmt: skip
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        for text in node_groups.update(earlier):
            self.report({"INFO"}, tr(text))
        if told := other_rate(self.filepath, context.scene):
            self.report({"WARNING"}, tr(told))
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_setup_compositor,)
