"""The portrait over a background plate, in the compositor trees of Blender 4.5 and of 5.x."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.props import BoolProperty, FloatProperty, StringProperty

from ..errors import UserError
from ..translations import tr_error
from .compositor_nodes import (
    NODE_PREFIX,
    PLATE,
    arrange,
    blur_node,
    layers_node,
    math_node,
    mix_node,
    named_node,
    over_node,
    plate_step,
    set_option,
    show_scene,
)
from .farm_script import leave_script
from .portrait_camera import ensure_camera
from .scene_objects import OBJECTS, covered, objects_layer

GRADIENT_SIZE = 256
LIGHT_WRAP = 0.25  # how much of the plate's light goes round the head's edges
DEFOCUS_MAX = 0.1  # of the picture's longer side; a larger blur is cut off there
BLADES = {3: "TRIANGLE", 4: "SQUARE", 5: "PENTAGON", 6: "HEXAGON", 7: "HEPTAGON", 8: "OCTAGON"}  # of an aperture
WRAP_WIDTH = 0.02  # of the picture's shorter side


def has_group_tree() -> bool:
    """Whether a scene's compositor is a node group of its own (5.0) or part of the scene (4.5)."""
    return bpy.app.version >= (5, 0, 0)


def scene_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """The compositor tree that the scene uses, if it uses one."""
    if has_group_tree():
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


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
    plate: str = "",
    light_wrap: float = LIGHT_WRAP,
    objects: tuple[str, str] | None = None,
    motion_blur: bool = False,
    depth_of_field: bool = False,
) -> bpy.types.NodeTree:
    """Put the scene's render over a plate: the picture or movie ``plate``, else a plain gradient.

    ``light_wrap``: how much of the plate's light goes round the edges of the head; 0 makes no
    nodes for it. ``objects``: names of another scene and its view layer, which renders the objects
    that are before and behind the portraits; empty names: a scene that is made for it, its first layer.
    ``motion_blur``: blur the portraits along the pass Vector, which is switched on, by the scene's shutter.
    ``depth_of_field``: blur them as far as they are out of the focus of the scene's camera, by its aperture.
    Nodes of an earlier call are replaced, an artist's own nodes stay, a camera is added where the
    scene has none, and the film becomes transparent. Raises UserError.
    """
    image = load_plate(plate) if plate else gradient_plate()
    tree = ensure_tree(scene)
    target = output_socket(tree)
    ensure_camera(scene)
    if depth_of_field:
        check_lens(scene.camera)
    shown = objects_layer(scene, objects[0] or objects_scene(tree), objects[1]) if objects else None
    for node in [node for node in tree.nodes if node.name.startswith(PLATE)]:
        tree.nodes.remove(node)
    for view_layer in scene.view_layers if motion_blur else ():
        view_layer.use_pass_vector = True
        scene.render.use_motion_blur = False  # or all would be blurred twice
    layers = render_layers(tree, scene)
    source = plate_nodes(tree, image).outputs["Image"]
    portrait, matte = layers.outputs["Image"], layers.outputs["HeadMatte"]
    if motion_blur:
        portrait, matte = (vector_blur(tree, layers, scene, socket) for socket in (portrait, matte))
    if depth_of_field:
        portrait, matte = (defocus(tree, layers, scene, socket) for socket in (portrait, matte))
    if shown:
        compared = covered(tree, (portrait, matte, layers.outputs["HeadDepth"]), source, shown)
        result, matte = compared.picture, compared.matte
    else:
        result = over_node(tree, "Over", source, portrait).outputs["Image"]
        arrange((result.node, 320, -60))
    if light_wrap > 0:
        result = wrap_nodes(tree, result, source, matte, light_wrap, scene)
    tree.links.new(result, target)
    arrange((layers, 0, 0), (target.node, 1160, -60))
    scene.render.film_transparent = True
    set_exact_colours(scene)
    leave_script()
    return tree


def objects_scene(tree: bpy.types.NodeTree) -> str:
    """The name of the scene whose objects an earlier set-up shows."""
    node = tree.nodes.get(OBJECTS)
    return node.scene.name if node is not None and node.scene is not None else ""


def plate_nodes(tree: bpy.types.NodeTree, image: bpy.types.Image) -> bpy.types.Node:
    """Nodes that show the image, scaled to fill the render and opaque; returns the last of them.

    Scaling mixes the outermost pixels with nothing: their colour is taken back out of the mixture.
    """
    picture = tree.nodes.new("CompositorNodeImage")
    picture.name = picture.label = PLATE
    picture.image = image
    if image.source in {"MOVIE", "SEQUENCE"}:
        picture.frame_duration = max(image.frame_duration, 1)
        picture.use_auto_refresh = True
    scale = plate_step(tree, picture, "CompositorNodeScale", "Scale")
    set_option(scale, "space", "Type", "RENDER_SIZE", "Render Size")
    set_option(scale, "frame_method", "Frame Type", "CROP", "Crop")
    straight = plate_step(tree, scale, "CompositorNodePremulKey", "Straight")
    set_option(straight, "mapping", "Type", "PREMUL_TO_STRAIGHT", "To Straight")
    opaque = plate_step(tree, straight, "CompositorNodeSetAlpha", "Opaque")
    set_option(opaque, "mode", "Type", "REPLACE_ALPHA", "Replace Alpha")
    arrange((picture, -620, -420), (scale, -340, -420), (straight, -160, -420), (opaque, 20, -420))
    return opaque


