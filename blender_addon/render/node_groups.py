"""Node groups of the compositor by version: a file keeps those that an earlier StyleRig made until they are updated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import bpy

from ..errors import Text
from ..rig.animation import curves_of
from ..translations import tr
from . import relight_group, shot_group

VERSION = "stylerig_version"  # property of a group; the first ones have none
GROUPS: dict[str, tuple[int, Callable[[], bpy.types.NodeTree]]] = {
    shot_group.NAME: (2, shot_group.make),  # 1: light wrapped also where an object of the scene begins
    relight_group.NAME: (2, relight_group.make),  # 1: without Occlusion
}


def node_group(name: str) -> bpy.types.NodeTree:
    """The file's group of this name, made or updated where there is none of this version; an artist's changes to it stay."""
    version, make = GROUPS[name]
    known = known_group(name)
    if known is not None and version_of(known) >= version:
        return known
    if known is not None:
        known.name, known.use_fake_user = f"{name} (old)", True
    made = make()
    made[VERSION] = version
    for tree, node in users_of(known):
        exchange(tree, node, made)
    return made


def known_group(name: str) -> bpy.types.NodeTree | None:
    """The group of this name that belongs to this file."""
    found = bpy.data.node_groups.get((name, None))
    return found if found is not None and found.bl_idname == "CompositorNodeTree" else None


def version_of(group: bpy.types.NodeTree) -> int:
    return int(group.get(VERSION, 1))


def outdated() -> dict[str, bpy.types.NodeTree]:
    """The file's groups that an earlier version made, by name."""
    known = {name: known_group(name) for name in GROUPS}
    return {name: group for name, group in known.items() if group is not None and version_of(group) < GROUPS[name][0]}


def update(earlier: dict[str, bpy.types.NodeTree]) -> list[Text]:
    """Put this version's groups in the place of these, where it has not been done; what to tell of it."""
    for name in earlier:
        node_group(name)
    return [
        Text(
            "The node group “{name}” was of an earlier version: a new one is in its place, the old one stays as “{old}”.",
            name=name,
            old=old.name,
        )
        for name, old in earlier.items()
    ]


def users_of(group: bpy.types.NodeTree | None) -> Iterator[tuple[bpy.types.NodeTree, bpy.types.Node]]:
    """Nodes that show a group, each with its tree."""
    trees = [scene.node_tree for scene in bpy.data.scenes if getattr(scene, "node_tree", None)]  # of 4.5
    for tree in (*trees, *bpy.data.node_groups):
        if group is not None and tree.bl_idname == "CompositorNodeTree":
            yield from ((tree, node) for node in tree.nodes if getattr(node, "node_tree", None) == group)


def exchange(tree: bpy.types.NodeTree, node: bpy.types.Node, group: bpy.types.NodeTree) -> None:
    """Let a node show another group: values, links and keys go on with the sockets of the same names."""
    values = {socket.name: value_of(socket) for socket in node.inputs}
    places = [socket.name for socket in node.inputs]
    sources = [(link.from_socket, link.to_socket.name) for link in tree.links if link.to_node == node]
    targets = [(link.from_socket.name, link.to_socket) for link in tree.links if link.from_node == node]
    for link in [link for link in tree.links if node in (link.from_node, link.to_node)]:
        tree.links.remove(link)
    node.node_tree = group
    for socket in node.inputs:
        socket.default_value = values.get(socket.name, value_of(socket))
    for source, name in sources:
        if name in node.inputs:
            tree.links.new(source, node.inputs[name])
    for name, target in targets:
        if name in node.outputs:
            tree.links.new(node.outputs[name], target)
    move_keys(tree, node, places)


def value_of(socket: bpy.types.NodeSocket) -> float | tuple:
    value = socket.default_value
    return value if isinstance(value, float) else tuple(value)


def move_keys(tree: bpy.types.NodeTree, node: bpy.types.Node, places: list[str]) -> None:
    """Let keys and drivers of a node's inputs, which once were called ``places``, be those of the same names."""
    path = re.compile(rf'nodes\["{re.escape(bpy.utils.escape_identifier(node.name))}"\]\.inputs\[(\d+)\](.*)', re.DOTALL)
    animation = tree.animation_data
    for curve in [*(curves_of(tree) or ()), *(animation.drivers if animation is not None else ())]:
        found = path.fullmatch(curve.data_path)
        now = node.inputs.find(places[int(found[1])]) if found else -1
        if found and now >= 0:
            curve.data_path = f'nodes["{bpy.utils.escape_identifier(node.name)}"].inputs[{now}]{found[2]}'


class STYLERIG_OT_update_node_groups(bpy.types.Operator):
    """Put this version's node groups in the place of those that an earlier version made; settings, links and keys go on"""

    bl_idname = "stylerig.update_node_groups"
    bl_label = "Update Node Groups"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if not outdated():
            cls.poll_message_set("All node groups of this file are of this version")
        return bool(outdated())

    def execute(self, _context: bpy.types.Context) -> set[str]:
        for text in update(outdated()):
            self.report({"INFO"}, tr(text))
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_update_node_groups,)
