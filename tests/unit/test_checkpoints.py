"""Hostile and damaged checkpoints: one clear error each, soon, and nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.errors import StyleRigError
from models.generators import Generator, load_generator
from models.generators.checkpoints.pickles import TensorRecord, read_pickle
from models.generators.config import StyleGAN2Config
from models.io.pickles import ArrayRecord, PickleError
from tests.data.official_format import EasyDict, Module, Network, dumps, lively, official, snapshot, stylegan3_config

PICKLES = Path(__file__).parents[1] / "data" / "stylegan-pickles"
OFFICIAL = [PICKLES / "stylegan2-64.pkl", PICKLES / "stylegan3t-64.pkl"]
SMALL = StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, mapping_layers=2, mapping_lr_multiplier=0.01,
                        channels={4: 2, 8: 2}, conv_clamp=256.0)  # fmt: skip
SECONDS = 5.0


@pytest.fixture(autouse=True)
def tripwire():
    """No test may leave what the embedded source leaves when it is run."""
    mark = Path(tempfile.gettempdir(), "checkpoint-source-was-executed")
    assert not mark.exists()
    yield
    assert not mark.exists()


def small() -> Module:
    return official(lively(Generator.create(SMALL, seed=1)))


def refusal(data: bytes, path: Path) -> str:
    """The reason for which the file is refused, in time."""
    path.write_bytes(data)
    start = time.process_time()
    with pytest.raises(StyleRigError) as caught:
        load_generator(path)
    assert time.process_time() - start < SECONDS
    assert str(path) in caught.value.message and caught.value.hint and caught.value.code == "bad_generator"
    assert len(caught.value.message) < len(str(path)) + 300
    return caught.value.message.split(": ", 1)[1]


@pytest.fixture()
def path(tmp_path) -> Path:
    return tmp_path / "network.pkl"


@pytest.mark.parametrize("source", OFFICIAL, ids=lambda p: p.stem)
def test_truncated_files(source, path):
    data = source.read_bytes()
    for part in range(60):
        assert refusal(data[: len(data) * part // 60], path)
    assert refusal(data[:-1], path) == "it ends early."


def survives(data: bytes, path: Path) -> bool:
    """Whether a changed file loads; otherwise it must be refused as it should be."""
    path.write_bytes(data)
    start = time.process_time()
    try:
        load_generator(path)
        return True
    except StyleRigError as error:
        assert str(path) in error.message
        return False
    finally:
        assert time.process_time() - start < SECONDS


def flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 8))):
        place = draw.randrange(len(changed) * 8)
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


@pytest.mark.slow
def test_a_thousand_flipped_bits(path):
    draw = random.Random(7)
    sources = [dumps(snapshot(small())), dumps(snapshot(official(Generator.create(stylegan3_config(), seed=1))))]
    loaded = [survives(flipped(sources[number % 2], draw), path) for number in range(940)]
    real = [survives(flipped(OFFICIAL[number % 2].read_bytes(), draw), path) for number in range(60)]
    # A flip inside a number or an unused attribute cannot be told from a number.
    assert loaded.count(False) > 150 and real.count(True) > 10


def global_call(module: str, name: str, argument: str) -> bytes:
    """A pickle that calls module.name(argument), written by hand."""
    return (b"\x80\x04c" + module.encode() + b"\n" + name.encode() + b"\n\x8c"
            + bytes([len(argument)]) + argument.encode() + b"\x85R.")  # fmt: skip


@pytest.mark.parametrize("name", [
    "os.system", "posix.system", "builtins.eval", "builtins.getattr", "torch.load", "numpy.load", "pickle.loads",
    "torch.storage._load_from_bytes.__globals__", "collections.deque", "models.generators.load_generator",
    "dnnlib.util.open_url",
])  # fmt: skip
def test_names_that_no_checkpoint_needs(name, path):
    module, function = name.rsplit(".", 1)
    victim = path.with_name("victim")
    reason = refusal(global_call(module, function, f"touch {victim}"), path)
    assert name in reason and "no checkpoint needs" in reason
    assert not victim.exists()


def test_a_name_inside_a_storage_is_refused_too(path):
    blob = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + global_call("os", "system", "true")
    data = b"\x80\x04ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(blob)) + blob + b"\x85R."
    assert "os.system" in refusal(data, path)


@pytest.mark.parametrize("size", [2**31, 2**62, 2**64 - 1])
def test_huge_sizes(size, path):
    for opcode in (b"\x8e", b"\x8d"):
        assert refusal(b"\x80\x04" + opcode + struct.pack("<Q", size) + b".", path) == "it ends early."


def test_opcodes_that_would_take_memory_or_time(path):
    assert "recalls" in refusal(b"\x80\x04Nr\xff\xff\xff\xff0j\xfe\xff\xff\xff.", path)
    assert "opcodes" in refusal(b"\x80\x04" + b"N0" * 5_000_000, path)
    assert "opcodes" in refusal(b"\x80\x04" + b"(" * 3_000_000, path)
    assert "nested" in refusal(b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".", path)
    nested = b"\x80\x04}K\x01\x940"
    for index in range(60):  # a key whose hash visits 2^60 tuples
        nested += b"h" + bytes([index]) + b"h" + bytes([index]) + b"\x86\x940"
    assert "values, counting what it repeats" in refusal(nested + b"h\x3cNs.", path)
    colliding = b"".join(b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") for k in range(2, 50_000))
    assert "bits" in refusal(b"\x80\x04\x8f(" + colliding + b"\x90.", path)
    assert "whole number" in refusal(b"\x80\x04\x8a\xff" + b"\1" * 255 + b".", path)


@pytest.mark.parametrize("stream", [b"", b"t", b"\x94", b"Na", b"}(Nu", b"NNb", b"NNR", b"N)R", b"NQ", b"\x80\x09N",
                                    b"NN\x93", b"\x8c\x01\xff", b"i", b"\x82\x01"])  # fmt: skip
def test_streams_that_make_no_sense(stream, path):
    assert refusal(b"\x80\x04" + stream + b".", path)


class Call:
    """Pickled as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def view(offset, shape, stride, numbers: int = 24) -> Call:
    storage = torch.arange(float(numbers)).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    return Call(torch._utils._rebuild_tensor_v2, typed, offset, shape, stride, False, {})