def vector_blur(
    tree: bpy.types.NodeTree, layers: bpy.types.Node, scene: bpy.types.Scene, picture: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    """A Vector Blur node: the picture of the Render Layers node as the scene's shutter sees it move."""
    node = named_node(tree, "CompositorNodeVecBlur", f"Motion Blur {picture.name}")
    depth = "Depth" if "Depth" in node.inputs else "Z"
    for source, socket in ((picture, "Image"), (layers.outputs["HeadDepth"], depth), (layers.outputs["Vector"], "Speed")):
        tree.links.new(source, node.inputs[socket])
    node.inputs["Shutter"].default_value = scene.render.motion_blur_shutter
    arrange((node, 160, 120 if picture.type == "RGBA" else -160))
    return node.outputs["Image"]


def defocus(
    tree: bpy.types.NodeTree, layers: bpy.types.Node, scene: bpy.types.Scene, picture: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    """A Defocus node: a picture of the Render Layers node as the scene camera's lens sees it, by HeadDepth.

    The node reads focus and focal length of the camera at each frame; a driver tells it the f-number.
    """
    node = named_node(tree, "CompositorNodeDefocus", f"Depth of Field {picture.name}")
    node.scene, node.use_zbuffer = scene, True
    node.blur_max = DEFOCUS_MAX * max(scene.render.resolution_x, scene.render.resolution_y)
    if hasattr(node, "use_preview"):
        node.use_preview = False
    lens = scene.camera.data
    if lens.dof.aperture_blades in BLADES:
        node.bokeh, node.angle = BLADES[lens.dof.aperture_blades], lens.dof.aperture_rotation
    f_number = node.driver_add("f_stop").driver
    f_number.type = "SUM"
    target = f_number.variables.new().targets[0]
    target.id_type, target.id, target.data_path = "CAMERA", lens, "dof.aperture_fstop"
    tree.links.new(picture, node.inputs["Image"])
    tree.links.new(layers.outputs["HeadDepth"], node.inputs["Z"])
    arrange((node, 240, 240 if picture.type == "RGBA" else -280))
    return node.outputs["Image"]


def check_lens(camera: bpy.types.Object) -> None:
    """Raise UserError for a camera that has no depth of field."""
    if camera.type != "CAMERA" or camera.data.type != "PERSP":
        raise UserError(
            "no_lens",
            "“{name}” is no perspective camera: it has no depth of field.",
            "Change its type, or set up the compositor without Depth of Field.",
            name=camera.name,
        )


def wrap_nodes(
    tree: bpy.types.NodeTree,
    over: bpy.types.NodeSocket,
    plate: bpy.types.NodeSocket,
    matte: bpy.types.NodeSocket,
    strength: float,
    scene: bpy.types.Scene,
) -> bpy.types.NodeSocket:
    """Nodes that add the plate's light to the inner edge of the matte, as bright surroundings wrap round a head.

    over + strength · blurred plate · matte · 2 (1 - blurred matte): nothing but a rim as wide as
    the blur. All arguments but the last two are sockets.
    """
    radius = max(round(WRAP_WIDTH * min(scene.render.resolution_x, scene.render.resolution_y)), 1)
    around = blur_node(tree, plate, "Wrap Light", 2 * radius)
    soft = blur_node(tree, matte, "Wrap Matte", radius)
    outside = math_node(tree, "Wrap Outside", "SUBTRACT", 1.0, soft.outputs["Image"])
    rim = math_node(tree, "Wrap Rim", "MULTIPLY", matte, outside.outputs["Value"])
    amount = math_node(tree, "Wrap Strength", "MULTIPLY", 2 * strength, rim.outputs["Value"])
    added = mix_node(tree, "Wrap", "ADD", amount.outputs["Value"], over, around.outputs["Image"])
    arrange((around, 320, -420), (soft, 320, -700), (outside, 520, -700), (rim, 700, -640), (amount, 880, -560), (added.node, 940, -60))
    return added


def load_plate(path: str) -> bpy.types.Image:
    """The picture or movie at ``path`` as an image datablock. Raises UserError."""
    try:
        image = bpy.data.images.load(bpy.path.abspath(path), check_existing=True)
    except RuntimeError as error:
        raise UserError("bad_plate", "The plate {path} cannot be read.", "Choose a picture or a movie.", path=path) from error
    if not image.size[0]:
        bpy.data.images.remove(image)
        raise UserError("bad_plate", "The plate {path} is not a picture.", "Choose a picture or a movie.", path=path)
    return image


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

    motion_blur: BoolProperty(
        name="Motion Blur", description="Blur the portrait along its motion, by the scene's shutter; makes the pass Vector",
        default=False,
    )  # fmt: skip

    depth_of_field: BoolProperty(
        name="Depth of Field", description="Blur the portrait where the scene's camera is not focused, by its aperture",
        default=False,
    )  # fmt: skip

    def draw(self, _context: bpy.types.Context) -> None:
        self.layout.prop(self, "filepath")
        self.layout.prop(self, "light_wrap")
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
        try:
            setup_compositor(context.scene, self.filepath, self.light_wrap, objects, self.motion_blur, self.depth_of_field)
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_setup_compositor,)
