"""The rig's promises that hold whatever the weights are."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.colour import linear_to_srgb, srgb_to_linear
from models.errors import StyleRigError
from models.face.alignment import project_landmarks
from models.face.camera import PORTRAIT_CAMERA, rotation_matrix
from models.face.parameters import RigParameters
from models.generators import CpuScheduler, Generator, GeneratorConfig, save_generator
from models.generators.config import StyleGAN2Config
from models.io.weights_file import read_network
from models.rigging import Controls, Rig
from models.rigging.frame_plan import plan_frame
from models.rigging.frame_renderer import MATTES, ReferenceCache
from models.rigging.local_blend import faded, grown, moving_area
from models.rigging.reconstruction import Reconstruction
from models.rigging.rignet import METHODS
from models.rigging.similarity_transform import Similarity
from tests.helpers.synthetic_face import synthetic_face
from tests.helpers.untrained_rig import untrained_rig

CONFIG = GeneratorConfig(resolution=32, channels={4: 16, 8: 16, 16: 16, 32: 16})


def pixel_centres(height: int, width: int) -> torch.Tensor:
    """NDC (H, W, 2) of the pixel centres, float64, y up."""
    x = (torch.arange(width, dtype=torch.float64) + 0.5) * (2 / width) - 1
    y = 1 - (torch.arange(height, dtype=torch.float64) + 0.5) * (2 / height)
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((columns, rows), dim=-1)


@pytest.fixture(scope="module")
def rig() -> Rig:
    return untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=3)


@pytest.fixture(scope="module")
def portrait(rig):
    return rig.new_portrait(seed=7)


@pytest.mark.parametrize("method", METHODS)
def test_own_parameters_return_the_portrait_itself(method):
    rig = untrained_rig(synthetic_face(), Generator.create(CONFIG), method=method, hidden=8, localize_expressions=True)
    portrait = rig.new_portrait(seed=1)
    own = portrait.parameters
    controls = Controls(
        rotation=tuple(own.rotation[0].tolist()),
        expression=dict(zip(rig.face.expression_names, own.expression[0].tolist(), strict=True)),
        light=own.light[0].numpy(),
    )
    for same in (Controls(), controls):
        plan = plan_frame(portrait, same, rig.face)
        assert plan.similarity.is_identity
        assert np.array_equal(rig.renderer.edited_latent(plan)[0].numpy(), portrait.w)


def test_controls_change_w_and_each_network_only_sees_its_own_part(rig, portrait):
    networks = rig.networks
    own = portrait.parameters
    wanted = own.replace(light=own.light + 1)
    w = torch.from_numpy(portrait.w)[None]
    for name, parts in (("pose", ("rotation",)), ("expression", ("expression",)), ("light", ("light",))):
        edited = networks.apply_one(networks.paper[name], parts, w, own, wanted)
        assert torch.equal(edited, w) == (name != "light")


def test_the_gain_of_turns_is_that_of_a_larger_wish():
    rig = untrained_rig(synthetic_face(), Generator.create(CONFIG), hidden=8)
    portrait = rig.new_portrait(seed=1)
    own, w = portrait.parameters, torch.as_tensor(portrait.w)[None]

    def turned(yaw: float) -> torch.Tensor:
        wanted = own.replace(rotation=own.rotation + torch.tensor([yaw, 0.1, 0.0]))
        return rig.networks(w, own, wanted, rig.reconstruction, rig.face) - w

    twice = turned(0.2)
    rig.networks.turn_gain.copy_(torch.tensor([2.0, 1.0, 1.0]))
    assert torch.allclose(turned(0.1), twice, atol=1e-6) and twice.abs().max() > 1e-4


def test_an_expression_neither_moves_nor_shrinks_the_head(rig, portrait):
    own = portrait.parameters.rotation[0].tolist()
    asked = {"rotation": (own[0] + 0.1, own[1], own[2] + 0.2), "scale": 1.2, "translation": (0.05, 0.0)}
    still, moved = (plan_frame(portrait, Controls(expression=weights, **asked), rig.face) for weights in ({}, {"expression2": 1.0}))
    assert moved.target.translation.sub(still.target.translation).abs().max() > 1e-3, "the alignment follows"
    assert moved.placement == pytest.approx(still.placement, abs=1e-4)
    eyes = project_landmarks(rig.face, moved.target.replace(expression=still.target.expression))[0, :, :2].double()
    before = project_landmarks(rig.face, still.target)[0, :, :2].double()
    assert (moved.similarity.to_output(eyes) - still.similarity.to_output(before)).abs().max() < 0.01


def test_where_the_networks_localize_expressions_one_changes_only_what_it_moves():
    rig = untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=3, localize_expressions=True)
    portrait = rig.new_portrait(seed=7)
    controls = Controls(expression={"expression1": 1.0}, rotation=(0.2, 0.0, 0.0))
    plan = plan_frame(portrait, controls, rig.face)
    states = plan, plan.reference
    both = RigParameters.from_vector(torch.cat([state.target.vector() for state in states]), rig.face)
    outside = faded(grown(moving_area(rig.face, both, [state.similarity for state in states])), 32)[0, 0].numpy() == 0
    still = rig.frame(portrait, Controls(rotation=(0.2, 0.0, 0.0)), passes=())["Combined"]
    frame = rig.frame(portrait, controls, passes=())["Combined"]
    assert outside.any() and not outside.all()
    assert np.array_equal(frame[outside], still[outside]) and np.abs(frame - still)[~outside].max() > 1e-3
    assert np.array_equal(frame, rig.frame(portrait, controls, passes=())["Combined"])
    drawn = []
    rig.renderer.synthesize = lambda w, *options, picture=rig.renderer.synthesize: drawn.append(len(w)) or picture(w, *options)
    rig.frame(portrait, Controls(expression={"expression1": 0.5}, rotation=(0.2, 0.0, 0.0)), passes=())
    assert drawn == [1], "what stays is remembered while an expression alone changes"
    turned = {"expression": {"expression1": 0.5}, "rotation": (0.1, 0.0, 0.0)}
    fresh = untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=3, localize_expressions=True)
    again = rig.frame(portrait, Controls(**turned), passes=())["Combined"]
    assert np.array_equal(again, fresh.frame(portrait, Controls(**turned), passes=())["Combined"])
    rig.networks.localize_expressions = False
    assert np.abs(rig.frame(portrait, controls, passes=())["Combined"] - still)[outside].max() > 1e-4


@pytest.mark.parametrize("size", [20, 32, 100])
@pytest.mark.parametrize("asked", [{}, {"rotation": (0.3, -0.2, 0.4), "scale": 0.6}, {"scale": 1.7, "translation": (0.3, 0.4)}])
def test_drawing_only_the_part_that_an_expression_changes_shows_the_same(size, asked):
    rig = untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=3, localize_expressions=True)
    portrait, controls = rig.new_portrait(seed=7), Controls(expression={"expression1": 1.0}, **asked)
    parts, picture = [], rig.renderer.synthesize
    rig.renderer.synthesize = lambda w, precision, boxes, offsets: parts.append(boxes[0]) or picture(w, precision, boxes, offsets)
    frame = rig.frame(portrait, controls, size=size, passes=())["Combined"]
    rig.renderer.synthesize = lambda w, precision, boxes, offsets: picture(w, precision)
    rig.renderer.references = ReferenceCache()
    assert np.array_equal(frame, rig.frame(portrait, controls, size=size, passes=())["Combined"])
    less = parts[0].height * parts[0].width < rig.generator.resolution**2
    assert less or asked.get("scale", 1.0) < 1, "where the head is shown small, the soft rim of the mask is wide in the crop"


def test_an_expression_that_moves_nothing_draws_the_head_once():
    rig = untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=3, localize_expressions=True)
    portrait, drawn, picture = rig.new_portrait(seed=7), [], rig.renderer.synthesize
    own = float(portrait.parameters.expression[0, rig.face.expression_names.index("expression1")])
    still = rig.frame(portrait, Controls(), passes=())["Combined"]
    rig.renderer.synthesize = lambda w, *options: drawn.append(len(w)) or picture(w, *options)
    frame = rig.frame(portrait, Controls(expression={"expression1": own + 1e-4}), passes=())["Combined"]
    assert drawn == [1] and np.abs(frame - still).max() < 1e-4


def test_frames_are_deterministic_and_have_the_promised_shapes(rig, portrait):
    controls = Controls(rotation=(0.3, 0.1, 0.2), expression={"expression1": 0.7}, scale=1.1)
    first, second = (rig.frame(portrait, controls, size=48) for _ in range(2))
    channels = {
        "Combined": 4, "Portrait": 3, "HeadMatte": 1, "FaceMask": 1, "Normal": 3, "Albedo": 3, "Shading": 3,
        "Specular": 3, "Occlusion": 1, "Depth": 1, "UV": 2, "Position": 3, **dict.fromkeys(MATTES, 1),
    }  # fmt: skip
    assert {name: array.shape for name, array in first.items()} == {n: (48, 48, c) for n, c in channels.items()}
    for name, array in first.items():
        assert array.dtype == np.float32 and np.isfinite(array).all()
        assert np.array_equal(array, second[name]), name
    assert first["Combined"][..., :3].max() <= 1 and (first["Combined"][..., :3] <= first["Combined"][..., 3:] + 1e-6).all()
    assert first.placement[:3] == pytest.approx((0.3, 0.1, 0.2))


@pytest.mark.parametrize("size", [64, 255, 512])
def test_a_frame_is_the_same_for_any_number_of_threads(rig, portrait, size):
    controls = Controls(rotation=(0.3, 0.1, 0.2), expression={"expression1": 0.7}, scale=1.1)
    before, frames, people = torch.get_num_threads(), [], []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            same = untrained_rig(rig.face, rig.generator, seed=3, scheduler=CpuScheduler(count))
            people.append(same.new_portrait(seed=8).parameters.vector())
            frames.append(same.frame(portrait, controls, size=size))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    for person, frame in zip(people, frames, strict=True):
        assert torch.equal(person, people[0])
        assert [name for name, array in frame.items() if not np.array_equal(array, frames[0][name])] == []


def test_portrait_is_combined_over_the_backdrop(rig, portrait):
    frame = rig.frame(portrait, Controls(), passes=("Portrait",))
    alpha = torch.from_numpy(frame["Combined"][..., 3:])
    straight = linear_to_srgb(torch.from_numpy(frame["Combined"][..., :3]) / alpha.clamp(min=1e-4))
    over = straight * alpha + 0.5 * (1 - alpha)
    assert np.abs(over.numpy() - frame["Portrait"]).max() < 2e-3


def test_roll_turns_the_head_about_its_origin_by_the_asked_angle(rig, portrait):
    own = portrait.parameters.rotation[0].tolist()
    wanted = own[2] + math.radians(25)
    plan = plan_frame(portrait, Controls(rotation=(own[0], own[1], wanted), translation=(0.1, -0.05)), rig.face)
    crop = project_landmarks(rig.face, plan.target)[0, :, :2].double()
    moved = plan.similarity.to_output(crop)
    x, y, z = plan.placement[3:]
    exact = plan.target.replace(rotation=torch.tensor([plan.placement[:3]]), translation=torch.tensor([[x, y, z]]))
    # A head off the axis is seen a little from the side, and turning the picture keeps that side.
    assert (project_landmarks(rig.face, exact)[0, :, :2] - moved).abs().max() < 0.03
    turned = plan_frame(portrait, Controls(rotation=(own[0], own[1], wanted)), rig.face)
    exact = turned.target.replace(rotation=torch.tensor([turned.placement[:3]]))
    assert (project_landmarks(rig.face, exact)[0, :, :2] - turned.similarity.to_output(crop)).abs().max() < 0.005


def test_a_given_light_stays_in_the_world_when_the_head_rolls(rig, portrait):
    own = portrait.parameters
    light = own.light[0].numpy() + np.eye(9, 3, dtype=np.float32)
    rotation = (*own.rotation[0, :2].tolist(), float(own.rotation[0, 2]) + 0.5)
    turned = plan_frame(portrait, Controls(rotation=rotation, light=light), rig.face).target.light[0].numpy()
    assert not np.allclose(turned, light)
    assert np.allclose(turned[0], light[0]) and np.allclose(np.linalg.norm(turned, axis=0), np.linalg.norm(light, axis=0), rtol=1e-5)


def test_warp_moves_pixels_where_its_formula_says():
    similarity = Similarity(angle=0.4, scale=1.3, pivot=(0.1, -0.2), shift=(0.2, 0.1))
    centres = pixel_centres(64, 64)
    image = torch.exp(-40 * (centres - torch.tensor([0.3, 0.25])).square().sum(-1)).float()[None, None]
    moved = similarity.warp(image)[0, 0].double()
    found = (centres * moved[..., None]).sum((0, 1)) / moved.sum()
    assert torch.allclose(found, similarity.to_output(torch.tensor([0.3, 0.25]).double()), atol=0.01)


def test_srgb_transfer_round_trip():
    values = torch.linspace(0, 1, 257)
    assert torch.allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-6)


@pytest.mark.parametrize(
    "controls",
    [
        Controls(expression={"noSuchShape": 0.5}),
        Controls(rotation=(math.nan, 0, 0)),
        Controls(rotation=(0, 0)),
        Controls(light=np.zeros((4, 3))),
        Controls(scale=0.0),
        Controls(translation=("a", 0)),
    ],
)
def test_bad_controls_are_refused(rig, portrait, controls):
    with pytest.raises(StyleRigError, match="controls"):
        rig.frame(portrait, controls)


def test_a_portrait_of_other_weights_is_refused(rig):
    other = untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=4)
    with pytest.raises(StyleRigError) as caught:
        rig.frame(other.new_portrait(seed=7), Controls())
    assert caught.value.code == "other_weights"


def test_rig_files_round_trip_and_faults_are_named(rig, tmp_path):
    save_generator(rig.generator, tmp_path / "tiny-generator.safetensors")
    rig.reconstruction.save(tmp_path / "tiny-reconstruction.safetensors", {"note": 1})
    with pytest.raises(StyleRigError, match="lacks tiny-rignet"):
        Rig.load(tmp_path, face=rig.face)
    rig.networks.save(tmp_path / "tiny-rignet.safetensors", {})
    loaded = Rig.load(tmp_path, face=rig.face)
    assert loaded.name == "tiny" and len(loaded.weights_hash) == 64
    portrait = loaded.new_portrait(seed=2)
    assert np.array_equal(loaded.renderer.edited_latent(plan_frame(portrait, Controls(), loaded.face))[0].numpy(), portrait.w)
    other_head = dataclasses.replace(rig.face, mean=rig.face.mean + 1e-3)
    with pytest.raises(StyleRigError) as caught:
        Rig.load(tmp_path, face=other_head).frame(portrait, Controls())
    assert caught.value.code == "other_weights"
    with pytest.raises(StyleRigError, match="another generator or face model"):
        Rig.load(tmp_path, face=synthetic_face(identity=9))
    header, state = read_network(tmp_path / "tiny-rignet.safetensors", "rignet")
    shape = {**header["shape"], "networks": 3}
    save_file(state, tmp_path / "tiny-rignet.safetensors", {"stylerig": json.dumps({**header, "shape": shape})})
    with pytest.raises(StyleRigError, match="another version"):
        Rig.load(tmp_path, face=rig.face)
    (tmp_path / "tiny-rignet.safetensors").write_bytes(b"broken")
    with pytest.raises(StyleRigError, match="cannot be used"):
        Rig.load(tmp_path, face=rig.face)
    with pytest.raises(StyleRigError, match="no weights"):
        Rig.load(tmp_path / "nowhere", face=rig.face)


def test_the_linear_path_of_the_reconstruction_is_fitted_in_closed_form(rig):
    random = torch.Generator().manual_seed(0)
    network = Reconstruction.create(rig.face, 3, 16)
    w = torch.randn(400, 3, 16, generator=random)
    wanted = network.mean + network.spread * (w.flatten(1) @ torch.randn(48, len(network.mean), generator=random))
    before = (network.vector(w) - wanted).square().mean()
    network.fit_linear(w, wanted, ridge=1e-4)
    network.mlp[-1].weight.data.zero_()
    assert (network.vector(w) - wanted).square().mean() < 1e-4 * before


def seen_by_camera(rig, frame, size: int) -> tuple[np.ndarray, np.ndarray]:
    """NDC of the pixels that see the mesh (P, 2), and what Position says of them (P, 3)."""
    covered = frame["Depth"][..., 0] < 1e9
    return pixel_centres(size, size).numpy()[covered], frame["Position"][covered]


def inner(mask: np.ndarray) -> np.ndarray:
    """Pixels (H, W) whose neighbours are of the mask too: the fringe of a soft outline has its neighbour's values."""
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def test_position_and_depth_lead_back_to_their_pixel(rig, portrait):
    frame = rig.frame(portrait, Controls(), size=64)
    ndc, points = seen_by_camera(rig, frame, 64)
    projected = PORTRAIT_CAMERA.project(torch.from_numpy(points)[None])[0].numpy()
    sure = inner(frame["Depth"][..., 0] < 1e9)[frame["Depth"][..., 0] < 1e9]
    assert np.abs(projected[sure, :2] - ndc[sure]).max() < 1e-4 and sure.sum() > 500
    assert np.abs(projected[:, 2] - frame["Depth"][frame["Depth"] < 1e9]).max() < 1e-3