def test_views_of_a_storage_are_what_torch_makes_of_them():
    whole = torch.arange(24.0)
    for shape, stride, offset in [((2, 3, 4), (12, 4, 1), 0), ((4, 3), (1, 4), 2), ((3, 1, 2), (5, 99, 2), 1),
                                  ((), (), 23), ((1, 1), (0, 0), 3), ((0, 3), (3, 1), 0)]:  # fmt: skip
        record = read_pickle(dumps(view(offset, shape, stride)))
        assert isinstance(record, TensorRecord)
        assert torch.equal(record.tensor(), whole.as_strided(shape, stride, offset))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_kinds_of_numbers(kind):
    value = torch.tensor([[1.5, 0, 2], [3, 1, 0]]).to(kind)
    assert torch.equal(read_pickle(dumps(value.t())).tensor(), value.t().float())


@pytest.mark.parametrize("offset, shape, stride, reason", [
    (0, (25,), (1,), "outside"), (1, (24,), (1,), "outside"), (24, (), (), "outside"),
    (0, (2, 2), (23, 1), "outside"), (2**39, (1,), (1,), "outside"), (0, (2**40,), (1,), "outside"),
    (-1, (2,), (1,), "offset"), (0, (-1,), (1,), "shape"),
    (0, (2,), (-1,), "stride"), (0, (2**63,), (1,), "shape"), (0, (2**40, 2**40), (0, 0), "overlaps"),
    (0, (4, 4), (1, 1), "overlaps"), (0, (8,), (0,), "overlaps"), (0, (3, 4), (2, 1), "overlaps"),
    (0, (2, 3), (1,), "strides"), (0, (1,) * 9, (1,) * 9, "tuple"), (0, [2], [1], "tuple"),
    (0, (2.0,), (1,), "sizes"),
    (0, (True,), (1,), "sizes"), (None, (2,), (1,), "offset"),
])  # fmt: skip
def test_views_outside_or_over_themselves(offset, shape, stride, reason, path):
    module = small()
    module.find("synthesis.b4").state["_parameters"]["const"] = view(offset, shape, stride)
    assert reason in refusal(dumps(snapshot(module)), path)


def test_storages_that_lie(path):
    data = dumps(snapshot(small()))
    place = data.index(b"FloatStorage")
    assert refusal(data[:place] + b"DoubleStorag" + data[place + 12 :], path)
    place = data.index(b"little_endian") + len("little_endian")
    assert "little-endian" in refusal(data[:place] + data[place:].replace(b"\x88", b"\x89", 1), path)
    assert "legacy format" in refusal(data.replace(b"\x8a\nl\xfc", b"\x8a\nm\xfc", 1), path)


def test_arrays():
    value = np.arange(6.0).reshape(2, 3)
    for array in (value, np.asfortranarray(value), value.astype("f2"), value.astype("i8")):
        record = read_pickle(dumps(array, 4))
        assert isinstance(record, ArrayRecord) and record.array().dtype == array.dtype
        assert np.array_equal(record.array(), array)
    assert read_pickle(dumps([np.float64(1.5), np.bool_(True), np.int32(-3)])) == [1.5, True, -3]
    assert np.array_equal(read_pickle(dumps(value.astype(">f8"))).array(), value)
    for bad in (np.array([{}]), np.array(["a"]), np.zeros(2, "c8"), np.zeros(2, "f4,f4")):
        with pytest.raises(PickleError):
            read_pickle(dumps(bad, 4)).array()


