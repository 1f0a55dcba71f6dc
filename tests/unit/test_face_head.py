"""Our head close up: its mesh and UVs, what closes, what stays whole, and how near it is to measured faces."""

from __future__ import annotations

import itertools
import math
import os
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import StyleRigError
from models.face import load_face_model
from models.face.fragments import rasterize
from models.face.own_head.measurements import FIGURES, read_figures
from models.face.own_head.reflectance import DARK, LIGHT, MIDDLE, MODE_NAMES
from models.face.own_head.surface import locate
from tests.helpers.face_contact import Contact, random_expressions, seen

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT.parent / "shared" / "ict-facekit" / "ICT-FaceKit.tar.xz"
PEOPLE = 50
NARROW_FACE = 6706  # ICT-FaceKit's first vertices: the face without ears, neck and the back of the head


@pytest.fixture(scope="module")
def face():
    return load_face_model(None)


@pytest.fixture(scope="module")
def contact():
    return Contact()


@pytest.fixture(scope="module")
def people(face):
    """Weights (50, 80) of random people."""
    return torch.randn(PEOPLE, face.identity.shape[0], generator=torch.Generator().manual_seed(2))


def shaped(face, identity=None, expression=None) -> torch.Tensor:
    """Vertices (V, 3) for identity weights (80,) and expressions by name."""
    identity = torch.zeros(face.identity.shape[0]) if identity is None else identity
    return face.vertices(identity[None], face.expression_weights(expression or {}))[0]


def both(name: str, weight: float = 1.0) -> dict[str, float]:
    return {f"{name}_L": weight, f"{name}_R": weight}


# The mesh


def quad_normals(vertices: torch.Tensor, quads: torch.Tensor) -> torch.Tensor:
    """Half the cross product of the diagonals (Q, 3): as long as the quad's area."""
    a, b, c, d = (vertices[quads[:, k]] for k in range(4))
    return torch.linalg.cross(c - a, d - b) / 2


@pytest.mark.parametrize("mesh", ["full", "proxy"])
def test_every_face_is_a_quad_with_an_area(face, mesh):
    face = face if mesh == "full" else face.proxy
    assert (face.quads >= 0).all()
    assert quad_normals(face.mean, face.quads).norm(dim=1).min() > 1e-5  # cm²: nowhere folded to a line
    sides = (face.mean[face.quads.roll(-1, 1)] - face.mean[face.quads]).norm(dim=2)
    assert (sides.amin(dim=1) > 0.1 * sides.amax(dim=1)).float().mean() > 0.9


def test_the_skin_is_welded_and_open_only_where_it_should_be(face):
    skin = face.masks["skin"] > 0.5
    points = face.mean[skin]
    near = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") + torch.eye(len(points))
    assert near.min() > 1e-3  # no seam of doubled vertices
    inside = face.masks["eyes"] + face.masks["teeth"] == 0
    quads = face.quads[inside[face.quads].all(dim=1)]
    edges = torch.stack((quads, quads.roll(-1, 1)), dim=-1).reshape(-1, 2).sort(dim=1).values
    unique, count = edges.unique(dim=0, return_counts=True)
    ends = face.mean[unique[count == 1]].mean(dim=1)
    at_neck, in_eye = ends[:, 1] < -9.5, (ends - face.eye_centers[:, None]).norm(dim=2).amin(dim=0) < 1.7
    assert (at_neck | in_eye).all() and at_neck.any() and in_eye.any()


def test_normals_are_smooth_over_the_seam(face):
    """Neighbouring quads of face and back meet as flatly as any two of the back do; ears apart."""
    skin = face.masks["skin"] > 0.5
    quads = face.quads[skin[face.quads].all(dim=1)]
    normals = torch.nn.functional.normalize(quad_normals(face.mean, quads), dim=1)
    on_face = face.uv_quads[: len(quads)]
    front = face.uv[on_face][..., 1].amin(dim=1) > 0.21
    edges = torch.stack((quads, quads.roll(-1, 1)), dim=-1).sort(dim=-1).values
    key = (edges[..., 0] * len(face.mean) + edges[..., 1]).reshape(-1)
    order = key.argsort()
    pair = order[:-1][key[order][:-1] == key[order][1:]] // 4, order[1:][key[order][:-1] == key[order][1:]] // 4
    middle = face.mean[quads[pair[0]]].mean(dim=1)
    seam = (front[pair[0]] != front[pair[1]]) & ((middle[:, 1] > 4.5) | (middle[:, 1] < -3))
    angle = torch.rad2deg((normals[pair[0]] * normals[pair[1]]).sum(dim=1).clamp(-1, 1).arccos())
    assert seam.sum() > 60 and angle[seam].median() < 6 and angle[seam].max() < 25


