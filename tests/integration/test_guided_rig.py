"""A rig whose generator is steered by maps: the head is posed in the maps, w stays; its passes lie where the maps show it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from backend.server import schema
from backend.server.serialization import new_portrait, portrait_to_schema
from models.editing.sefa import find_directions
from models.errors import StyleRigError
from models.evaluation.control.subjects import renderer_of
from models.face.frame import ANCHOR
from models.generators.checkpoints.checkpoint import save_generator
from models.generators.generator import Generator
from models.generators.guided import GuidedConfig
from models.generators.person import PersonConfig
from models.rigging import Controls, Rig
from models.rigging.applications import between
from models.rigging.guided_renderer import MAX_ROLL, without_rim

CHANNELS = {4: 16, 8: 16, 16: 16, 32: 12, 64: 8}


@pytest.fixture(scope="module")
def rig(tmp_path_factory) -> Rig:
    """Random weights whose matte is opaque where the maps cover."""
    folder = tmp_path_factory.mktemp("guided")
    person = PersonConfig(numbers=20, choices=(3, 2), amounts=4, identity=130, reflectance=32)
    generator = Generator.create(GuidedConfig(resolution=64, channels=CHANNELS, person=person, mattes=("skin", "hair")), seed=5)
    with torch.no_grad():
        for name in ("out", "straight"):
            getattr(generator.mapping.person, name).weight.mul_(0.05)
        generator.synthesis.b64.torgb.bias[3] = 3.0
    save_generator(generator, folder / "studio-generator.safetensors", {})
    return Rig.load(folder)


def test_a_seed_is_a_person_with_a_shape_of_their_own(rig):
    one, again, other = rig.new_portrait(3), rig.new_portrait(3), rig.new_portrait(4)
    assert np.array_equal(one.w, again.w) and not np.array_equal(one.w, other.w)
    assert torch.equal(one.parameters.vector(), again.parameters.vector())
    assert not torch.equal(one.parameters.identity, other.parameters.identity)
    assert not one.parameters.expression.any() and not one.parameters.rotation.any()


def test_controls_reach_the_picture_and_the_passes_alike(rig):
    portrait = rig.new_portrait(3)
    still = rig.frame(portrait, Controls(), 64)
    assert still["Combined"].shape == (64, 64, 4) and still["Depth"].shape == (64, 64, 1)
    for controls in (Controls(rotation=(0.5, 0, 0)), Controls(expression={"jawOpen": 1.0}), Controls(light=np.ones((9, 3)))):
        frame = rig.frame(portrait, controls, 64)
        assert np.abs(frame["Portrait"] - still["Portrait"]).max() > 1e-3
    turned = rig.frame(portrait, Controls(rotation=(0.5, 0, 0)), 64)
    nose = lambda frame: np.unravel_index(frame["Depth"].argmin(), (64, 64))[1]
    assert turned.placement[0] == pytest.approx(0.5) and nose(turned) > nose(still) + 5  # to the face's left
    again = rig.frame(portrait, Controls(), 64)
    assert all(np.array_equal(still[name], again[name]) for name in still)


def test_a_small_fast_picture_is_drawn_by_the_coarse_blocks_alone(rig, monkeypatch):
    portrait, drawn, frame = rig.new_portrait(3), [], rig.renderer.guide.maps
    monkeypatch.setattr(rig.renderer.guide, "maps", lambda *given: drawn.append(given[-1]) or frame(*given))
    monkeypatch.setattr("models.rigging.guided_renderer.COARSEST", 16)
    for size, precision, scale, wanted in (
        (64, "fast", 1.0, 64),
        (32, "fast", 1.0, 32),
        (32, "exact", 1.0, 64),  # what is rendered for good is the whole network's
        (16, "fast", 0.5, 16),  # coarser blocks draw no pictures
        (32, "fast", 2.0, 64),  # an enlarged head shows more
        (64, "fast", 0.5, 32),
        (512, "fast", 1.0, 64),
    ):
        image = rig.frame(portrait, Controls(scale=scale), size, ["HairMatte"], precision)
        assert drawn.pop() == wanted and image["Combined"].shape == (size, size, 4)


def test_the_frame_s_edge_is_continued_from_inside(rig):
    image = torch.rand(1, 5, 16, 16)
    found = without_rim(image)
    assert torch.equal(found[:, :, :13, 3:13], image[:, :, :13, 3:13]) and found.shape == image.shape
    assert all(torch.equal(found[:, :, row], found[:, :, 12]) for row in (13, 14, 15))
    assert all(torch.equal(found[:, :, :13, column], image[:, :, :13, 3]) for column in (0, 1, 2))
    assert all(torch.equal(found[:, :, :13, column], image[:, :, :13, 12]) for column in (13, 14, 15))


def test_mattes_of_parts_are_the_generators_own(rig):
    portrait = rig.new_portrait(3)
    frame = rig.frame(portrait, Controls(rotation=(0.3, 0, 0)), 64)
    alpha = frame["HeadMatte"]
    for name in ("SkinMatte", "HairMatte"):
        assert frame[name].shape == (64, 64, 1) and frame[name].std() > 0.01
        assert (frame[name] >= 0).all() and (frame[name] <= alpha).all()
    assert not frame["GlassesMatte"].any()  # this generator has no such matte
    alone = rig.frame(portrait, Controls(rotation=(0.3, 0, 0)), 64, ["HairMatte"])
    assert np.array_equal(alone["HairMatte"], frame["HairMatte"]) and set(alone) == {"Combined", "HairMatte"}


def test_passes_go_on_where_hair_and_shoulders_are(rig, monkeypatch):
    """Beyond the face model's mesh, as far as the generator's matte covers; hair is the shell, all else the shoulders."""
    portrait, controls = rig.new_portrait(3), Controls(rotation=(0.3, 0, 0))
    draw = rig.renderer.layers

    def with_mattes(plan, size, precision):
        layers = draw(plan, size, precision).clone()
        layers[:, 3] = 1.0
        layers[:, 3, :, : size // 4] = 0.0  # the picture's left shows nothing
        layers[:, 5] = 0.0
        layers[:, 5, : size // 2] = 1.0  # hair above, shoulders below
        return layers

    monkeypatch.setattr(rig.renderer, "layers", with_mattes)
    frame = rig.frame(portrait, controls, 64)
    mesh = frame["Albedo"].any(axis=-1)
    depth, around = frame["Depth"][..., 0], ~mesh & (frame["Depth"][..., 0] < 1e9)
    assert around[:32].sum() > 60 and around[40:].sum() > 100 and not around[:, :16].any()
    assert np.allclose(np.linalg.norm(frame["Normal"][around], axis=-1), 1, atol=1e-4)
    camera = rig.renderer.plan(portrait, controls).camera
    rows, columns = np.nonzero(around)
    seen = camera.project(torch.from_numpy(frame["Position"][rows, columns])[None].double())[0].numpy()
    place = (seen[:, :2] * (1, -1) + 1) * 32
    assert np.abs(place - np.stack((columns, rows), axis=1) - 0.5).max() < 0.01
    assert np.allclose(seen[:, 2], depth[rows, columns], atol=1e-3)


def test_an_open_jaw_neither_moves_nor_zooms_the_head(rig):
    portrait = rig.new_portrait(3)
    still, opened = (rig.frame(portrait, Controls(expression={"jawOpen": value}), 64, ["Position"]) for value in (0.0, 1.0))
    assert still.placement == opened.placement
    upper = slice(0, 22)  # rows above the eyes
    assert np.abs(still["Position"][upper] - opened["Position"][upper]).mean() < 0.01


def test_scale_translation_and_much_roll_move_the_picture(rig):
    portrait = rig.new_portrait(3)
    area = lambda controls: (rig.frame(portrait, controls, 64, ["Depth"])["Depth"] < 1e9).mean()
    assert area(Controls(scale=0.5)) == pytest.approx(area(Controls()) / 4, rel=0.25)
    rows = np.nonzero((rig.frame(portrait, Controls(translation=(0, 0.25), scale=0.5), 64, ["Depth"])["Depth"] < 1e9).any(axis=(1, 2)))[0]
    below = np.nonzero((rig.frame(portrait, Controls(scale=0.5), 64, ["Depth"])["Depth"] < 1e9).any(axis=(1, 2)))[0]
    assert below[0] - rows[0] == pytest.approx(16, abs=1)
    plan = rig.renderer.plan(portrait, Controls(rotation=(0, 0, 1.0)))
    assert plan.similarity.angle == pytest.approx(1.0 - MAX_ROLL) and plan.placement[2] == pytest.approx(1.0)
    assert float(plan.target.rotation[0, 2]) == pytest.approx(math.radians(25))


def test_what_position_says_is_seen_at_that_pixel_from_any_distance(rig):
    portrait = rig.new_portrait(3)
    for distance in (40.0, 120.0, 600.0):
        controls = Controls(rotation=(0.3, -0.2, 0.6), distance=distance)
        frame = rig.frame(portrait, controls, 64, ["Position", "Depth"])
        camera = rig.renderer.plan(portrait, controls).camera
        rows, columns = np.nonzero(frame["Depth"][..., 0] < 1e9)
        seen = camera.project(torch.from_numpy(frame["Position"][rows, columns])[None].double())[0]
        place = (seen[:, :2].numpy() * (1, -1) + 1) * 32
        error = np.abs(place - np.stack((columns, rows), axis=1) - 0.5).max(axis=1)
        assert (error < 0.001).mean() > 0.8 and error.max() < 1.01, distance  # along its outline a head is continued by a pixel
    for distance in (39.0, 601.0, math.nan):
        with pytest.raises(StyleRigError, match="distance"):
            rig.frame(portrait, Controls(distance=distance), 64)


def test_a_portrait_says_what_its_frame_shows(rig):
    portrait = rig.new_portrait(3)
    message = portrait_to_schema(portrait, rig)
    assert message.frame.half_width == pytest.approx(rig.renderer.plan(portrait, Controls()).camera.half_width)
    assert message.frame.center == list(ANCHOR)
    again = schema.Portrait.model_validate_json(message.model_dump_json())
    assert again == message
    assert schema.Portrait.model_validate(message.model_dump(exclude={"frame"})).frame is None  # as older files have it


def test_an_attribute_changes_who_is_seen_and_nothing_of_the_rig(rig):
    portrait, found = rig.new_portrait(3), find_directions(rig.generator, [0, 1, 2], 2, reach=20.0)
    own = dataclasses.replace(portrait, directions=found)
    posed = {"rotation": (0.3, 0, 0), "expression": {"jawOpen": 0.5}}
    still = rig.frame(own, Controls(**posed), 64)
    changed = rig.frame(own, Controls(attributes={"SeFa 0": 20.0}, **posed), 64)
    assert np.abs(changed["Portrait"] - still["Portrait"]).max() > 1e-2
    assert all(np.array_equal(still[name], changed[name]) for name in ("Albedo", "Shading", "FaceMask", "UV"))
    assert still.placement == changed.placement
    beyond = rig.frame(own, Controls(attributes={"SeFa 0": 99.0}, **posed), 64)
    assert np.array_equal(beyond["Portrait"], changed["Portrait"])
    assert np.array_equal(rig.frame(own, Controls(attributes={"SeFa 0": 0.0}, **posed), 64)["Portrait"], still["Portrait"])


def test_attributes_that_do_not_fit_are_told(rig):
    portrait = rig.new_portrait(3)
    with pytest.raises(StyleRigError, match="no attribute 'age'"):
        rig.frame(portrait, Controls(attributes={"age": 1.0}), 64)
    with pytest.raises(StyleRigError, match="attributes has values that are not finite"):
        rig.frame(portrait, Controls(attributes={"age": math.nan}), 64)
    found = find_directions(rig.generator, [0], 1)
    other = dataclasses.replace(found, header=found.header.model_copy(update={"generator": "0" * 64}))
    with pytest.raises(StyleRigError, match="belong to another generator"):
        rig.frame(dataclasses.replace(portrait, directions=other), Controls(attributes={"SeFa 0": 1.0}), 64)


def test_a_latent_alone_is_no_portrait(rig):
    with pytest.raises(StyleRigError, match="shape of the head"):
        rig.portrait_from_latent(rig.new_portrait(1).w, 0, 1.0)


def test_two_portraits_mix(rig):
    one, other = rig.new_portrait(1), rig.new_portrait(2)
    middle = between(rig, one, other, 0.25)
    assert torch.allclose(middle.parameters.identity, one.parameters.identity.lerp(other.parameters.identity, 0.25))
    assert np.allclose(middle.w, 0.75 * one.w + 0.25 * other.w)
    message = portrait_to_schema(middle, rig)
    request = schema.LatentRequest(seed=1, w=message.w, w_shape=message.w_shape, parameters=message.parameters)
    made = new_portrait(request, rig)
    assert np.array_equal(made.w, middle.w) and torch.equal(made.parameters.vector(), middle.parameters.vector())


def test_what_edits_of_w_do_is_not_measured_where_maps_steer(rig):
    with pytest.raises(StyleRigError, match="is steered by maps"):
        renderer_of(rig)
