"""Looks as controls of a rig: a pure function, on the portrait before it is moved, where their masks say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import StyleRigError
from models.generators import Generator, GeneratorConfig, save_generator
from models.generators.guided import GuidedConfig
from models.generators.person import PersonConfig
from models.rigging import Controls, LookUse, Rig
from models.translation.library import library
from models.translation.request import put_on
from tests.helpers.looks import library_in, write_look
from tests.helpers.synthetic_face import synthetic_face
from tests.helpers.untrained_rig import untrained_rig

CONFIG = GeneratorConfig(resolution=32, channels={4: 16, 8: 16, 16: 16, 32: 16})
CHANNELS = {4: 16, 8: 16, 16: 16, 32: 12, 64: 8}
PASSES = ("Portrait", "HeadMatte", "Normal")
BEARD = LookUse("attributes", label="beard")


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    with library_in(tmp_path_factory.mktemp("looks")) as folder:
        yield folder


@pytest.fixture(scope="module")
def rig(looks) -> Rig:
    return untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=3, localize_expressions=True)


@pytest.fixture(scope="module")
def portrait(rig):
    return rig.new_portrait(seed=7)


@pytest.fixture(scope="module")
def whole(looks, tmp_path_factory) -> Rig:
    """A rig of whole heads, whose generator draws mattes of skin and hair."""
    folder = tmp_path_factory.mktemp("guided")
    person = PersonConfig(numbers=20, choices=(3, 2), amounts=4, identity=130, reflectance=32)
    generator = Generator.create(GuidedConfig(resolution=64, channels=CHANNELS, person=person, mattes=("skin", "hair")), seed=5)
    with torch.no_grad():
        generator.synthesis.b64.torgb.bias[3] = 3.0
    save_generator(generator, folder / "studio-generator.safetensors", {})
    return Rig.load(folder)


def drawn(rig, portrait, *looks, **controls) -> dict[str, np.ndarray]:
    return rig.frame(portrait, Controls(looks=looks, **controls), rig.generator.resolution, PASSES)


def test_a_portrait_of_a_generator_has_what_the_network_makes_of_it(rig, portrait):
    plain, worn = drawn(rig, portrait), drawn(rig, portrait, LookUse("painting", strength=0.6))
    state = torch.get_rng_state()
    expected = put_on(library().get("painting"), plain["Portrait"], 0.6)
    assert torch.equal(torch.get_rng_state(), state), "what others draw at random stays as it would be"
    alpha = plain["HeadMatte"]
    if rig.generator.img_channels == 3:
        assert np.allclose(worn["Portrait"], expected, atol=1e-5)
    assert np.abs(worn["Portrait"] - plain["Portrait"]).max() > 0.01
    assert np.array_equal(worn["HeadMatte"], alpha) and np.array_equal(worn["Normal"], plain["Normal"])
    assert np.array_equal(worn["Combined"][..., 3], plain["Combined"][..., 3])


def test_a_frame_with_looks_is_a_pure_function(rig, portrait):
    asked = {"rotation": (0.3, 0, 0), "expression": {rig.face.expression_names[0]: 1.0}}
    first = drawn(rig, portrait, BEARD, **asked)
    drawn(rig, portrait, LookUse("painting"), **asked)  # what is kept of it is not taken for the other
    drawn(rig, portrait, **asked)
    again = drawn(rig, portrait, BEARD, **asked)
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_strength_0_changes_no_bit_and_1_is_further_than_a_half(rig, portrait):
    plain, none, half, full = (drawn(rig, portrait, *looks) for looks in ([], *([LookUse("painting", strength=s)] for s in (0, 0.5, 1))))
    assert np.array_equal(plain["Combined"], none["Combined"])
    change = lambda frame: np.abs(frame["Portrait"] - plain["Portrait"]).mean()
    assert 0 < change(half) < change(full)


def test_looks_follow_one_another_in_their_order(rig, portrait):
    there, back = drawn(rig, portrait, BEARD, LookUse("painting")), drawn(rig, portrait, LookUse("painting"), BEARD)
    assert np.abs(there["Portrait"] - back["Portrait"]).max() > 1e-3


def test_looks_are_on_the_picture_before_it_is_moved(rig, portrait):
    still, moved = (drawn(rig, portrait, LookUse("painting"), translation=shift)["Portrait"] for shift in (None, (0.25, 0.0)))
    eighth = rig.generator.resolution // 4
    assert np.allclose(moved[:, eighth + 1 :], still[:, 1:-eighth], atol=1e-4)


def test_styles_are_those_of_seeds_of_a_vector_and_of_a_domain(rig, portrait):
    use = lambda **more: drawn(rig, portrait, LookUse("styles", **more))["Portrait"]
    look = library().get("styles")
    by_seed = use(label="old", seed=5)
    style = tuple(look.style(torch.randn(1, 16, generator=torch.Generator().manual_seed(5)), "old")[0].tolist())
    assert np.allclose(by_seed, use(style=style), atol=1e-5)
    assert np.abs(by_seed - use(label="old", seed=6)).max() > 1e-4 and np.abs(by_seed - use(label="young", seed=5)).max() > 1e-4


def test_masks_keep_a_look_to_the_face_or_to_the_hair(whole):
    portrait = whole.new_portrait(3)
    plain = whole.frame(portrait, Controls(), 64)
    change = {}
    for mask in ("head", "face", "hair"):
        frame = whole.frame(portrait, Controls(looks=[LookUse("painting", mask=mask)]), 64)
        change[mask] = np.abs(frame["Portrait"] - plain["Portrait"]).mean(axis=2)
    hair, face = plain["HairMatte"][..., 0], plain["FaceMask"][..., 0]
    assert (change["hair"][hair == 0] < 1e-5).all() and change["hair"][hair > 0.5].mean() > 1e-3
    inside, outside = face > 0.9, np.zeros_like(face, bool)
    outside[:4] = True  # above any head
    assert change["face"][inside].mean() > 1e-3 and (change["face"][outside] < 1e-5).all()
    assert (change["head"] >= change["face"] - 1e-5).all()


def test_a_crop_knows_its_face_and_says_that_it_has_no_matte_of_hair(rig, portrait):
    plain, face = drawn(rig, portrait), drawn(rig, portrait, LookUse("painting", mask="face"))
    changed = np.abs(face["Portrait"] - plain["Portrait"]).max(axis=2)
    assert changed.max() > 1e-3 and changed[0, 0] < 1e-5
    with pytest.raises(StyleRigError, match="no matte of the hair") as error:
        drawn(rig, portrait, LookUse("painting", mask="hair"))
    assert error.value.code == "no_matte"


def test_a_name_alone_is_the_file_of_now_and_a_hash_that_very_file(rig, portrait, looks):
    named, before = LookUse("painting"), library().digest_of("painting")
    first = drawn(rig, portrait, named)
    try:
        write_look(looks, "painting", seed=9)
        assert np.abs(drawn(rig, portrait, named)["Portrait"] - first["Portrait"]).max() > 1e-3
        with pytest.raises(StyleRigError) as error:
            drawn(rig, portrait, LookUse("painting", before))
        assert error.value.code == "other_look"
    finally:
        write_look(looks, "painting")
    assert np.array_equal(drawn(rig, portrait, LookUse("painting", before))["Portrait"], first["Portrait"])


@pytest.mark.parametrize(
    ("use", "code"),
    [
        (LookUse("absent"), "unknown_look"),
        (LookUse("painting", strength=1.5), "bad_controls"),
        (LookUse("painting", strength=float("nan")), "bad_controls"),
        (LookUse("painting", mask="nose"), "bad_controls"),
        (LookUse("painting", label="beard"), "bad_label"),
        (LookUse("attributes"), "bad_label"),
        (LookUse("attributes", label="wings"), "bad_label"),
        (LookUse("painting", seed=3), "bad_style"),
        (LookUse("styles", style=(1.0, 2.0)), "bad_style"),
        (LookUse("styles", label="old", seed=-1), "bad_controls"),
    ],
)
def test_what_cannot_be_put_on_is_told(rig, portrait, use, code):
    with pytest.raises(StyleRigError) as error:
        drawn(rig, portrait, use)
    assert error.value.code == code


def test_there_are_at_most_eight(rig, portrait):
    with pytest.raises(StyleRigError, match="9 looks"):
        drawn(rig, portrait, *[LookUse("painting")] * 9)