@pytest.mark.parametrize("mesh", ["full", "proxy"])
def test_uv_layout_does_not_overlap(face, mesh):
    face = face if mesh == "full" else face.proxy
    corners = face.uv[face.uv_triangles]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs() / 2
    flat = torch.cat((face.uv * 2 - 1, torch.ones(len(face.uv), 1)), dim=1)
    covered = (rasterize(flat[None], face.uv_triangles, 1024).triangle >= 0).float().mean()
    assert area.sum().item() == pytest.approx(covered.item(), abs=0.003)
    used = face.uv[face.uv_quads]
    assert used.min() >= 0 and used.max() <= 1


def test_vertex_groups(face):
    assert {"head", "neck", "jaw", "eye_L", "eye_R"} <= set(face.groups)
    assert torch.allclose(face.groups["head"] + face.groups["neck"], torch.ones(len(face.mean)))
    chin, brow = face.landmarks[8], face.landmarks[19]
    assert face.groups["jaw"][chin] > 0.8 and face.groups["jaw"][brow] < 0.05
    assert face.groups["head"][chin] == 1 and face.groups["neck"][face.mean[:, 1].argmin()] == 1


# What closes


def test_lips_touch_at_rest_whoever_it_is(face, contact, people):
    for identity in (torch.zeros(80), *people[:12]):
        vertices = shaped(face, identity)
        assert np.abs(contact.gap(vertices, contact.lips)).max() < 0.06
        assert seen(face, vertices, "teeth") < 3  # of 192² pixels


def test_mouth_close_shuts_the_open_jaw(face, contact):
    vertices = shaped(face, expression={"jawOpen": 1, "mouthClose": 1})
    assert np.abs(contact.gap(vertices, contact.lips)).max() < 0.05
    half = shaped(face, expression={"jawOpen": 0.5, "mouthClose": 0.5})
    assert np.abs(contact.gap(half, contact.lips)).max() < 0.05


def test_lids_close_and_cover_the_eyes(face, contact, people):
    closed = shaped(face, expression=both("eyeBlink"))
    for side in ("L", "R"):
        gap = contact.gap(closed, contact.lashes[side])
        assert gap.max() < 0.01 and gap.min() > -0.15  # cm: the upper lid lies over the lower one at the corner
    shares = []
    for identity in (torch.zeros(80), *people[:12]):
        open_eyes = seen(face, shaped(face, identity), "eyes")
        shares.append(seen(face, shaped(face, identity, both("eyeBlink")), "eyes") / open_eyes)
    assert shares[0] == 0 and np.mean(shares) < 0.025 and np.max(shares) < 0.2


def test_closing_lids_stay_outside_the_eyeball(face, contact):
    for weight in (0.25, 0.5, 0.75, 1.0):
        vertices = shaped(face, expression=both("eyeBlink", weight))
        for row, side in enumerate(("L", "R")):
            eye = vertices[face.groups[f"eye_{side}"] > 0.5] - face.eye_centers[row]
            radius = eye.norm(dim=1).median()
            upper = vertices[torch.from_numpy(contact.lids[side].ravel())] - face.eye_centers[row]
            assert (upper.norm(dim=1) - radius).min() > -0.05


