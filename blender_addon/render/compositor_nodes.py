"""Nodes of compositor trees as Blender 4.5 and 5.x have them."""

from __future__ import annotations

import bpy

NODE_PREFIX = "StyleRig"  # names of the nodes that are made here begin with this
PLATE = f"{NODE_PREFIX} Plate"


def has_group_tree() -> bool:
    """Whether a scene's compositor is a node group of its own (5.0) or part of the scene (4.5)."""
    return bpy.app.version >= (5, 0, 0)


def scene_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """The compositor tree that the scene uses, if it uses one."""
    if has_group_tree():
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def set_option(node: bpy.types.Node, attribute: str, socket: str, value: str, label: str) -> None:
    """An option that is a property of the node in 4.5 and a menu socket, by its label, in 5.x."""
    if hasattr(node, attribute):
        setattr(node, attribute, value)
    else:
        node.inputs[socket].default_value = label


def layers_node(tree: bpy.types.NodeTree, scene: bpy.types.Scene) -> bpy.types.Node:
    """The tree's first Render Layers node of this scene, or a new one."""
    for node in tree.nodes:
        if node.bl_idname == "CompositorNodeRLayers" and node.scene in (scene, None):
            return node
    return tree.nodes.new("CompositorNodeRLayers")


def show_scene(node: bpy.types.Node, scene: bpy.types.Scene) -> None:
    """Let a Render Layers node show a scene, with sockets of all its passes."""
    node.scene = scene
    for view_layer in scene.view_layers:
        view_layer.update_render_passes()


def named_node(tree: bpy.types.NodeTree, kind: str, name: str) -> bpy.types.Node:
    """A new node that the next set-up replaces."""
    node = tree.nodes.new(kind)
    node.name = node.label = f"{PLATE} {name}"
    return node


def plate_step(tree: bpy.types.NodeTree, source: bpy.types.Node, kind: str, name: str) -> bpy.types.Node:
    """A node of the plate's chain that takes its picture from ``source``."""
    node = named_node(tree, kind, name)
    tree.links.new(source.outputs["Image"], node.inputs["Image"])
    return node


def over_node(tree: bpy.types.NodeTree, name: str, below: bpy.types.NodeSocket, above: bpy.types.NodeSocket) -> bpy.types.Node:
    """An Alpha Over node."""
    node = named_node(tree, "CompositorNodeAlphaOver", name)
    pictures = [socket for socket in node.inputs if socket.type == "RGBA"]  # background, foreground
    tree.links.new(below, pictures[0])
    tree.links.new(above, pictures[1])
    return node


def math_node(
    tree: bpy.types.NodeTree, name: str, operation: str, first: float | bpy.types.NodeSocket, second: bpy.types.NodeSocket
) -> bpy.types.Node:
    """A Math node of a number or a socket and a socket."""
    node = named_node(tree, "ShaderNodeMath", name)
    node.operation = operation
    if isinstance(first, float):
        node.inputs[0].default_value = first
    else:
        tree.links.new(first, node.inputs[0])
    tree.links.new(second, node.inputs[1])
    return node


def mix_node(tree: bpy.types.NodeTree, name: str, blend: str, *sockets: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """The result of a Mix node of a factor and two colours; the alpha is the first colour's."""
    node = named_node(tree, "ShaderNodeMix", name)
    node.data_type, node.blend_type, node.clamp_factor = "RGBA", blend, True
    colours = [socket for socket in (*node.inputs, *node.outputs) if socket.type == "RGBA"]
    for source, target in zip(sockets, (node.inputs[0], *colours[:2]), strict=True):
        tree.links.new(source, target)
    return colours[2]


def arrange(*places: tuple[bpy.types.Node, float, float]) -> None:
    """Move nodes to (x, y) in the node editor."""
    for node, x, y in places:
        node.location = (x, y)
