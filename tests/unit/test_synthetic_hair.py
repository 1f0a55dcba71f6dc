"""Hair of the studio's people: who wears what, where it grows, that it stays outside the head and follows the face."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.face import load_face_model
from models.face.mesh_topology import vertex_normals
from models.synthetic import clothing, hair
from models.synthetic.__main__ import HEAD
from models.synthetic.hair import hairline, solid
from models.synthetic.hair.colour import white_share
from models.synthetic.hair.styles import STYLES
from models.synthetic.matte import matte, smooth
from models.synthetic.message import Pose

CLOTH = 0.6


@pytest.fixture(scope="module")
def face():
    return load_face_model(HEAD)


@pytest.fixture(scope="module")
def assets(face):
    return hair.prepare(face)


def somebody(face, seed=0, age=30.0, masculine=0.0, **numbers):
    """A person of these numbers and otherwise random ones."""
    random = np.random.default_rng(seed)
    look = dict(zip(hair.NUMBERS, random.normal(size=len(hair.NUMBERS)), strict=True)) | numbers
    return SimpleNamespace(age=age, masculine=masculine, reflectance=random.normal(size=len(face.albedo)), look=look)


def wearing(face, style, **more):
    """A person with that haircut, of mean numbers."""
    numbers = dict.fromkeys(hair.NUMBERS, 0.0) | {"balding": -3.0, f"style_{style}": 20.0}
    return somebody(face, **{"masculine": -0.5} | numbers | more)


def head_of(face, **expression):
    """Vertices and normals of the mean head with expressions at full strength."""
    weights = torch.tensor([[float(name in expression) for name in face.expression_names]])
    shape = face.vertices(torch.zeros(1, len(face.identity)), weights)
    return shape[0].numpy().astype(float), vertex_normals(shape, face.triangles)[0].numpy()


def grown(person, assets, face):
    bust = clothing.bust(SimpleNamespace(broad=1.0), 1.0)
    return hair.grow(person, assets, *head_of(face), bust, CLOTH)


def spans(strands):
    """Length (R,) of each strand."""
    return np.linalg.norm(np.diff(strands.points, axis=1), axis=2).sum(axis=1)


def test_styles_come_in_the_order_of_their_length(face, assets):
    names = ("shaved", "buzz", "crew", "side_part", "bob", "long_straight")
    lengths = [np.median(spans(grown(wearing(face, name), assets, face)["scalp"])) for name in names]
    assert lengths == sorted(lengths)
    assert lengths[0] < 0.3 and lengths[-1] > 20
    assert [hair.is_long(wearing(face, name)) for name in names] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("style", STYLES)
def test_hair_of_every_style_is_sound_and_stays_outside_the_head(face, assets, style):
    groom = grown(wearing(face, style), assets, face)
    strands = groom["scalp"]
    count, points = strands.points.shape[:2]
    assert count > 1500 and strands.radius.shape == (count, points) and strands.colour.shape == (count, 3)
    assert np.isfinite(strands.points).all() and (strands.radius > 0).all() and (strands.colour > 0).all()
    assert strands.radius.max() < 0.05, "a strand as thick as a twig"
    head, normals = head_of(face)
    distance, _ = solid.head_solid(assets.cells, head, normals).look_up(strands.points)
    assert (distance > -0.35).mean() > 0.995


@pytest.mark.parametrize("style", ["long_straight", "long_waves", "bob", "messy", "low_ponytail", "box_braids"])
def test_hair_without_a_fringe_leaves_the_face_free(face, assets, style):
    person = wearing(face, style)
    points = grown(person, assets, face)["scalp"].points
    before_face = (np.abs(points[..., 0]) < 4.5) & (points[..., 2] > 6) & (points[..., 1] < 5) & (points[..., 1] > -7)
    assert before_face.any(axis=1).mean() < 0.012


def test_a_fringe_ends_above_the_eyes(face, assets):
    points = grown(wearing(face, "fringe_long"), assets, face)["scalp"].points
    front = (np.abs(points[:, -1, 0]) < 4) & (points[:, -1, 2] > 6)
    assert front.sum() > 100
    assert np.percentile(points[front, -1, 1], 5) > 4.0
    assert np.percentile(points[front, -1, 1], 50) < 8.0


def test_long_hair_lies_on_the_shoulders_of_a_turned_body(face, assets):
    strands = grown(wearing(face, "long_straight"), assets, face)["scalp"]
    turned = torch.tensor([[0.6, 0.2, 0.0]])
    pose = Pose(turned, torch.zeros(1, 3), np.array([0.1, 0.0, 0.0]))
    world = hair.moved(strands, *head_of(face), assets.face, pose)
    low = strands.points[..., 1] < -15
    distance, _ = strands.shoulders.look_up(pose.to_body(world[low].astype(float)))
    assert (distance > -0.6).mean() > 0.97
    roots = strands.points[:, 0][strands.points[:, 0, 1] > 0]
    assert np.allclose(world[strands.points[:, 0, 1] > 0, 0], pose.head(roots), atol=1e-3), "roots follow the skull"


def test_a_hairline_is_a_persons_own_and_no_straight_edge(face):
    azimuth = np.linspace(-50, 50, 101)
    lines = [hairline.higher(azimuth, hair.hair_look(somebody(face, seed, masculine=-1.0))) for seed in range(20)]
    assert np.mean([np.std(np.diff(line)) for line in lines]) > 0.05
    assert np.std([line.mean() for line in lines]) > 1.0
    assert all(np.abs(line - line[::-1]).max() > 0.3 for line in lines), "nobody is symmetric"
    density = hairline.density(face.mean.numpy().astype(float), hair.hair_look(wearing(face, "crew")))
    assert ((density > 0.1) & (density < 0.9)).sum() > 150, "density falls off"


def test_age_and_sex_shift_who_wears_what_without_a_rule(face):
    def share(test, **who):
        return np.mean([test(hair.hair_look(somebody(face, seed, **who))) for seed in range(400)])

    long = lambda look: look.style.long
    assert 0.02 < share(long, masculine=0.9) < 0.25
    assert 0.5 < share(long, masculine=-0.9) < 0.96
    bearded = lambda look: look.beard.dense > 0.3
    assert 0.2 < share(bearded, masculine=0.9) < 0.7 and share(bearded, masculine=-0.9) < 0.03
    bald = lambda look: look.balding > 0.5
    assert share(bald, masculine=0.9, age=25.0) < 0.05 < share(bald, masculine=0.9, age=65.0) < 0.8
    assert share(bald, masculine=-0.9, age=65.0) < 0.03
    worn = {hair.hair_look(somebody(face, seed, masculine=(-1.0) ** seed, age=20.0 + seed % 60)).name for seed in range(600)}
    assert worn == set(STYLES)


def test_hair_whitens_with_age_and_at_the_temples_first(face, assets):
    shares = [np.mean([white_share(somebody(face, seed).look, age) for seed in range(200)]) for age in (25.0, 45.0, 60.0, 78.0)]
    assert shares[0] < 0.02 and shares == sorted(shares) and shares[-1] > 0.6
    person = wearing(face, "side_part", age=52.0, masculine=1.0, hair_dark=1.0)
    strands = grown(person, assets, face)["scalp"]
    light, root = strands.colour.mean(axis=1), strands.points[:, 0]
    temples = (np.abs(root[:, 0]) > 6) & (root[:, 2] > 1)
    assert light[temples].mean() > 1.3 * light[root[:, 1] > 13].mean()


def test_hair_has_the_colours_that_people_have(face):
    colours = np.stack([hair.hair_look(somebody(face, seed, dye=-1.0)).pigment.colour for seed in range(400)])
    light = colours.mean(axis=1)
    assert np.percentile(light, 10) < 0.012 and np.percentile(light, 98) > 0.12
    assert (colours[:, 0] >= colours[:, 1]).all() and (colours[:, 1] >= colours[:, 2]).all(), "black to brown to fair or red, never green"
    red = hair.hair_look(somebody(face, 1, dye=-1.0, hair_red=2.5, hair_dark=0.0)).pigment.colour
    assert red[0] > 2.0 * red[1]


def test_the_same_person_grows_the_same_hair(face, assets):
    first, second, other = (grown(somebody(face, seed, masculine=1.0, beard=2.0), assets, face) for seed in (1, 1, 2))
    assert all(np.array_equal(first[kind].points, second[kind].points) for kind in hair.KINDS)
    assert first["scalp"].points.shape != other["scalp"].points.shape or not np.allclose(first["scalp"].points, other["scalp"].points)


def test_beard_and_brows_follow_the_expression_and_keep_their_lie(face, assets):
    groom = grown(somebody(face, 3, masculine=1.0, beard=3.0, beard_style=1.0, beard_length=0.5, moustache=-1.0), assets, face)
    pose = Pose(torch.zeros(1, 3), torch.zeros(1, 3), np.zeros(3))
    rest, opened = (hair.moved(groom["beard"], *head_of(face, **expression), assets.face, pose) for expression in ({}, {"jawOpen": 1}))
    assert np.allclose(rest, groom["beard"].points, atol=1e-3)
    chin = (np.abs(rest[:, 0, 0]) < 2) & (rest[:, 0, 1] < -5.5)
    assert (rest[chin, 0, 1] - opened[chin, 0, 1]).mean() > 1.0
    along = lambda points: points[:, -1] - points[:, 0]
    turned = (
        np.sum(along(rest)[chin] * along(opened)[chin], axis=1)
        / np.linalg.norm(along(rest)[chin], axis=1)
        / np.linalg.norm(along(opened)[chin], axis=1)
    )
    assert turned.mean() < 0.995, "hairs turn with the skin"
    assert np.allclose(np.linalg.norm(along(rest), axis=1), np.linalg.norm(along(opened), axis=1), rtol=0.02)
    up = hair.moved(groom["brows"], *head_of(face, browOuterUp_L=1, browOuterUp_R=1), assets.face, pose)
    assert (up[:, 0, 1] - groom["brows"].points[:, 0, 1]).max() > 0.3


def test_a_beard_leaves_lips_and_cheeks_bare(face, assets):
    groom = grown(
        somebody(face, 3, masculine=1.0, beard=3.0, beard_style=1.0, beard_length=0.0, beard_dense=1.0, moustache=-1.0), assets, face
    )
    root = groom["beard"].points[:, 0]
    lips = face.mean.numpy()[face.landmarks.numpy()[48:60]]
    on_lips = (
        (np.abs(root[:, 0]) < 1.8) & (root[:, 1] < lips[:, 1].max() - 0.25) & (root[:, 1] > lips[:, 1].min() + 0.25) & (root[:, 2] > 9)
    )
    assert not on_lips.any()
    assert not ((root[:, 1] > 0.5) & (np.abs(root[:, 0]) < 5.5)).any()
    assert len(root) > 3000


def test_brows_differ_in_thickness_and_arch(face, assets):
    def heights(**numbers):
        points = grown(wearing(face, "crew", **numbers), assets, face)["brows"].points[:, 0]
        return points[:, 1], np.abs(points[:, 0])

    thin, thick = (len(heights(brow_thick=value, brow_dense=value / 2)[0]) for value in (-2.0, 2.0))
    assert thick > 1.8 * thin
    middle = {}
    for arch in (-2.0, 2.0):
        y, x = heights(brow_arch=arch)
        middle[arch] = y[(x > 3.5) & (x < 5)].mean() - y[x < 2].mean()
    assert middle[2.0] - middle[-2.0] > 0.4


def test_scalp_cover_is_where_hair_stands(face):
    cover, tint = hair.scalp_cover(wearing(face, "buzz"), face)
    mean = face.mean.numpy()
    assert cover.shape == (len(mean),) and tint.shape == (3,) and cover.min() >= 0 and cover.max() <= 1
    assert cover[mean[:, 1] > 14].min() > 0.3
    assert cover[(mean[:, 2] > 7) & (mean[:, 1] < 8)].max() == 0
    bald, _ = hair.scalp_cover(wearing(face, "buzz", balding=9.0, age=75.0, masculine=1.0), face)
    assert bald[mean[:, 1] > 14].max() < 0.15


def one_strand(width: float):
    """Messages of a lone vertical strand ``width`` cm wide across the frame, and of nothing else."""
    empty = np.zeros((1, 3))
    shot = {
        "distance": 100.0,
        "half_width": 10.0,
        **dict.fromkeys(("head", "bust", "shirt", "jacket", "collar", "glasses", "earrings"), empty),
    }
    shot |= {f"{kind}_points": np.zeros((0, 2, 3)) for kind in ("beard", "brows", "lashes")}
    lines = np.array([[[x, -12.0, 0.0], [x, 0.0, 0.0], [x, 12.0, 0.0]] for x in np.linspace(-8, 8, 400)])
    person = {"size": np.array(64), "scalp_radius": np.full((400, 3), width / 2)}
    quads = {f"{name}_quads": np.zeros((1, 4), int) for name in ("head", "bust", "shirt", "jacket", "collar", "glasses", "earrings")}
    return quads | {"glasses_material": np.zeros(1)}, person, shot | {"scalp_points": lines}


def test_a_matte_of_strands_covers_as_much_as_they_do():
    alpha = matte(*one_strand(0.01))  # 400 strands of 0.1 mm within 16 cm, a quarter of it
    middle = alpha[16:48, 12:52]
    assert middle.mean() == pytest.approx(0.25, abs=0.03)
    assert alpha[:, :4].max() < 0.02


def test_a_matte_fills_meshes_to_their_outline():
    stage, person, shot = one_strand(0.01)
    shot = shot | {"scalp_points": np.zeros((0, 3, 3)), "head": np.array([[-5.0, -5, 0], [5, -5, 0], [5, 5, 0], [-5, 5, 0]])}
    alpha = matte(stage | {"head_quads": np.array([[0, 1, 2, 3]])}, person, shot)
    assert alpha[24:40, 24:40].min() > 0.99 and alpha[:12].max() < 0.01
    assert alpha.sum() == pytest.approx(32 * 32, rel=0.02)


def test_a_smoothed_strand_runs_through_its_points_and_bends_between_them():
    t = np.linspace(0, 1, 9)[None, :, None]
    circle = np.concatenate((np.cos(3 * t), np.sin(3 * t), 0 * t), axis=-1)
    finer = smooth(circle)
    assert finer.shape == (1, 17, 3) and np.array_equal(finer[:, ::2], circle)
    assert np.abs(np.linalg.norm(finer[0, 3:-3], axis=1) - 1).max() < 0.002
