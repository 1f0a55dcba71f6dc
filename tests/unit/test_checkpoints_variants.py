"""Every layout in which people have generators: read whole, or refused by the words of docs/generators.md."""

from __future__ import annotations

import argparse
import gzip
import pathlib
import sys
import tarfile
import types
import zipfile
from collections import OrderedDict, defaultdict
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from backend.cli import main
from models.errors import StyleRigError
from models.generators import Generator, latents_from_seed, load_generator
from models.generators.checkpoints.nvidia_state import AS_PUBLISHED, NOT_CLAMPED
from models.generators.checkpoints.rosinality import NO_AVERAGE, NO_NOISE
from models.generators.config import StyleGAN2Config
from models.generators.layers import blur_kernel
from tests.data.official_format import EasyDict, lively, official, official_names, snapshot, stylegan3_config
from tests.data.rosinality_format import SMALL, encoder_of_psp, prefixed, their_classes, theirs, whole_network
from tests.helpers.damage import zip_with_a_long_list

ROOT = Path(__file__).resolve().parents[2]


def ours(**changes) -> Generator:
    return lively(Generator.create(StyleGAN2Config(**{**SMALL.to_json(), **changes}), seed=3))


def nvidia_state(generator: Generator) -> dict[str, torch.Tensor]:
    """state_dict() of NVIDIA's network: our names, and a filter in each layer."""
    layers = [name.removesuffix(".noise_const") for name in generator.state_dict() if name.endswith("noise_const")]
    return dict(generator.state_dict()) | {f"{layer}.resample_filter": blur_kernel() for layer in layers}


OPTIONS = {
    "exp_dir": pathlib.PurePosixPath("out"),
    "device": torch.device("cpu"),
    "kind": torch.float32,
    "size": torch.Size([2, 3]),
    "counts": defaultdict(int, a=1),
    "numbers": np.float64(1.5),
    "table": np.zeros(3),
    "names": np.array(["a"]),
    "more": argparse.Namespace(lr=0.1),
    "n_styles": 18,
}
THEIRS, AVERAGE = theirs(ours()), ours().w_avg
REPEATED = AVERAGE.repeat(6, 1)
UNEVEN = REPEATED * torch.arange(1.0, 7.0)[:, None]
OPTIMIZER = {"state": {0: {"step": 3, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "betas": (0.0, 0.99)}]}
LOADS = {  # a layout, and what the loader says of it
    "converted": ({"g_ema": THEIRS, "latent_avg": AVERAGE}, []),
    "converted from ada-pytorch": ({"g_ema": THEIRS}, [NO_AVERAGE]),
    "training": (
        {
            "g": theirs(ours()),
            "d": {"convs.0.0.weight": torch.ones(2)},
            "g_ema": THEIRS,
            "g_optim": OPTIMIZER,
            "args": argparse.Namespace(size=16),
            "ada_aug_p": 0.1,
        },
        [NO_AVERAGE],
    ),
    "only the average": (OrderedDict(THEIRS), [NO_AVERAGE]),
    "only the average with w's": (OrderedDict(THEIRS, latent_avg=AVERAGE), []),
    "of several devices": (prefixed(THEIRS, "module."), [NO_AVERAGE]),
    "tuned by JoJoGAN": ({"g": THEIRS, "g_optim": OPTIMIZER, "latent_avg": AVERAGE[None]}, []),
    "tuned by StyleGAN-NADA": ({"g_ema": THEIRS, "g_optim": OPTIMIZER}, [NO_AVERAGE]),
    "all of StyleGAN-NADA": (
        {
            "state_dict": prefixed(THEIRS, "generator_trainable.generator.")
            | prefixed({**THEIRS, "input.input": torch.zeros(1, 5, 4, 4)}, "generator_frozen.generator.")
        },
        [NO_AVERAGE],
    ),
    "of pSp or e4e": (
        {"state_dict": encoder_of_psp() | prefixed(THEIRS, "decoder."), "latent_avg": REPEATED, "opts": OPTIONS},
        [],
    ),
    "of pSp with uneven averages": ({"state_dict": prefixed(THEIRS, "decoder."), "latent_avg": UNEVEN}, [NO_AVERAGE]),
    "of HyperStyle, training": (
        {
            "state_dict": encoder_of_psp() | prefixed(THEIRS, "decoder."),
            "latent_avg": AVERAGE,
            "opts": vars(argparse.Namespace(**OPTIONS)),
            "optimizer": OPTIMIZER,
            "global_step": 3,
            "best_val_loss": torch.tensor(0.5),
        },
        [],
    ),
    "without noise and filters, as before 2020": (
        {"g_ema": {name: value for name, value in THEIRS.items() if "noises" not in name and "kernel" not in name}, "latent_avg": AVERAGE},
        [NO_NOISE],
    ),
    "parameters": (
        {
            "g_ema": {name: torch.nn.Parameter(value, requires_grad="kernel" not in name) for name, value in THEIRS.items()},
            "latent_avg": AVERAGE,
        },
        [],
    ),
}


