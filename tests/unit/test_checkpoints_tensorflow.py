"""Legacy TensorFlow pickles: files in their structure, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import StyleRigError
from models.generators import Generator, latents_from_seed, load_generator
from models.generators.config import StyleGAN2Config
from tests.data.official_format import TRIPWIRE, EasyDict, Network, dumps, lively
from tests.helpers.damage import refused_flips

SMALL = StyleGAN2Config(resolution=16, z_dim=6, w_dim=7, mapping_layers=3, mapping_lr_multiplier=0.01,
                        channels={4: 5, 8: 4, 16: 3}, conv_clamp=64.0)  # fmt: skip


def generator(config: StyleGAN2Config = SMALL) -> Generator:
    return lively(Generator.create(config, seed=3))


def network(ours: Generator, **arguments) -> Network:
    """Our generator as TensorFlow keeps it: weights (height, width, in, out), biases of styles less one."""
    state = {name: value.numpy() for name, value in ours.state_dict().items()}
    mapping, synthesis = [], [("lod", np.float32(0)), ("4x4/Const/const", state["synthesis.b4.const"][None])]
    for index in range(3):
        mapping += [(f"Dense{index}/weight", state[f"mapping.fc{index}.weight"].T.copy()),
                    (f"Dense{index}/bias", state[f"mapping.fc{index}.bias"])]  # fmt: skip
    if "mapping.embed.weight" in state:
        mapping += [("LabelEmbed/weight", state["mapping.embed.weight"].T),
                    ("LabelEmbed/bias", state["mapping.embed.bias"])]  # fmt: skip
    layers = [("4x4/Conv", "b4.conv1", 0), ("8x8/Conv0_up", "b8.conv0", 1), ("8x8/Conv1", "b8.conv1", 2),
              ("16x16/Conv0_up", "b16.conv0", 3), ("16x16/Conv1", "b16.conv1", 4), ("4x4/ToRGB", "b4.torgb", None),
              ("8x8/ToRGB", "b8.torgb", None), ("16x16/ToRGB", "b16.torgb", None)]  # fmt: skip
    for theirs, name, noise in layers:
        part = lambda key, name=name: state[f"synthesis.{name}.{key}"]
        weight = part("weight")[:, :, ::-1, ::-1] if "up" in theirs else part("weight")
        synthesis += [(f"{theirs}/weight", weight.transpose(2, 3, 1, 0).copy()), (f"{theirs}/bias", part("bias")),
                      (f"{theirs}/mod_weight", part("affine.weight").T.copy()),
                      (f"{theirs}/mod_bias", part("affine.bias") - 1)]  # fmt: skip
        if noise is not None:
            synthesis += [(f"noise{noise}", part("noise_const")[None, None]),
                          (f"{theirs}/noise_strength", np.float32(part("noise_strength")))]  # fmt: skip
    common = {"version": 4, "build_module_src": TRIPWIRE}
    return Network(
        **common, name="Gs", build_func_name="G_main",
        static_kwargs=EasyDict(num_channels=3, resolution=16, conv_clamp=64, **arguments),
        components={"mapping": Network(**common, name="G_mapping", variables=mapping),
                    "synthesis": Network(**common, name="G_synthesis", variables=synthesis)},
        variables=[("lod", np.float32(0)), ("dlatent_avg", state["mapping.w_avg"])],
    )  # fmt: skip


def judge(version: int = 4) -> Network:
    return Network(version=version, name="D", static_kwargs={}, components={}, build_module_src=TRIPWIRE,
                   variables=[("16x16/FromRGB/weight", np.zeros((1, 1, 3, 2), "f4"))])  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("c_dim", [0, 4])
def test_a_pickle_is_read_whole(protocol, c_dim, tmp_path):
    ours = generator(StyleGAN2Config(**{**SMALL.to_json(), "c_dim": c_dim}))
    path = tmp_path / "network.pkl"
    path.write_bytes(dumps((network(ours), judge(), network(ours)), protocol))
    loaded = load_generator(path)
    assert loaded.config == ours.config and "TensorFlow" in loaded.metadata["kind"]
    for name, value in loaded.state_dict().items():
        assert torch.allclose(value, ours.state_dict()[name], atol=1e-6), name
    z, c = latents_from_seed(1, 2, 6), torch.eye(4)[:2] if c_dim else None
    w = loaded.mapping(z, c, truncation_psi=0.5)
    assert torch.allclose(loaded.synthesis(w), ours.synthesis(ours.mapping(z, c, truncation_psi=0.5)), atol=1e-5)


def refusal(content, tmp_path: Path) -> str:
    path = tmp_path / "network.pkl"
    path.write_bytes(dumps(content))
    with pytest.raises(StyleRigError) as caught:
        load_generator(path)
    assert str(path) in caught.value.message and caught.value.code == "bad_generator"
    return caught.value.message.split(": ", 1)[1]


def test_what_cannot_be_run_is_refused_by_name(tmp_path):
    assert "discriminator only" in refusal(judge(), tmp_path)
    assert "architecture is 'orig'" in refusal(network(generator(), architecture="orig"), tmp_path)
    assert "resample_kernel" in refusal(network(generator(), resample_kernel=[1, 1]), tmp_path)


def changed(name: str, value) -> Network:
    result = network(generator())
    synthesis = result.components["synthesis"]
    synthesis.variables = [item for item in synthesis.variables if item[0] != name]
    if value is not None:
        synthesis.variables.append((name, value))
    return result


@pytest.mark.parametrize("name, value, reason", [
    ("8x8/Conv1/weight", None, "b8.conv1.weight is missing"),
    ("8x8/Conv1/weight", np.zeros((3, 3, 4, 9), "f4"), "has the shape (9, 4, 3, 3)"),
    ("8x8/Conv1/weight", "text", "is not an array"),
    ("8x8/Conv1/bias", np.full(4, np.nan, "f4"), "not numbers"),
    ("ToRGB_lod0/weight", np.zeros((1, 1, 3, 3), "f4"), "no part of a StyleGAN2 with skip"),
    ("16x16/ToRGB/weight", np.zeros((1, 1, 3, 1), "f4"), "pictures of 1 channels"),
])  # fmt: skip
def test_variables_that_do_not_fit(name, value, reason, tmp_path):
    assert reason in refusal(changed(name, value), tmp_path)


def test_truncated_and_flipped(tmp_path):
    data, path = dumps((network(generator()), judge(), network(generator()))), tmp_path / "damaged.pkl"
    for part in range(40):
        path.write_bytes(data[: len(data) * part // 40])
        with pytest.raises(StyleRigError, match=str(path)):
            load_generator(path)
    assert refused_flips(path, data, 200) > 20
