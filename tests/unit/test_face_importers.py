"""Every kind of face model becomes the same object: in cm, in place, with names, masks and a licence."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.server.serialization import polygons, portrait_mesh
from models.face import FaceModel, load_face_model
from models.face.alignment import align, ffhq_crop, project_landmarks
from models.face.importers.proxy import add_proxy
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.rigging import Portrait
from tests.helpers.face_files import (
    flame_entries,
    gnm_entries,
    python2_array,
    some_modes,
    write_bfm2009,
    write_bfm_h5,
    write_deep3d,
    write_flame,
    write_ict,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def head() -> FaceModel:
    return load_face_model(None)


@pytest.fixture(scope="module")
def mesh(head) -> FaceModel:
    return head.proxy


def write_gnm(path: Path, mesh: FaceModel) -> Path:
    np.savez(path, **gnm_entries(mesh))
    return path


WRITERS = {
    "ICT-FaceKit": lambda folder, mesh: write_ict(folder / "ict", mesh),
    "BFM 2009": lambda folder, mesh: write_bfm2009(folder / "01_MorphableModel.mat", mesh),
    "BFM 2009 (front)": lambda folder, mesh: write_deep3d(folder / "BFM_model_front.mat", mesh),
    "BFM 2017": lambda folder, mesh: write_bfm_h5(folder / "model2017-1_face12_nomouth.h5", mesh),
    "FLAME": lambda folder, mesh: write_flame(folder / "generic_model.pkl", flame_entries(mesh)),
    "GNM Head": lambda folder, mesh: write_gnm(folder / "gnm_head.npz", mesh),
}
LICENCES = {"ICT-FaceKit": "MIT", "FLAME": "CC-BY-4.0", "GNM Head": "Apache"}


@pytest.fixture(scope="module", params=WRITERS)
def imported(request, tmp_path_factory, mesh) -> FaceModel:
    return load_face_model(WRITERS[request.param](tmp_path_factory.mktemp("model"), mesh))


def test_in_cm_in_place_and_facing_out(imported, mesh):
    offset = imported.mean - mesh.mean  # in place: where the middle of our full head's face is
    assert offset.norm(dim=1).max() < 0.1 and (offset - offset.mean(dim=0)).abs().max() < 1e-3
    apart = (mesh.mean[imported.landmarks] - mesh.mean[mesh.landmarks]).norm(dim=1)
    assert apart.mean() < 0.1 and apart.max() < 1  # cm; exact where the file has them
    assert apart.max() == 0 or imported.name not in ("ICT-FaceKit", "BFM 2009 (front)")
    wanted = mesh.triangles.sort(dim=1).values
    assert sorted(imported.triangles.sort(dim=1).values.tolist()) == sorted(wanted.tolist())
    corners = imported.mean[imported.triangles]
    nose = (corners.mean(dim=1) - imported.mean[imported.landmarks[30]]).norm(dim=1) < 2
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert normals[nose, 2].sum() > 0


def test_same_fields_whatever_the_source(imported):
    vertices, tensors = len(imported.mean), (imported.mean, imported.identity, imported.expression, imported.albedo)
    assert all(tensor.dtype == torch.float32 and torch.isfinite(tensor).all() for tensor in tensors)
    assert imported.identity.shape[1:] == imported.expression.shape[1:] == imported.albedo.shape[1:] == (vertices, 3)
    assert len(imported.identity_names) == len(imported.scales["identity"]) == len(imported.identity)
    assert len(imported.expression_names) == len(imported.scales["expression"]) == len(imported.expression)
    assert len(imported.reflectance_names) == len(imported.scales["reflectance"]) == len(imported.albedo)
    assert (imported.scales["identity"] > 0).all() and imported.triangles.dtype == imported.landmarks.dtype == torch.int64
    assert imported.albedo_mean.min() > 0.005 and imported.albedo_mean.max() < 1
    assert {"face", "skin", "eyes", "teeth", "mouth"} <= set(imported.masks)
    assert {"head", "neck", "eye_L", "eye_R"} <= set(imported.groups)
    assert all(mask.shape == (vertices,) and mask.min() >= 0 and mask.max() <= 1 for mask in imported.masks.values())
    assert imported.masks["face"][imported.landmarks[30]] > 0.5
    assert imported.groups["head"][imported.landmarks[30]] == pytest.approx(1, abs=1e-4)


def test_licence_is_told(imported):
    assert LICENCES.get(imported.name, "research") in imported.licence
    assert "ommercial use" in imported.licence


def test_eyes_lie_in_their_sockets(imported, head):
    assert (imported.eye_centers - head.eye_centers).norm(dim=1).max() < 0.7
    moved = imported.eyes_for(torch.ones(1, len(imported.identity)))
    assert moved.shape == (1, 2, 3) and not torch.equal(moved[0], imported.eye_centers)


def test_it_can_be_aligned_and_drawn(imported):
    parameters = align(imported, RigParameters.neutral(imported))
    center, axis = ffhq_crop(project_landmarks(imported, parameters)[..., :2])
    assert center.abs().max() < 1e-3 and (axis - torch.tensor([1.0, 0.0])).abs().max() < 1e-3
    drawn = render(imported, parameters, 48, outputs=("mask", "face_mask", "albedo"))
    assert 0.3 < drawn["mask"].mean() < 0.95
    assert 0.1 < drawn["face_mask"].mean() <= drawn["mask"].mean()


def test_it_becomes_a_mesh_for_blender(imported, mesh):
    """Polygons and a UV layout whether the file has them or not; no polygon spans the layout."""
    parameters = RigParameters.neutral(imported)
    portrait = Portrait("studio", "0", 1, 0.7, np.zeros((2, 4), np.float32), parameters)
    arrays = portrait_mesh(portrait, imported)
    corners = arrays["corners"]
    assert arrays["polygon_sizes"].sum() == len(corners) == len(arrays["uv"])
    assert set(corners.tolist()) == set(imported.triangles.unique().tolist())
    assert set(arrays["polygon_sizes"].tolist()) <= {3, 4}
    assert arrays["uv"].min() >= 0 and arrays["uv"].max() <= 1
    assert arrays["groups"].shape == (len(arrays["group_names"]), len(imported.mean))
    starts = np.cumsum(arrays["polygon_sizes"]) - arrays["polygon_sizes"]
    width = np.maximum.reduceat(arrays["uv"][:, 0], starts) - np.minimum.reduceat(arrays["uv"][:, 0], starts)
    assert imported.name == "ICT-FaceKit" or np.median(width) < 0.05
    assert render(imported, align(imported, parameters), 32, outputs=("uv",))["uv"].amax() > 0.5


def test_see_through_shells_are_no_part_of_the_mesh_for_blender(ict):
    sizes, corners, uv = polygons(ict)
    assert corners.max() < 24591 and len(uv) == len(corners) == sizes.sum() and len(sizes) < len(ict.quads)


def test_a_face_without_a_layout_becomes_a_mesh_all_the_same(mesh):
    sizes, corners, uv = polygons(replace(mesh, uv=None, uv_quads=None, uv_triangles=None, quads=None))
    assert (sizes == 3).all() and torch.equal(corners, mesh.triangles.flatten()) and (uv == 0).all()


def test_modes_arrive_at_their_size(imported, mesh):
    """Whatever units and deviations the file keeps them in, weight 1 moves the vertices as far as it should."""
    counts = {"ICT-FaceKit": 6, "BFM 2009": 199, "BFM 2009 (front)": 80, "BFM 2017": 12, "FLAME": 400, "GNM Head": 11}
    size = 1.0 / 10 if imported.name == "BFM 2017" else 0.2
    written = torch.from_numpy(some_modes(mesh.mean.numpy(), counts[imported.name], size))
    assert (imported.identity - written[: len(imported.identity)]).abs().max() < 2e-3


def test_bfm_colours_become_linear(tmp_path, mesh):
    face = load_face_model(write_deep3d(tmp_path / "front.mat", mesh))
    linear = ((170 / 255 + 0.055) / 1.055) ** 2.4
    assert torch.allclose(face.albedo_mean, torch.tensor(linear), atol=1e-5)
    written = some_modes(mesh.mean.numpy(), 80, 3.0, seed=2)[0, 0] / 255
    slope = 2.4 / 1.055 * ((170 / 255 + 0.055) / 1.055) ** 1.4
    assert np.allclose(face.albedo[0, 0], written * slope, atol=1e-5)


def test_matlab_files_as_they_are_saved_without_compression(tmp_path, mesh):
    plain = load_face_model(write_bfm2009(tmp_path / "plain.mat", mesh, compress=False))
    packed = load_face_model(write_bfm2009(tmp_path / "packed.mat", mesh))
    assert torch.equal(plain.identity, packed.identity) and torch.equal(plain.mean, packed.mean)


def test_bfm_landmarks_from_the_list_beside_the_model(tmp_path, mesh):
    chosen = mesh.landmarks.clone()
    chosen[33] = mesh.landmarks[34]
    (tmp_path / "Landmarks68_01_MorphableModel.anl").write_text("\n".join(map(str, chosen.tolist())))
    face = load_face_model(write_bfm2009(tmp_path / "01_MorphableModel.mat", mesh))
    assert torch.equal(face.landmarks, chosen) and not any("landmarks" in note for note in face.notes)


def test_landmarks_that_begin_at_the_other_side_are_turned_round(tmp_path, mesh):
    from models.face.landmarks import MIRRORED_LANDMARKS

    other = mesh.landmarks.numpy()[list(MIRRORED_LANDMARKS)][None] + 1
    face = load_face_model(write_deep3d(tmp_path / "front.mat", mesh, keypoints=other.astype("u2")))
    assert torch.equal(face.landmarks, mesh.landmarks)


def test_flame_jaw_and_eyes_turn(tmp_path, mesh):
    face = load_face_model(write_flame(tmp_path / "flame.pkl", flame_entries(mesh, 150)))
    assert face.identity.shape[0] == 100 and len(face.expression_names) == 50 + 9

    def moved(name: str) -> torch.Tensor:
        return face.expression[face.expression_names.index(name)]

    chin = moved("jawOpen")[face.landmarks[8]]
    assert face.masks["pupil"].sum() > 0 and face.albedo_mean[face.masks["pupil"] > 0.5].max() < 0.01
    assert chin[1] < -1.2 and moved("jawOpen")[face.landmarks[27]].abs().max() < 1e-5
    left = (face.groups["eye_L"] > 0.5).nonzero()[:, 0]
    front = left[face.mean[left, 2].argmax()]
    assert moved("eyeLookOut_L")[front, 0] > 0.4 and moved("eyeLookUp_L")[front, 1] > 0.3
    assert moved("eyeLookOut_L")[face.groups["eye_R"] > 0.5].abs().max() < 1e-6


def test_flame_embedding_gives_the_inner_landmarks(tmp_path, mesh):
    import pickle

    triangles = mesh.triangles.numpy()
    rows, corners = zip(*(np.argwhere(triangles == vertex)[0] for vertex in mesh.landmarks[17:].tolist()), strict=True)
    entries = {"lmk_face_idx": np.array(rows, "u4"), "lmk_b_coords": 0.1 + 0.7 * np.eye(3)[list(corners)]}
    (tmp_path / "flame_static_embedding.pkl").write_bytes(pickle.dumps(entries, 2))
    face = load_face_model(write_flame(tmp_path / "generic_model.pkl", flame_entries(mesh, 150)))
    assert torch.equal(face.landmarks[17:], mesh.landmarks[17:]) and face.notes[0].startswith("17 of the 68")


def test_pickles_of_python_2(tmp_path):
    from models.face.importers.pickle import array_of, read_pickle

    values = np.arange(6.0).reshape(2, 3)
    data = b"\x80\x02}U\x0av_template" + python2_array(values) + b"s."
    read = read_pickle(tmp_path, data)
    assert np.array_equal(array_of(tmp_path, "v_template", read["v_template"]), values)


def test_gnm_landmarks_from_its_table(tmp_path, mesh):
    folder = tmp_path / "data" / "versions" / "v3_0"
    folder.mkdir(parents=True)
    (tmp_path / "data" / "landmarks").mkdir()
    published = mesh.landmarks[[0, 1, 6, 5, 4, 3, 2, *range(7, 68)]].tolist()  # a piece of the jaw runs backwards
    lines = [f"{vertex} 0.8 {vertex - 1} 0.1 {max(vertex - 2, 0)} 0.1" for vertex in published]
    (tmp_path / "data" / "landmarks" / "head_sparse_68.txt").write_text("\n".join(lines))
    face = load_face_model(write_gnm(folder / "gnm_head.npz", mesh))
    assert torch.equal(face.landmarks, mesh.landmarks)
    assert "eyeLookIn_L" in face.expression_names and "lower_face_region_004" in face.expression_names
    assert not any("landmarks" in note for note in face.notes)


def test_gnm_shells_over_the_eyes_are_not_drawn(tmp_path, mesh):
    entries = gnm_entries(mesh)
    left = entries["vertex_groups"][1]
    entries["vertex_groups"] = np.concatenate((entries["vertex_groups"], left[None]))
    entries["vertex_group_names"] = np.array(["skin", "left_eye", "right_eye", "eye_exteriors"])
    np.savez(tmp_path / "gnm_head.npz", **entries)
    face = load_face_model(tmp_path / "gnm_head.npz")
    of_left = torch.from_numpy(left > 0.5)
    assert of_left[mesh.triangles].all(dim=1).any() and not of_left[face.triangles].all(dim=1).any()
    assert len(face.quads) == len(mesh.quads) and any("see-through" in note for note in face.notes)


@pytest.fixture(scope="module")
def coarse(head) -> tuple[FaceModel, FaceModel]:
    """Our head as if it had been imported, and the proxy that it gets."""
    model = add_proxy(replace(head, proxy=None))
    return model, model.proxy


def test_proxies_of_imported_models_have_the_same_parameters(coarse):
    model, proxy = coarse
    assert 1900 < len(proxy.mean) <= 2000 < len(model.mean)
    assert proxy.expression_names == model.expression_names and proxy.proxy is None
    random = torch.Generator().manual_seed(1)
    identity, expression = torch.randn(1, 80, generator=random), torch.rand(1, 57, generator=random)
    whole, part = model.vertices(identity, expression)[0], proxy.vertices(identity, expression)[0]
    assert torch.equal(part[proxy.landmarks], whole[model.landmarks])
    assert torch.cdist(part, whole, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1).max() < 1e-4
    assert torch.equal(proxy.eyes_for(identity), model.eyes_for(identity))
    assert proxy.masks.keys() == model.masks.keys() and proxy.groups.keys() == model.groups.keys()


def test_proxies_of_imported_models_are_sound_meshes(coarse):
    proxy = coarse[1]
    assert all(len(set(row)) == 3 for row in proxy.triangles.tolist())
    edges = torch.stack((proxy.triangles, proxy.triangles.roll(-1, 1)), dim=-1).reshape(-1, 2)
    assert len(edges.unique(dim=0)) > 0.995 * len(edges), "neighbours wind the same way along an edge"
    _, counts = edges.sort(dim=1).values.unique(dim=0, return_counts=True)
    assert (counts > 2).float().mean() < 0.005
    assert len(proxy.triangles.unique()) > 0.95 * len(proxy.mean)


@pytest.mark.parametrize("yaw", [0.0, 0.5])
def test_proxies_of_imported_models_look_alike(coarse, yaw):
    model, proxy = coarse
    parameters = RigParameters.neutral(model)
    parameters = align(model, parameters.replace(rotation=torch.tensor([[yaw, 0.1, 0.0]])))
    fine, plain = (render(face, parameters, 128, outputs=("mask", "normals")) for face in (model, proxy))
    shared, either = (f(fine["mask"], plain["mask"]).sum() for f in (torch.minimum, torch.maximum))
    inside = (fine["mask"] == 1) & (plain["mask"] == 1)
    cosine = (fine["normals"] * plain["normals"]).sum(dim=-1, keepdim=True)[inside].clamp(-1, 1)
    assert shared / either > 0.985
    assert cosine.acos().rad2deg().mean() < 8


def test_a_model_as_coarse_as_a_proxy_has_none(imported):
    assert imported.proxy is None


@pytest.fixture(scope="module")
def ict_folder() -> Path:
    """ICT-FaceKit as published: STYLERIG_ICT, or unpacked in ../shared or the temporary folder."""
    places = [Path(os.environ.get("STYLERIG_ICT", "")), ROOT.parent / "shared" / "ict-facekit", Path("/tmp/ict")]
    for place in places:
        if (place / "FaceXModel" / "generic_neutral_mesh.obj").is_file():
            return place
    pytest.skip("needs ICT-FaceKit unpacked: set STYLERIG_ICT to its folder")


@pytest.fixture(scope="module")
def ict(ict_folder) -> FaceModel:
    return load_face_model(ict_folder)


def test_ict_as_published(ict, head):
    assert ict.mean.shape == (26719, 3) and ict.identity.shape == (100, 26719, 3)
    assert ict.expression.shape[0] == 57 and set(ict.expression_names) == set(head.expression_names)
    assert len(ict.quads) == 26384 and (ict.quads[:, 3] < 0).sum() == 548
    assert (ict.mean[ict.landmarks] - head.mean[head.landmarks]).norm(dim=1).max() < 0.1
    assert (ict.eye_centers - head.eye_centers).norm(dim=1).max() < 0.1
    assert ict.masks["teeth"].sum() == 4412 and ict.masks["eyes"].sum() == 3140
    assert 0 < ict.masks["pupil"].sum() < ict.masks["iris"].sum() < 0.5 * ict.masks["eyes"].sum()
    assert ict.triangles.max() < 24591 < ict.quads.max()  # lashes and the shells over the eyes are see-through
    assert len(ict.uv_triangles) == len(ict.triangles)
    assert len(ict.proxy.mean) == 2000 and ict.proxy.identity.shape == (100, 2000, 3)
    assert ict.uv_quads.shape == ict.quads.shape and ((ict.uv_quads < 0) == (ict.quads < 0)).all()


def test_ict_moves_as_our_head_does(ict, head):
    for name in ("jawOpen", "mouthSmile_L", "browDown_R", "eyeBlink_L"):
        theirs = ict.expression[ict.expression_names.index(name)][ict.landmarks]
        ours = head.expression[head.expression_names.index(name)][head.landmarks]
        assert (theirs - ours).norm(dim=1).mean() < 0.1, name


def test_ict_eyes_are_seen(ict):
    """Nothing opaque lies over the eyes: pupils are dark, and eyeballs are what the camera sees there."""
    parameters = align(ict, RigParameters.neutral(ict))
    drawn = render(ict, parameters, 256, outputs=("albedo",))["albedo"][0]
    dark = (drawn.amax(dim=-1) > 0) & (drawn.amax(dim=-1) < 0.05)
    bright = drawn[..., 2] > 0.45
    assert 10 <= dark[80:140].sum() <= 200 and bright[80:140].sum() > 100


def test_landmarks_are_found_on_a_strange_face(ict):
    """Without landmarks, on another person, tilted, larger and elsewhere: within 2 mm on average inside the face."""
    from models.face.importers.registration import transfer_annotations

    random = torch.Generator().manual_seed(4)
    kept = (ict.masks["skin"] > 0.5).nonzero()[:, 0]
    place = torch.full((len(ict.mean),), -1).index_copy(0, kept, torch.arange(len(kept)))
    triangles = place[ict.triangles]
    triangles = triangles[(triangles >= 0).all(dim=1)].flip(1)
    errors = []
    for _ in range(2):
        person = ict.mean + torch.tensordot(0.7 * torch.randn(100, generator=random), ict.identity, 1)
        c, s = np.cos(0.08), np.sin(0.08)
        tilt = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=torch.float32)
        points = 1.04 * person @ tilt.T + torch.tensor([3.0, -20.0, 5.0])
        carried = transfer_annotations(points[kept].numpy(), triangles.numpy(), np.full(68, -1))
        found = points[kept][torch.from_numpy(carried.landmarks)]
        errors.append((found - points[ict.landmarks])[17:].norm(dim=1).mean())
    assert sum(errors) / len(errors) < 0.2  # cm