def test_tables_take_no_attributes():
    """BUILD could set attributes on whatever an unpickler hands out."""
    table = EasyDict(path="faces.zip")
    table.__dict__["update"] = "print"
    assert read_pickle(dumps(table)) == {"path": "faces.zip"}
    for target in (b"cbuiltins\nset\n", b"ctorch.storage\n_load_from_bytes\n", b"N", b"]"):
        with pytest.raises(PickleError, match="changed"):
            read_pickle(b"\x80\x04" + target + b"}\x8c\x08__call__Nsb.")


def test_memory_stays_in_proportion_to_the_file(path):
    shared = torch.zeros(250_000)
    module = small()
    for index in range(1000):
        module.state["_buffers"][f"b{index}"] = shared
    data = dumps(snapshot(module))
    tracemalloc.start()
    try:
        assert "more than the file" in refusal(data, path)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(data) + 4_000_000
    finally:
        tracemalloc.stop()


def test_modules_within_themselves(path):
    module = small()
    module.find("synthesis.b8").state["_modules"]["again"] = [module]
    module.find("synthesis.b8").state["_modules"]["again"] = module.find("synthesis")
    assert refusal(dumps(snapshot(module)), path)
    for levels, reason in ((2, "more than 4096 tensors"), (7, "values, counting what it repeats")):
        branch = Module("Leaf", {"x": torch.zeros(1)})
        for _ in range(levels):  # 70 times as many modules each time, if each were visited
            branch = Module("Branch", modules={f"m{k}": branch for k in range(70)})
        module = small()
        module.state["_modules"]["branch"] = branch
        assert reason in refusal(dumps(snapshot(module)), path)


def change(where: str, table: str, name: str, value) -> Module:
    module = small()
    target = module.find(where) if where else module
    (target.state[table] if table else target.state)[name] = value
    return module


@pytest.mark.parametrize("where, table, name, value, reason", [
    ("synthesis.b8.conv1", "_parameters", "weight", torch.zeros(2, 2, 1, 1), "shape (2, 2, 1, 1)"),
    ("synthesis.b8.conv1", "_parameters", "weight", None, "conv1.weight is missing"),
    ("synthesis.b8.conv1", "_parameters", "bias", torch.tensor([0.0, float("nan")]), "not numbers"),
    ("synthesis.b8.conv1", "_parameters", "more", torch.zeros(2), "does not belong"),
    ("synthesis.b8.conv1", "_parameters", "bias", "text", "is not a tensor"),
    ("synthesis.b8.conv1", "_buffers", "resample_filter", torch.ones(4, 4) / 16, "[1, 3, 3, 1]"),
    ("synthesis.b8.conv1", "", "activation", "relu", "'relu'"),
    ("synthesis.b8.conv1", "", "conv_clamp", 1.0, "clamped in 2 ways"),
    ("synthesis.b8", "", "architecture", "resnet", "'resnet'"),
    ("synthesis", "_modules", "b8x", Module("Block"), "'b8x'"),
    ("synthesis", "_modules", "b08", Module("Block"), "'b08'"),
    ("synthesis", "_modules", "b2000", Module("Block"), "'b2000'"),
    ("mapping", "_modules", "fc0", None, "'fc0'"),
    ("mapping", "", "num_layers", 2**50, "num_layers"),
    ("mapping", "", "num_layers", 10**6, "mapping_layers"),
    ("mapping.fc0", "", "bias_gain", float("nan"), "bias_gain"),
    ("", "", "w_dim", 4096, "asks for"),
    ("", "", "z_dim", "4", "z_dim"),
    ("", "", "img_resolution", 24, "power of two"),
    ("", "", "img_resolution", 1024, "channel count"),
    ("", "", "img_channels", 1, "pictures of 1 channels"),
    ("", "_modules", "synthesis", None, "no mapping and synthesis"),
])  # fmt: skip
def test_networks_that_do_not_fit(where, table, name, value, reason, path):
    assert reason in refusal(dumps(snapshot(change(where, table, name, value))), path) or (
        name == "synthesis" and "no 'synthesis'" in refusal(path.read_bytes(), path)
    )