def saved(path: Path, content, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def check(loaded: Generator, expected: Generator, notes: list[str], tolerance: float = 0.0) -> None:
    """The same network, but for what the notes say stands in."""
    for name, value in loaded.state_dict().items():
        stands_in = (NO_AVERAGE in notes and name.endswith("w_avg")) or (NO_NOISE in notes and name.endswith("noise_const"))
        assert stands_in or torch.allclose(value, expected.state_dict()[name], rtol=tolerance, atol=tolerance), name
    assert loaded.metadata.get("notes", []) == notes
    w = loaded.mapping(latents_from_seed(1, 2, 6), torch.eye(4)[:2] if loaded.c_dim else None)
    pictures = loaded.synthesis(w, noise="none"), expected.synthesis(w, noise="none")
    assert torch.allclose(*pictures, rtol=50 * tolerance, atol=50 * tolerance)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", LOADS)
def test_layouts_of_numbers_by_name(name, zipped, tmp_path):
    content, notes = LOADS[name]
    check(load_generator(saved(tmp_path / "network.pt", content, zipped)), ours(), notes)


def test_paths_as_python_3_13_names_them(tmp_path, monkeypatch):
    module = types.ModuleType("pathlib._local")
    monkeypatch.setattr(module, "PurePosixPath", pathlib.PurePosixPath, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(pathlib.PurePosixPath, "__module__", module.__name__)
    content, notes = LOADS["of pSp or e4e"]
    path = saved(tmp_path / "network.pt", content)
    assert b"pathlib._local" in path.read_bytes()
    check(load_generator(path), ours(), notes)


def test_numbers_of_16_bits(tmp_path):
    for kind, tolerance in ((torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 0.0)):
        content = {"g_ema": {name: value.to(kind) for name, value in THEIRS.items()}, "latent_avg": AVERAGE.to(kind)}
        check(load_generator(saved(tmp_path / "network.pt", content)), ours(), [], tolerance)


def test_noise_that_stands_in_is_always_the_same(tmp_path):
    content = {"g_ema": {name: value for name, value in THEIRS.items() if "noises" not in name}}
    first, second = (load_generator(saved(tmp_path / f"{name}.pt", content)) for name in "ab")
    noise = first.synthesis.b16.conv1.noise_const
    assert torch.equal(noise, second.synthesis.b16.conv1.noise_const) and 0.8 < noise.std() < 1.2
    assert not torch.equal(noise, first.synthesis.b16.conv0.noise_const)


@pytest.mark.parametrize("c_dim", [0, 4])
@pytest.mark.parametrize("place", ["G_ema", "", "g_ema"])
def test_numbers_of_nvidia_s_network(place, c_dim, tmp_path):
    expected = ours(c_dim=c_dim)
    state = nvidia_state(expected)
    others = {"G": {name: value + 1 for name, value in state.items()}, "D": {"b4.fc.weight": torch.ones(2)}}
    content = {place: state, **others} if place == "G_ema" else {place: state} if place else state
    check(load_generator(saved(tmp_path / "network.pt", content)), expected, [NOT_CLAMPED])


@pytest.mark.parametrize("kernel, radial, c_dim", [(3, False, 0), (1, True, 4)])
def test_numbers_of_nvidia_s_stylegan3(kernel, radial, c_dim, tmp_path):
    """As stylegan3-editing's encoders and its tuning keep it."""
    expected = lively(Generator.create(stylegan3_config(kernel, radial, c_dim), seed=1))
    state = dict(expected.state_dict())
    for content in (state, {"state_dict": encoder_of_psp() | prefixed(state, "decoder."), "latent_avg": AVERAGE}):
        loaded = load_generator(saved(tmp_path / "network.pt", content))
        assert loaded.config == expected.config and loaded.metadata["notes"] == [AS_PUBLISHED]
        w = loaded.mapping(latents_from_seed(1, 2, 10), torch.eye(4)[:2] if c_dim else None)
        assert torch.equal(loaded.synthesis(w), expected.synthesis(w))


def test_numbers_of_an_official_stylegan3(tmp_path):
    expected = load_generator(ROOT / "tests" / "data" / "stylegan-pickles" / "stylegan3t-64.pkl")
    loaded = load_generator(saved(tmp_path / "network.pt", dict(expected.state_dict())))
    scale = expected.config.output_scale  # unlike NVIDIA's, and the one thing that this file cannot tell
    assert loaded.config == replace(expected.config, output_scale=0.25)
    w = loaded.mapping(latents_from_seed(1, 1, 64))
    assert torch.allclose(loaded.synthesis(w) * scale, expected.synthesis(w) * 0.25, atol=1e-6)


def test_safetensors_of_others(tmp_path):
    for state, notes in ((prefixed(THEIRS, "g_ema."), [NO_AVERAGE]), (nvidia_state(ours()), [NOT_CLAMPED])):
        save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "network.safetensors")
        loaded = load_generator(tmp_path / "network.safetensors")
        check(loaded, ours(), notes)
        assert len(loaded.metadata["sha256"]) == 64 and "not for commercial use" in loaded.metadata["licence"]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_nvidia_s_networks_saved_whole_by_torch(zipped, tmp_path):
    """As PTI saves a tuned generator, and STIT with its pivots."""
    expected = ours()
    for content in (
        official(expected),
        {"generator": official(expected), "pivots": torch.zeros(3, 6), "quads": np.eye(3)},
        snapshot(official(expected)),
    ):
        with official_names():
            path = saved(tmp_path / "model_ABCDEFGHIJKL_1.pt", content, zipped)
        loaded = load_generator(path)
        check(loaded, expected, [])
        assert "NVIDIA's PyTorch" in loaded.metadata["kind"]
    with official_names():
        path = saved(tmp_path / "stylegan3.pt", official(lively(Generator.create(stylegan3_config(), seed=1))), zipped)
    assert load_generator(path).resolution == 32


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_rosinality_s_networks_saved_whole_by_torch(zipped, tmp_path):
    with their_classes():
        network = whole_network(THEIRS)
        for content in (network, torch.nn.DataParallel(network), {"g_ema": network, "latent_avg": AVERAGE}):
            loaded = load_generator(saved(tmp_path / "network.pt", content, zipped))
            check(loaded, ours(), [] if isinstance(content, dict) else [NO_AVERAGE])


def reason(path: Path) -> str:
    """Why a file is refused, and what the hint is."""
    with pytest.raises(StyleRigError) as caught:
        load_generator(path)
    assert str(path) in caught.value.message and caught.value.hint and caught.value.code == "bad_generator"
    assert len(caught.value.message) < len(str(path)) + 300
    return str(caught.value).replace(str(path), "")


CONDITIONAL = THEIRS | {"style.1.weight": torch.zeros(6, 12)}
NUMBER = torch.zeros(2, 2)
STYLEGAN3 = dict(lively(Generator.create(stylegan3_config(), seed=1)).state_dict())
REFUSED = {
    "converted conditional": ({"g_ema": CONDITIONAL}, "converted from a network with labels"),
    "converted conditional, bare": (CONDITIONAL, "whose embedding is not in the file"),
    "conditional numbers of NVIDIA's": (
        {name: value for name, value in nvidia_state(ours(c_dim=4)).items() if "embed" not in name},
        "converted from a network with labels",
    ),
    "resnet": (nvidia_state(ours()) | {"synthesis.b8.skip.weight": NUMBER}, "architecture is 'resnet'"),
    "part of one": ({"g_ema": {"input.input": THEIRS["input.input"]}}, "not the whole of a StyleGAN2"),
    "part of NVIDIA's": ({"synthesis.b4.const": NUMBER}, "not the whole of a StyleGAN2"),
    "some noise": ({"g_ema": {name: value for name, value in THEIRS.items() if name != "noises.noise_2"}}, "noise_const is missing"),
    "DualStyleGAN": ({"g_ema": prefixed(THEIRS, "generator.") | {"res.0.conv.0.weight": NUMBER}}, "a DualStyleGAN's"),
    "VToonify": ({"g_ema": prefixed(THEIRS, "generator.generator.") | {"generator.res.1.conv.0.weight": NUMBER}}, "a VToonify's"),
    "two of them": (prefixed(THEIRS, "first.") | prefixed(THEIRS, "second."), "holds 2 generators ('first.', 'second.')"),
    "part of a StyleGAN3": ({"state_dict": {"decoder.synthesis.input.freqs": NUMBER}}, "its layers are missing"),
    "a StyleGAN3 of other sizes": (
        {name.replace("L1_52", "L1_50"): value for name, value in STYLEGAN3.items()},
        "not a StyleGAN3's as published",
    ),
    "a StyleGAN3 with another filter": (
        STYLEGAN3 | {"synthesis.L1_52_6.up_filter": torch.ones(9)},
        "the filters of its L1_52_6 are not a StyleGAN3's as published",
    ),
    "a StyleGAN3's mapping": (
        {name: value for name, value in STYLEGAN3.items() if "mapping" not in name},
        "its mapping network is missing",
    ),
    "style-based-gan-pytorch": ({"generator.progression.0.conv1.1.conv.bias": NUMBER}, "rosinality's StyleGAN 1"),
    "style-based-gan-pytorch, training": ({"generator": {"module.generator.progression.0.x": NUMBER}}, "StyleGAN 1"),
    "GenForce": ({"generator_smooth": {"mapping.dense0.weight": NUMBER, "synthesis.early_layer.const": NUMBER}}, "GenForce's"),
    "BasicSR": ({"params_ema": {"style_mlp.1.weight": NUMBER, "constant_input.weight": NUMBER}}, "BasicSR's (GFPGAN)"),
    "MMGeneration": ({"state_dict": {"generator_ema.style_mapping.1.weight": NUMBER}, "meta": {}}, "MMGeneration's"),
    "lucidrains": ({"GAN": {"S.net.0.weight": NUMBER, "G.blocks.0.conv1.weight": NUMBER}, "version": "1.8.1"}, "lucidrains's"),
    "a port": ({"g_mapping.dense0.weight": NUMBER, "g_synthesis.blocks.4x4.const": NUMBER}, "names of its own"),
    "a diffusion model": ({"state_dict": {"model.diffusion_model.input_blocks.0.0.weight": NUMBER}}, "a diffusion model's"),
    "an encoder": ({"state_dict": {"encoder.input_layer.0.weight": NUMBER}}, "numbers such as 'encoder.input_layer.0.weight'"),
    "a discriminator": ({"d": {"convs.0.0.weight": NUMBER}}, "a discriminator only"),
    "a discriminator, bare": ({"convs.0.0.weight": NUMBER, "final_linear.0.weight": NUMBER}, "a discriminator only"),
    "an unknown whole network": ({"epoch": 3, "loss": [0.1]}, "no StyleGAN generator"),
    "a latent code": (torch.zeros(1, 18, 512), "no network and no checkpoint"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run_is_refused_by_name(name, tmp_path):
    content, words = REFUSED[name]
    assert words in reason(saved(tmp_path / "network.pt", content))


class Other:
    """A class that no generator has."""


def test_objects_of_other_classes_are_refused_with_what_to_do(tmp_path):
    why = reason(saved(tmp_path / "network.pt", {"g_ema": THEIRS, "trainer": Other()}))
    assert "test_checkpoints_variants.Other" in why and "state_dict()" in why


def test_safetensors_of_another_kind(tmp_path):
    save_file({"unet.conv_in.weight": NUMBER}, tmp_path / "a.safetensors")
    assert "safetensors file of another kind" in reason(tmp_path / "a.safetensors")
    save_file({name: value.contiguous() for name, value in CONDITIONAL.items()}, tmp_path / "b.safetensors")
    assert "with labels" in reason(tmp_path / "b.safetensors")


# What is no checkpoint at all

PAGE = b'<!DOCTYPE html><html><head><title>Google Drive -\x1b[2J Quota\n exceeded</title><meta charset="utf-8"/>'
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 381624121\n"
FILES = {
    "a web page": (PAGE, 'a web page ("Google Drive -[2J Quota exceeded")'),
    "an unnamed web page": (b"\n\n <html><body>", "a web page, not the file"),
    "an error of a store": (b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page"),
    "a web page of Windows": (PAGE.decode().encode("utf-16"), "a web page"),
    "a pointer": (POINTER, "a Git LFS pointer for a file of 381,624,121 bytes"),
    "a JSON error": (b'{"error": "Invalid credentials"}', "a JSON text"),
    "a text": ("Der Zugriff wurde verweigert, später erneut versuchen.\r\n".encode(), "a text"),
    "nothing": (b"", "it is empty"),
    "a packed file": (gzip.compress(b"x" * 1000), "a packed archive"),
    "7z": (b"7z\xbc\xaf'\x1c\0\4", "a packed archive"),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x051.9.0", "an ONNX model"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture"),
    "a film": (b"\0\0\0\x20ftypisom\0\0\2\0", "a film"),
    "an array": (b"\x93NUMPY\x01\0v\0{'descr'", "a single numpy array"),
    "of macOS": (b"\0\5\x16\7\0\2\0\0Mac OS X        ", "what macOS keeps beside a file"),
    "an empty zip": (b"PK\5\6" + bytes(18), "an empty zip archive"),
    "unknown": (b"\x01\x02\x03\x04" * 200, "begins like no generator's file"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_checkpoint_is_said(name, tmp_path):
    data, words = FILES[name]
    (tmp_path / "network.pkl").write_bytes(data)
    why = reason(tmp_path / "network.pkl")
    assert words in why and why.isprintable()


def test_archives_with_a_checkpoint_inside(tmp_path):
    inner = saved(tmp_path / "network.pt", {"g_ema": THEIRS})
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inner, "checkpoints/network.pt")
    why = reason(tmp_path / "all.zip")
    assert "a zip without a torch checkpoint, but with 'checkpoints/network.pt'" in why and "Unpack it" in why
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        archive.add(inner, "network.pt")
    assert "a packed archive" in reason(tmp_path / "all.tar")
    repacked = tmp_path / "repacked.pt"
    with zipfile.ZipFile(inner) as source, zipfile.ZipFile(repacked, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    assert "a packed zip" in reason(repacked)


def test_a_program_and_an_array_archive_of_torch_and_numpy(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "program.pt"))
    assert "a TorchScript program" in reason(tmp_path / "program.pt")
    np.savez(tmp_path / "w.npz", w=np.zeros(3))
    assert "but with 'w.npy'" in reason(tmp_path / "w.npz")
    with h5py.File(tmp_path / "a.h5", "w") as archive:
        archive["x"] = 1
    assert "an HDF5 file" in reason(tmp_path / "a.h5")


def test_folders_and_files_that_end_early(tmp_path):
    inner = saved(tmp_path / "network.pt", {"g_ema": THEIRS})
    zipfile.ZipFile(inner).extractall(tmp_path / "unpacked")
    for folder in (tmp_path / "unpacked", tmp_path / "unpacked" / "network"):
        why = reason(folder)
        assert "it is a folder" in why and "the .pt file itself" in why
    (tmp_path / "bare").mkdir()
    assert "it is a folder" in reason(tmp_path / "bare")
    for zipped in (True, False):
        data = saved(tmp_path / "network.pt", {"g_ema": THEIRS}, zipped).read_bytes()
        (tmp_path / "half.pt").write_bytes(data[: len(data) // 2])
        assert "ends early" in reason(tmp_path / "half.pt")


def test_a_zip_whose_list_of_contents_is_too_long(tmp_path):
    (tmp_path / "network.pt").write_bytes(zip_with_a_long_list("network/data.pkl", b"N."))
    assert "damaged zip" in reason(tmp_path / "network.pt")


def test_every_layout_is_told_of_in_the_documentation():
    text = (ROOT / "docs" / "generators.md").read_text()
    tables = text[text.index("## Which files load") : text.index("## Safety")]
    for words in {words for _, words in REFUSED.values()} | {words for _, words in FILES.values()}:
        assert words.split(" (")[0].split(" for a file of")[0].split(", not the")[0] in tables, words


def test_tables_may_be_of_any_kind(tmp_path):
    with official_names():
        check(load_generator(saved(tmp_path / "a.pt", EasyDict(g_ema=EasyDict(THEIRS), latent_avg=AVERAGE))), ours(), [])


def test_conversion_says_what_stands_in(tmp_path, capsys):
    content = {"g_ema": {name: value for name, value in THEIRS.items() if "noises" not in name}}
    source, target = saved(tmp_path / "old.pt", content), tmp_path / "new.safetensors"
    assert main.main(["convert", str(source), str(target)]) == 0
    printed = capsys.readouterr().out
    assert f"note: {NO_NOISE}" in printed and f"note: {NO_AVERAGE}" in printed
    assert load_generator(target).metadata["notes"] == [NO_NOISE, NO_AVERAGE]