def test_passes_of_a_moved_head_are_those_of_the_head_at_its_placement(rig, portrait):
    """Position and Normal, taken back into the head, are points and normals of its surface; UV is theirs."""
    rolled = Controls(rotation=(0.2, -0.1, 0.7), translation=(0.1, -0.05), scale=0.6)
    frame = rig.frame(portrait, rolled, size=96)
    at = torch.tensor(frame.placement, dtype=torch.float32)
    covered = inner(frame["Depth"][..., 0] < 1e9)
    turn = rotation_matrix(at[None, :3])[0].numpy()
    points = (frame["Position"][covered] - at[3:].numpy()) @ turn
    plan = plan_frame(portrait, rolled, rig.face)
    own = plan.target
    vertices = rig.face.vertices(own.identity, own.expression)[0].numpy()
    corners = vertices[rig.face.triangles.numpy()]
    nearest = np.linalg.norm(points[:, None] - corners.mean(1)[None], axis=2).argmin(1)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    distance = np.abs(((points - corners[nearest, 0]) * normals[nearest]).sum(1))
    assert np.median(distance) < 0.05 and distance.max() < 0.6  # cm, of the triangles' planes
    smooth = frame["Normal"][covered] @ turn
    assert np.median((smooth * normals[nearest]).sum(1)) > 0.98
    uv = rig.face.uv.numpy()[rig.face.uv_triangles.numpy()][nearest]
    near = frame["UV"][covered][:, None] - uv
    assert np.median(np.abs(near).min(axis=1)) < 0.05


def test_a_generator_without_a_matte_gets_one_grown_from_the_mesh():
    config = StyleGAN2Config(resolution=32, channels={4: 16, 8: 16, 16: 16, 32: 16})
    rig = untrained_rig(synthetic_face(), Generator.create(config), seed=3)
    portrait = rig.new_portrait(seed=1)
    frame = rig.frame(portrait, Controls(), size=64)
    matte, face = frame["HeadMatte"][..., 0], frame["FaceMask"][..., 0]
    assert np.array_equal(matte, frame["Combined"][..., 3])
    assert matte[face > 0.99].min() > 0.99 and matte[0, 0] < 0.01 and np.unique(matte).size > 100
    plain = rig.frame(portrait, Controls(), size=64, passes=("Portrait",))["Portrait"]
    assert plain[0, 0].std() >= 0 and np.abs(plain[0, 0] - 0.5).max() > 1e-3  # the picture's own background