def test_teeth_and_mouth_follow_the_jaw(face):
    moved = shaped(face, expression={"jawOpen": 1}) - face.mean
    mouth = (face.masks["mouth"] > 0.5).nonzero()[:, 0]
    floor, roof = mouth[face.mean[mouth, 1] < -5], mouth[face.mean[mouth, 1] > -1.5]
    assert moved[floor, 1].mean() < -1.2 and moved[roof, 1].abs().mean() < 0.5
    teeth = (face.masks["teeth"] > 0.5).nonzero()[:, 0]
    lower = teeth[len(teeth) // 2 :]
    assert moved[lower, 1].max() < -1 and moved[teeth[: len(teeth) // 2]].abs().max() < 0.2


# What stays whole


def poses(face) -> dict[str, torch.Tensor]:
    """Every expression alone (mouthClose over the open jaw it is made for) and 50 random combinations: weights (1, E)."""
    result = {name: face.expression_weights({name: 1}) for name in face.expression_names}
    result["mouthClose"] = face.expression_weights({"mouthClose": 1, "jawOpen": 1})
    combined = random_expressions(face, 50)
    return result | {f"combination {i}": combined[i : i + 1] for i in range(len(combined))}


def test_expressions_compose_without_crossing_or_tearing(face, contact):
    """Lips and lids never cross by more than a millimetre or so, no skin turns inside out, none is torn."""
    skin = face.masks["skin"] > 0.5
    quads = face.quads[skin[face.quads].all(dim=1)]
    rest = quad_normals(face.mean, quads)
    people = torch.zeros(1, face.identity.shape[0])
    for name, weights in poses(face).items():
        vertices = face.vertices(people, weights)[0]
        assert contact.gap(vertices, contact.lips).min() > -0.12, name
        for side in ("L", "R"):
            assert contact.gap(vertices, contact.lashes[side]).min() > -0.15, name
        normals = quad_normals(vertices, quads)
        turned = (normals * rest).sum(dim=1) < 0
        assert turned.float().mean() < 0.006, name
        stretch = (normals.norm(dim=1) / rest.norm(dim=1)).quantile(torch.tensor([0.001, 0.999]))
        assert stretch[0] > 0.05 and stretch[1] < 16, name


MOUTH = ("cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthDimple", "mouthFrown", "mouthFunnel", "mouthLeft", "mouthLowerDown",
         "mouthPress", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmile",
         "mouthStretch", "mouthUpperUp")  # fmt: skip
FOLDED = 0.02  # of the lips' quads: so many may look inward in a combination that do not with any part of it


class Lips:
    """The quads of the lips, and which of them an expression turns inside out."""

    def __init__(self, face, contact):
        lips, corners = np.unique(contact.sheet.rings["mouth"]), face.quads
        self.face, self.vertices = face, torch.from_numpy(lips)
        corners = corners[torch.isin(corners, self.vertices).all(dim=1)]
        self.quads = torch.searchsorted(self.vertices, corners)
        self.expression = face.expression[:, self.vertices].flatten(1)

    def rest(self, identity: torch.Tensor) -> torch.Tensor:
        """Vertices (V, 3) without expression for identity weights (80,)."""
        return self.face.mean[self.vertices] + (identity @ self.face.identity[:, self.vertices].flatten(1)).unflatten(0, (-1, 3))

    def turned(self, rest: torch.Tensor, weight: float, *names: str) -> torch.Tensor:
        """Which of the quads (Q,) look the other way than at ``rest`` with these expressions, on both sides."""
        wanted = {name: weight for name in self.face.expression_names if name.removesuffix("_L").removesuffix("_R") in names}
        moved = rest + (self.face.expression_weights(wanted) @ self.expression).view(-1, 3)
        return (quad_normals(moved, self.quads) * quad_normals(rest, self.quads)).sum(dim=1) < 0

    def folded(self, rest: torch.Tensor, weight: float, *names: str) -> float:
        """Share of the quads that only the combination turns inside out."""
        alone = torch.stack([self.turned(rest, weight, name) for name in names]).any(dim=0)
        return float((self.turned(rest, weight, *names) & ~alone).float().mean())


@pytest.fixture(scope="module")
def lips(face, contact):
    return Lips(face, contact)


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_an_open_smiling_puckered_mouth_does_not_crumple(lips, people, weight):
    parts = ("jawOpen", "mouthSmile", "mouthPucker")
    combinations = [names for count in (2, 3) for names in itertools.combinations(parts, count)]
    shares = [lips.folded(lips.rest(identity), weight, *names) for identity in people for names in combinations]
    assert max(shares) <= FOLDED and np.mean(shares) < 0.002


def test_no_two_expressions_of_the_mouth_fold_the_lips(face, lips):
    rest = face.mean[lips.vertices]
    contrary = [{"jawLeft", "jawRight"}, {"mouthLeft", "mouthRight"}]
    shares = {pair: lips.folded(rest, 1.0, *pair) for pair in itertools.combinations(MOUTH, 2) if set(pair) not in contrary}
    assert {pair: share for pair, share in shares.items() if share > FOLDED} == {}


# Against measured faces


@pytest.fixture(scope="session")
def measured(tmp_path_factory) -> np.ndarray:
    """The narrow face of ICT-FaceKit: the mean and 80 identity modes (81, 6706, 3), from its folder or its archive."""
    names = ["generic_neutral_mesh", *(f"identity{number:03d}" for number in range(80))]
    folders = [Path(os.environ.get("STYLERIG_ICT", "")), ARCHIVE.parent, Path(tempfile.gettempdir()) / "ict"]
    folder = next((place for place in folders if (place / "FaceXModel" / f"{names[0]}.obj").is_file()), None)
    if folder is None:
        if not ARCHIVE.is_file():
            pytest.skip("needs ICT-FaceKit: set STYLERIG_ICT to its folder")
        folder = tmp_path_factory.mktemp("ict")
        with tarfile.open(ARCHIVE) as archive:
            wanted = {f"FaceXModel/{name}.obj" for name in names}
            archive.extractall(folder, [item for item in archive if item.name.removeprefix("./") in wanted], filter="data")
    shapes = np.stack([narrow_face(folder / "FaceXModel" / f"{name}.obj") for name in names])
    shapes[1:] -= shapes[0]
    return shapes


def narrow_face(path: Path) -> np.ndarray:
    """The first vertices (6706, 3) of an OBJ file."""
    points = []
    with path.open() as lines:
        for line in lines:
            if line.startswith("v "):
                points.append([float(x) for x in line.split()[1:4]])
                if len(points) == NARROW_FACE:
                    break
    return np.array(points)


def distance_to(points: np.ndarray, vertices: torch.Tensor, quads: np.ndarray) -> np.ndarray:
    """Distance (P,) from points (P, 3) to a mesh, cm."""
    shape = vertices.numpy().astype(float)
    index, weight = locate(points, shape, quads)
    return np.linalg.norm(np.einsum("pk,pkd->pd", weight, shape[index]) - points, axis=1)


def skin_quads(face) -> np.ndarray:
    return face.quads[(face.masks["skin"] > 0.5)[face.quads].all(dim=1)].numpy()


def test_mean_face_lies_within_0_7_mm(face, measured):
    distance = distance_to(measured[0, ::3], face.mean, skin_quads(face))
    assert distance.mean() < 0.07 and np.quantile(distance, 0.99) < 0.25
    assert distance_to(measured[0, ::20], face.proxy.mean, skin_quads(face.proxy)).mean() < 0.12


def test_50_people_lie_within_1_mm(face, measured, people):
    quads, averages = skin_quads(face), []
    for identity in people:
        points = measured[0, ::24] + np.tensordot(identity.numpy().astype(float), measured[1:, ::24], axes=1)
        averages.append(distance_to(points, shaped(face, identity), quads).mean())
    assert np.mean(averages) < 0.07 and max(averages) < 0.1


# Reflectance and errors


def typology_angle(colour: np.ndarray) -> float:
    """Individual typology angle, degrees, of linear sRGB: arctan((L* − 50) / b*) (Chardon, Cretois and Hourseau 1991)."""
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    t = np.array(matrix) @ colour / [0.95047, 1.0, 1.08883]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t * (29 / 6) ** 2 / 3 + 4 / 29)
    return math.degrees(math.atan2(116 * f[1] - 66, 200 * (f[1] - f[2])))


def test_teeth_stand_in_gums(face):
    teeth = face.masks["teeth"] > 0
    height, colour = face.mean[teeth, 1].view(32, -1), face.albedo_mean[teeth].view(32, -1, 3)
    redness = colour[..., 0] - colour[..., 1]
    low, high = (redness[torch.arange(32), end] for end in (height.argmin(dim=1), height.argmax(dim=1)))
    crowns, roots = torch.cat((low[:16], high[16:])), torch.cat((high[:16], low[16:]))  # the upper row first
    assert crowns.max() < 0.1 < roots.min()


def test_tones_span_all_classes_of_human_skin(face):
    assert face.reflectance_names == list(MODE_NAMES) and len(MODE_NAMES) == len(face.albedo)
    assert typology_angle(LIGHT) > 55 and typology_angle(DARK) < -30
    assert 10 < typology_angle(MIDDLE) < 28  # "tan", in the middle of the classes
    cheek = face.landmarks[2]
    tone = face.reflectance_names.index("tone")
    angles = [typology_angle((face.albedo_mean + t * face.albedo[tone])[cheek].numpy()) for t in (-2.0, 0.0, 2.5)]
    assert angles[0] < -30 and 0 < angles[1] < 40 and angles[2] > 41


def test_skin_of_random_people_is_darkest_in_blue(face):
    """Melanin and blood both absorb short waves most: red over green over blue, away from lips, brows and beard."""
    weights = torch.randn(PEOPLE, len(face.albedo), generator=torch.Generator().manual_seed(0))
    red, green, blue = face.albedo_for(weights)[:, face.landmarks[[1, 2, 14, 15]]].mean(dim=1).unbind(dim=1)
    assert (red > green).all() and (green > 0.9 * blue).all() and (red < 0.95).all()


def test_an_expression_that_does_not_exist_is_named(face):
    with pytest.raises(StyleRigError) as caught:
        face.expression_weights({"jawOpne": 1})
    assert "jawOpne" in caught.value.message and "jawOpen" in caught.value.hint


@pytest.mark.parametrize("damage", ["missing", "shape", "nan", "cut"])
def test_damaged_figures_are_named(tmp_path, damage):
    path = tmp_path / "measurements.npz"
    with np.load(FIGURES) as archive:
        figures = {key: archive[key] for key in archive.files}
    if damage == "missing":
        del figures["identity"]
    if damage == "shape":
        figures["identity"] = figures["identity"][:, :-1]
    if damage == "nan":
        figures["identity"][3, 5, 1] = np.nan
    np.savez(path, **figures)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(StyleRigError) as caught:
        read_figures(path)
    assert "measurements.npz" in caught.value.message and (damage == "cut" or "identity" in caught.value.message)
