"""Cryptomattes of portraits and their parts: Blender's own node picks them by name, and files say what they hold."""

from __future__ import annotations

import json

import bpy
import numpy as np
import pytest
from output_shot import KnownClient, add_rig, module, prepare, random_frame, read_exr, render_still, stacked, use_client

SIZE = 48
ALPHA = {7: 1.0, 8: 0.75}
HAIR = 0.25  # of the alpha


@pytest.fixture
def scene(extension, empty_scene, monkeypatch):
    """Two whole heads one before the other: the far one opaque, the near one a veil, each a quarter hair and the rest skin."""

    def draw(controls, size):
        frame = random_frame(controls, size) | {"placement": np.zeros(6)}
        alpha = ALPHA[client.requests[-1]["portrait"]["seed"]]
        frame["Combined"][:] = alpha
        mattes = {"HairMatte": HAIR, "SkinMatte": 1 - HAIR}
        wanted = client.requests[-1]["passes"]
        return frame | {name: np.full((size, size, 1), share * alpha, dtype=np.float32) for name, share in mattes.items() if name in wanted}

    client = KnownClient(draw)
    use_client(extension, monkeypatch, client)
    prepare(extension, empty_scene, SIZE, SIZE)
    other = add_rig(extension, seed=8)
    other.location.y = -0.5
    for rig in (item for item in empty_scene.objects if item.type == "ARMATURE"):
        portrait = json.loads(rig.stylerig.portrait)
        rig.stylerig.portrait = json.dumps(portrait | {"frame": {"center": [0, 0, 0], "half_width": 20.0}})
    layer = empty_scene.view_layers[0]
    layer.use_pass_cryptomatte_object = layer.use_pass_cryptomatte_material = True
    return empty_scene


WANTED = {"Portrait 7": 0.25, "Portrait 8": 0.75, "Portrait 7 hair": 0.0625, "Portrait 8 skin": 0.5625, "Nobody": 0.0}


@pytest.mark.parametrize("name", WANTED)
def test_blenders_node_picks_a_name(extension, scene, tmp_path, name):
    compositor = module(extension, "render.compositor")
    tree = compositor.ensure_tree(scene)
    layers = compositor.render_layers(tree, scene)
    node = tree.nodes.new("CompositorNodeCryptomatteV2")
    node.source, node.scene = "RENDER", scene
    node.layer_name = f"{scene.view_layers[0].name}.{'CryptoMaterial' if len(name.split()) == 3 else 'CryptoObject'}"
    node.matte_id = name
    tree.links.new(layers.outputs["Image"], node.inputs["Image"])
    tree.links.new(node.outputs["Matte"], compositor.output_socket(tree))
    compositor.set_exact_colours(scene)
    picture = render_still(scene, tmp_path / "matte.png")
    light = picture[SIZE // 2, SIZE // 2, 0] / 255
    linear = light / 12.92 if light <= 0.04045 else ((light + 0.055) / 1.055) ** 2.4
    assert linear == pytest.approx(WANTED[name], abs=0.01)


def test_files_hold_the_layers_and_their_manifest(extension, scene, tmp_path):
    module(extension, "render.sequence").setup_sequence(scene, str(tmp_path))
    scene.frame_end = 1
    bpy.ops.render.render(animation=True)
    path = tmp_path / "passes" / "frame_0001.exr"
    channels = read_exr(path, tmp_path)
    cryptomatte = module(extension, "protocol.cryptomatte")
    for layer, names in (("CryptoObject", ("Portrait 8", "Portrait 7")), ("CryptoMaterial", ("Portrait 8 skin",))):
        first = stacked(channels, f"{layer}00", "rgba")[SIZE // 2, SIZE // 2]
        for place, name in enumerate(names):
            wanted = np.array(cryptomatte.identifier(name), dtype=np.uint32).view(np.float32)
            assert first[2 * place] == wanted and first[2 * place + 1] == pytest.approx(WANTED[name], abs=1e-4)
    texts = path.read_bytes()[:20000].decode("latin-1")
    assert "MurmurHash3_32" in texts and f'"Portrait 8 hair":"{cryptomatte.identifier("Portrait 8 hair"):08x}"' in texts


def test_without_them_nothing_is_made(extension, scene, tmp_path):
    layer = scene.view_layers[0]
    layer.use_pass_cryptomatte_object = layer.use_pass_cryptomatte_material = False
    names = [entry.name for entry in module(extension, "render.passes").passes_of(layer)]
    assert not any(name.startswith("Crypto") for name in names)
    layer.use_pass_cryptomatte_material, layer.pass_cryptomatte_depth = True, 2
    names = [entry.name for entry in module(extension, "render.passes").passes_of(layer)]
    assert [name for name in names if name.startswith("Crypto")] == ["CryptoMaterial00"]