@pytest.mark.parametrize("where, name, value, reason", [
    ("synthesis.L1_52_6", "padding", [0, 0, 0, 0], "comes out at"),
    ("synthesis.L1_52_6", "padding", [10**9] * 4, "padding"),
    ("synthesis.L1_52_6", "up_factor", 2**30, "up"),
    ("synthesis.L1_52_6", "in_size", np.array([36, 40]), "not square"),
    ("synthesis.L1_52_6", "in_channels", 9, "but gets 8"),
    ("synthesis.L1_52_6", "down_radial", 1, "down_radial"),
    ("synthesis.input", "size", np.array([2**40] * 2), "input_size"),
    ("synthesis.input", "bandwidth", 99.0, "bandwidth"),
    ("synthesis", "layer_names", ["L0_36_8"], "puts out"),
    ("synthesis", "layer_names", "L0_36_8", "list of layers"),
    ("synthesis", "output_scale", None, "output_scale"),
])  # fmt: skip
def test_stylegan3_that_does_not_fit(where, name, value, reason, path):
    module = official(Generator.create(stylegan3_config(), seed=1))
    module.find(where).state[name] = value
    assert reason in refusal(dumps(snapshot(module)), path)


def endless() -> tuple:
    """A value that takes 2^60 steps to hash, print or compare with its like."""
    value: tuple = ("x",)
    for _ in range(60):
        value = (value, value)
    return value


def test_values_that_take_for_ever_to_hash_or_print(path):
    module = official(Generator.create(stylegan3_config(), seed=1))
    for where, name in (("synthesis.L1_52_6", "padding"), ("synthesis.input", "size"), ("synthesis", "layer_names"),
                        ("synthesis.L1_52_6", "conv_clamp"), ("mapping.fc0", "bias_gain")):  # fmt: skip
        state = module.find(where).state
        before, state[name] = state[name], [endless()] * 4
        assert refusal(dumps(snapshot(module)), path)
        state[name] = before
    for name, value in (("architecture", endless()), ("static_kwargs", {"architecture": endless()})):
        network = Network(version=4, static_kwargs={}, components={}, variables=[(endless(), 1)])
        setattr(network, name, value)
        assert refusal(dumps((network, network, network)), path)
    deep = dumps(endless())
    kind = b"cnumpy\ndtype\n" + deep[deep.index(b"\x8c") : -1]
    assert "values, counting what it repeats" in refusal(b"\x80\x04" + kind + b"\x85R.", path)
    for place in (b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00", b"c_codecs\nencode\n(", b"cbuiltins\nset\n("):
        assert refusal(b"\x80\x04" + place + deep[deep.index(b"\x8c") : -1] + b"tR.", path)


def test_what_is_no_generator_is_refused_by_name(path):
    judge = Module("Discriminator", {"weight": torch.zeros(2)})
    assert "discriminator only" in refusal(dumps(snapshot(None, D=judge)), path)
    assert "'Discriminator'" in refusal(dumps(judge), path)
    assert "'VGG16'" in refusal(dumps(Module("VGG16")), path)
    assert "no StyleGAN generator" in refusal(dumps({"epoch": 3}), path)
    assert "no network" in refusal(dumps([1, 2]), path)


def test_a_generator_alone_or_without_an_average_is_read(path):
    for content in (small(), {"G": small(), "D": Module("Discriminator")}):
        path.write_bytes(dumps(content))
        assert load_generator(path).resolution == 8


def test_layers_without_noise(path):
    module = small()
    for name in ("b4.conv1", "b8.conv0", "b8.conv1"):
        layer = module.find(f"synthesis.{name}").state
        layer["use_noise"] = False
        del layer["_parameters"]["noise_strength"], layer["_buffers"]["noise_const"]
    path.write_bytes(dumps(snapshot(module)))
    generator = load_generator(path)
    w = torch.randn(1, 4, 4)
    assert torch.allclose(generator.synthesis(w, noise="const"), generator.synthesis(w, noise="none"), atol=1e-6)


@pytest.mark.parametrize("config", [{"kind": "stylegan2", "z_dim": 4096, "w_dim": 4096, "mapping_layers": 16},
                                    {"kind": "stylegan9"}, {"kind": ["stylegan2"]}, {"kind": "stylegan3"},
                                    {"kind": "stylegan3", "layers": [{"padding": None}]}])  # fmt: skip
def test_our_own_files_may_not_ask_for_more_than_they_hold(config, tmp_path):
    path = tmp_path / "network.safetensors"
    header = {"format": "stylerig-generator-1", "config": json.dumps(config), "metadata": "{}"}
    save_file({"x": torch.zeros(2)}, path, header)
    assert refusal(path.read_bytes(), path)


def test_a_folder_or_an_empty_file(tmp_path):
    with pytest.raises(StyleRigError, match="it is a folder"):
        load_generator(tmp_path)
    assert refusal(b"", tmp_path / "empty.pkl")
    assert refusal(os.urandom(100), tmp_path / "noise.pkl")
