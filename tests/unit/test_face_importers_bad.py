"""Damaged, incomplete and hostile face models: a clear error that names the file and the entry."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import StyleRigError
from models.face import FaceModel, load_face_model
from models.face.importers import read_source
from models.face.importers.pickle import read_pickle
from tests.helpers.face_files import (
    element,
    flame_entries,
    gnm_entries,
    interleaved,
    some_modes,
    stand_in_modules,
    write_bfm2009,
    write_bfm_h5,
    write_deep3d,
    write_flame,
    write_ict,
)


@pytest.fixture(scope="module")
def mesh() -> FaceModel:
    return load_face_model(None).proxy


def refused(path, *words: str) -> StyleRigError:
    """The error that loading ``path`` gives; it must hold all ``words``."""
    with pytest.raises(StyleRigError) as caught:
        load_face_model(path)
    for word in words:
        assert word in caught.value.message
    assert caught.value.hint
    return caught.value


def without(entries: dict, name: str) -> dict:
    return {key: value for key, value in entries.items() if key != name}


def test_what_is_no_face_model(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "empty.mat").write_bytes(b"")
    assert refused(tmp_path / "none.mat", "none.mat").code == "unknown_face_model"
    refused(tmp_path / "a.txt", "a.txt")
    refused(tmp_path / "empty.mat", "empty.mat")
    refused(tmp_path, str(tmp_path), "generic_neutral_mesh.obj")
    (tmp_path / "page.pkl").write_text("<!DOCTYPE html><title>Sign in - FLAME</title>")
    refused(tmp_path / "page.pkl", 'a web page ("Sign in - FLAME")')


@pytest.mark.skipif(os.name == "nt", reason="no pipes among Windows's files")
def test_pipes_and_devices_are_refused_at_once(tmp_path, mesh):
    os.mkfifo(tmp_path / "model.mat")
    refused(tmp_path / "model.mat", "model.mat", "it is a pipe")
    refused(os.devnull, "it is a device")
    path = write_flame(tmp_path / "a.pkl", flame_entries(mesh, 150))
    os.mkfifo(tmp_path / "flame_static_embedding.pkl")  # beside a good model: as if there were none
    assert load_face_model(path).notes[0].startswith("68 of the 68")


# ICT-FaceKit


@pytest.fixture
def ict(tmp_path, mesh):
    return write_ict(tmp_path / "ict", mesh)


def edit(file, old: str, new: str, count: int = 1) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, count))


def test_ict_with_another_vertex_count(ict, mesh):
    edit(ict / "FaceXModel" / "identity001.obj", "v ", "# ")
    refused(ict, "identity001.obj", str(len(mesh.mean) - 1), str(len(mesh.mean)))


def test_ict_with_a_missing_mode(ict):
    (ict / "FaceXModel" / "identity001.obj").unlink()
    refused(ict, "identity001.obj", "missing")


def test_ict_with_a_missing_expression(ict):
    (ict / "FaceXModel" / "jawOpen.obj").unlink()
    refused(ict, "jawOpen", "vertex_indices.json")


def test_ict_with_a_missing_twin(ict):
    edit(ict / "FaceXModel" / "vertex_indices.json", '"browDown_R", ', "")
    (ict / "FaceXModel" / "browDown_R.obj").unlink()
    refused(ict, "browDown_R.obj")


def test_ict_naming_an_expression_that_does_not_exist(ict):
    edit(ict / "FaceXModel" / "vertex_indices.json", '"jawOpen"', '"jawOpne"')
    refused(ict, "jawOpne", "vertex_indices.json")


@pytest.mark.parametrize("value", ["nan", "inf", "1e99"])
def test_ict_with_values_that_are_no_numbers(ict, value):
    file = ict / "FaceXModel" / "jawOpen.obj"
    lines = file.read_text().splitlines()
    lines[6] = f"v 1 {value} 2"
    file.write_text("\n".join(lines))
    refused(ict, "jawOpen.obj", "number 5")


def test_ict_with_text_for_a_number(ict):
    edit(ict / "FaceXModel" / "identity000.obj", "\nv ", "\nv x")
    refused(ict, "identity000.obj")


def test_ict_with_a_landmark_out_of_range(ict, mesh):
    edit(ict / "FaceXModel" / "vertex_indices.json", f"[{mesh.landmarks[0]},", "[999999,")
    refused(ict, "vertex_indices.json", "idx_to_landmark_verts", "999999", "[0]")


@pytest.mark.parametrize("text", ["{", "[]", '{"expressions": [1], "idx_to_landmark_verts": []}', "[" * 100_000])
def test_ict_with_a_bad_list(ict, text):
    (ict / "FaceXModel" / "vertex_indices.json").write_text(text)
    refused(ict, "vertex_indices.json")


def test_ict_of_more_than_a_face_can_have(ict, monkeypatch):
    folder = ict / "FaceXModel"
    monkeypatch.setattr("models.face.importers.ict.MAX_NUMBERS", 10_000)
    refused(ict, "3 modes of")
    (folder / "identity001.obj").write_text("v 0 0 0\n" * 600_000)
    monkeypatch.undo()
    refused(ict, "identity001.obj", "more than 500000 lines")
    vertices = (folder / "identity000.obj").read_text().split("usemtl")[0]
    (folder / "generic_neutral_mesh.obj").write_text(vertices + "f 1 2 3\n" * 600_000)
    refused(ict, "generic_neutral_mesh.obj", "more than 500000 polygons")
    (folder / "vertex_indices.json").write_text("[" + "[]," * 2_000_000)
    refused(ict, "vertex_indices.json", "more than the")


def test_ict_with_a_polygon_out_of_range(ict):
    edit(ict / "FaceXModel" / "generic_neutral_mesh.obj", "f ", "f 99999/1 ")
    refused(ict, "generic_neutral_mesh.obj")


# MATLAB


def test_bfm_without_an_entry(tmp_path, mesh):
    refused(write_bfm2009(tmp_path / "a.mat", mesh, texEV=None), "a.mat", "texEV")
    refused(write_deep3d(tmp_path / "b.mat", mesh, exBase=None), "b.mat", "exBase")


def test_bfm_of_another_vertex_count(tmp_path, mesh):
    short = interleaved(some_modes(mesh.mean.numpy()[:-1], 80))
    refused(write_deep3d(tmp_path / "a.mat", mesh, idBase=short), "a.mat", "idBase", str(short.shape[0]), str(mesh.mean.numel()))


def test_bfm_with_nan(tmp_path, mesh):
    bad = np.full((1, mesh.mean.numel()), 170.0, "f4")
    bad[0, 7] = np.nan
    refused(write_deep3d(tmp_path / "a.mat", mesh, meantex=bad), "a.mat", "meantex", "[7]")


@pytest.mark.parametrize("value", [0, 5000])
def test_bfm_with_a_landmark_out_of_range(tmp_path, mesh, value):
    keypoints = mesh.landmarks.numpy()[None].astype("u2") + 1
    keypoints[0, 30] = value
    refused(write_deep3d(tmp_path / "a.mat", mesh, keypoints=keypoints), "keypoints", str(value), "[30]")


def test_bfm_whose_landmarks_are_no_face(tmp_path, mesh):
    keypoints = np.roll(mesh.landmarks.numpy(), 20)[None].astype("u2") + 1
    refused(write_deep3d(tmp_path / "a.mat", mesh, keypoints=keypoints), "a.mat", "keypoints")


def test_bfm_in_other_units(tmp_path, mesh):
    metres = mesh.mean.numpy().reshape(1, -1).astype("f4") / 100
    refused(write_deep3d(tmp_path / "a.mat", mesh, meanshape=metres), "a.mat", "eyes lie", "cm apart")


def test_matlab_files_that_end_early(tmp_path, mesh):
    whole = write_bfm2009(tmp_path / "a.mat", mesh).read_bytes()
    for size in (20, 127, 130, 200, len(whole) // 2, len(whole) - 1):
        (tmp_path / "b.mat").write_bytes(whole[:size])
        refused(tmp_path / "b.mat", "b.mat")


def test_matlab_array_that_unpacks_to_far_more_than_it_says(tmp_path):
    body = struct.pack("<IIII", 6, 8, 6, 0) + element(5, struct.pack("<ii", 1, 1)) + element(1, b"meanshape")
    bomb = zlib.compress(struct.pack("<II", 14, 0xF0000000) + body + bytes(30 << 20))
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\x01IM" + struct.pack("<II", 15, len(bomb)) + bomb)
    refused(tmp_path / "a.mat", "a.mat", "too large")


def test_matlab_arrays_that_are_there_again_and_again(tmp_path, mesh):
    whole = write_bfm2009(tmp_path / "a.mat", mesh).read_bytes()
    (tmp_path / "b.mat").write_bytes(whole + whole[128:])
    refused(tmp_path / "b.mat", "b.mat", "there twice")
    (tmp_path / "b.mat").write_bytes(whole + struct.pack("<II", 1, 0) * 2000)
    refused(tmp_path / "b.mat", "more than 1000 variables")


def test_matlab_arrays_that_are_too_large_together(tmp_path, mesh, monkeypatch):
    path = write_bfm2009(tmp_path / "a.mat", mesh)
    monkeypatch.setattr("models.face.importers.matlab.MAX_TOTAL", mesh.mean.numel() * 4 * 250)
    refused(path, "a.mat", "too large")


def test_matlab_7_3_is_named_as_such(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\x02IM")
    assert "-v7" in refused(tmp_path / "a.mat", "a.mat").hint


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_matlab_of_any_bytes(tmp_path, data):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\x01IM" + data)
    refused(tmp_path / "a.mat", "a.mat")


# HDF5


def test_h5_without_an_entry(tmp_path, mesh):
    refused(write_bfm_h5(tmp_path / "a.h5", mesh, **{"color/model/pcaBasis": None}), "a.h5", "color/model/pcaBasis")


def test_h5_with_modes_of_another_mesh(tmp_path, mesh):
    changes = {"expression/model/pcaBasis": np.ones((30, 12), "f4")}
    refused(write_bfm_h5(tmp_path / "a.h5", mesh, **changes), "expression/model/pcaBasis", "30")


def test_h5_with_a_negative_variance(tmp_path, mesh):
    changes = {"shape/model/pcaVariance": np.array([1.0] * 11 + [-1.0], "f4")}
    refused(write_bfm_h5(tmp_path / "a.h5", mesh, **changes), "shape/model/pcaVariance", "[11]")


def test_h5_links_to_other_files_are_refused(tmp_path, mesh):
    write_bfm_h5(tmp_path / "secret.h5", mesh)
    for link in (h5py.ExternalLink("secret.h5", "/shape/model/mean"), h5py.SoftLink("/shape/model/pcaVariance")):
        path = write_bfm_h5(tmp_path / "a.h5", mesh, **{"shape/model/mean": None})
        with h5py.File(path, "a") as archive:
            archive["shape/model/mean"] = link
        refused(path, "shape/model/mean", "link")


def test_h5_data_kept_in_other_files_is_refused(tmp_path, mesh):
    count = mesh.mean.numel()
    (tmp_path / "secret").write_bytes(bytes(4 * count))
    path = write_bfm_h5(tmp_path / "a.h5", mesh, **{"shape/model/mean": None})
    with h5py.File(path, "a") as archive:
        outside = [(os.fspath(tmp_path / "secret"), 0, 4 * count)]
        archive.create_dataset("shape/model/mean", (count,), "f4", external=outside)
    refused(path, "shape/model/mean", "not kept in this file")


def test_h5_that_says_it_holds_more_than_it_can(tmp_path, mesh):
    path = write_bfm_h5(tmp_path / "a.h5", mesh, **{"shape/model/pcaBasis": None})
    with h5py.File(path, "a") as archive:
        archive.create_dataset("shape/model/pcaBasis", (mesh.mean.numel(), 20_000), "f4", chunks=(1000, 10))
    refused(path, "shape/model/pcaBasis", "cannot be")


def test_h5_arrays_that_are_too_large_together(tmp_path, mesh, monkeypatch):
    path = write_bfm_h5(tmp_path / "a.h5", mesh)
    monkeypatch.setattr("models.face.importers.bfm_h5.MAX_TOTAL", 100_000)
    refused(path, "a.h5", "more than a face model")


def test_h5_that_is_damaged(tmp_path, mesh):
    whole = write_bfm_h5(tmp_path / "a.h5", mesh).read_bytes()
    (tmp_path / "b.h5").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "b.h5", "b.h5")


# FLAME


def test_flame_without_an_entry(tmp_path, mesh):
    path = write_flame(tmp_path / "a.pkl", without(flame_entries(mesh, 150), "posedirs"))
    refused(path, "a.pkl", "posedirs")


@pytest.mark.parametrize("entry, shape", [("weights", (30, 5)), ("shapedirs", (None, 3, 7)), ("J_regressor", (5, 9))])
def test_flame_of_another_shape(tmp_path, mesh, entry, shape):
    values = np.ones([size or len(mesh.mean) for size in shape])
    refused(write_flame(tmp_path / "a.pkl", flame_entries(mesh, 150) | {entry: values}), "a.pkl", entry)


def test_flame_with_a_triangle_out_of_range(tmp_path, mesh):
    entries = flame_entries(mesh, 150)
    entries["f"][3, 1] = len(mesh.mean)
    refused(write_flame(tmp_path / "a.pkl", entries), "the entry f", str(len(mesh.mean)), "[3, 1]")


def test_flame_with_a_landmark_out_of_range(tmp_path, mesh):
    entries = {"lmk_face_idx": np.full(51, 10**6), "lmk_b_coords": np.ones((51, 3))}
    (tmp_path / "flame_static_embedding.pkl").write_bytes(pickle.dumps(entries, 2))
    path = write_flame(tmp_path / "a.pkl", flame_entries(mesh, 150))
    refused(path, "flame_static_embedding.pkl", "lmk_face_idx", "1000000")


class Runs:
    """What a hostile pickle would run."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_is_never_run(tmp_path, mesh, protocol):
    mark = tmp_path / "ran"
    hostile = {"v_template": Runs(os.mkdir, os.fspath(mark))}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(hostile, protocol))
    error = refused(tmp_path / "a.pkl", "a.pkl", "mkdir")
    assert not mark.exists() and "trust" in error.hint


@pytest.mark.parametrize("function, arguments", [(getattr, (1, "real")), (eval, ("1",)), (np.load, ("a",)), (np.zeros, (9,))])
def test_names_off_the_list_are_refused(tmp_path, function, arguments):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"v": Runs(function, *arguments)}, 2))
    refused(tmp_path / "a.pkl", "a.pkl", "no part of a face model")


def test_what_a_file_says_does_not_reach_the_terminal(tmp_path):
    (tmp_path / "a.pkl").write_bytes("\x80\x02c\x1b]0;owned\x07\u202e\nsystem\n.".encode("latin-1", "ignore"))
    message = refused(tmp_path / "a.pkl", "\\x1b]0;owned\\x07", "no part of a face model").message
    assert message.isprintable()


def test_state_is_given_to_no_real_class(tmp_path):
    with pytest.raises(StyleRigError):
        read_pickle(tmp_path, b"\x80\x02cnumpy\nndarray\n}U\x01aK\x01sb.")
    assert not hasattr(np.ndarray, "a")


def test_arrays_of_objects_and_of_the_wrong_length_are_refused(tmp_path, mesh):
    entries = flame_entries(mesh, 150)
    refused(write_flame(tmp_path / "a.pkl", entries | {"v_template": np.array([{}], object)}), "v_template")
    with stand_in_modules() as (_, csc_matrix):
        sparse = csc_matrix()
        sparse.__dict__.update(shape=(10**6, 10**6), data=np.ones(1), indices=np.zeros(1, int), indptr=np.zeros(2, int))
        (tmp_path / "b.pkl").write_bytes(pickle.dumps(without(entries, "weights") | {"weights": sparse}, 2))
    refused(tmp_path / "b.pkl", "weights", "sparse")


def test_a_pickle_of_endless_steps_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02" + b"]" * 1_100_000 + b".")
    refused(tmp_path / "a.pkl", "a.pkl", "steps")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60), start=st.sampled_from([b"", b"}", b"cchumpy.ch\nCh\n)\x81", b"]q\x00(", b"cnumpy\ndtype\n"]))
def test_pickles_of_any_bytes(tmp_path, data, start):
    try:
        read = read_pickle(tmp_path, b"\x80\x02" + start + data)
    except StyleRigError:
        return
    assert type(read).__module__ == "builtins" or type(read).__module__.startswith(("models.face.importers.", "models.io.pickles."))


# GNM


def write_npz(path, entries: dict):
    np.savez(path, **entries)
    return path


def test_gnm_without_an_entry(tmp_path, mesh):
    refused(write_npz(tmp_path / "a.npz", without(gnm_entries(mesh), "quads")), "a.npz", "quads")


@pytest.mark.parametrize(
    "entry, values",
    [
        ("expression_basis", np.zeros((5, 9, 3), "f4")),
        ("vertex_identity_basis", lambda basis: np.full_like(basis, np.inf)),
        ("expression_names", np.array(["a", "b"])),
        ("expression_names", np.array(["a", "b", "c", "d", "a"])),
        ("identity_names", np.array(["a", "b", "c", "d", "e", "\n"])),
        ("triangles", lambda triangles: triangles + 1),
        ("quads", np.array([[0, 1, 2, -1]])),
        ("joint_names", np.array(["neck", "head", "left_eye", "other"])),
        ("template_vertex_positions", np.array([{}], object)),
        ("skinning_weights", np.ones((2, 2), "f4")),
    ],
)
def test_gnm_with_a_bad_entry(tmp_path, mesh, entry, values):
    entries = gnm_entries(mesh)
    entries[entry] = values(entries[entry]) if callable(values) else values
    refused(write_npz(tmp_path / "a.npz", entries), "a.npz", entry)


def test_gnm_with_a_landmark_out_of_range(tmp_path, mesh):
    (tmp_path / "head_sparse_68.txt").write_text("5000 1 0 0 0 0\n" * 68)
    refused(write_npz(tmp_path / "a.npz", gnm_entries(mesh)), "head_sparse_68.txt", "5000")


def test_npz_that_says_it_holds_more_than_it_does(tmp_path, mesh):
    path = write_npz(tmp_path / "a.npz", without(gnm_entries(mesh), "triangles"))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 3)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("triangles.npy", header.getvalue())
    refused(path, "a.npz", "triangles")


def test_npz_that_is_too_large_together(tmp_path, mesh, monkeypatch):
    path = write_npz(tmp_path / "a.npz", gnm_entries(mesh))
    monkeypatch.setattr("models.face.importers.gnm.MAX_TOTAL", 100_000)
    refused(path, "a.npz", "unpacks to more")


def test_npz_that_ends_early(tmp_path, mesh):
    whole = write_npz(tmp_path / "a.npz", gnm_entries(mesh)).read_bytes()
    (tmp_path / "b.npz").write_bytes(whole[:-30])
    refused(tmp_path / "b.npz", "b.npz")


# Any kind


def test_models_larger_than_any_face(tmp_path, mesh, monkeypatch):
    entries = gnm_entries(mesh)
    for entry in ("template_vertex_positions", "expression_basis"):
        large = {entry: np.where(np.arange(3) == 1, 1e25, entries[entry]).astype("f4")}
        refused(write_npz(tmp_path / "a.npz", entries | large), "a.npz", "reaches")
    monkeypatch.setattr("models.face.importers.raw_model.MAX_VERTICES", 100)
    refused(write_npz(tmp_path / "a.npz", entries), "a.npz", "vertices, more than")


def write_packed_npz(path, mesh):
    np.savez_compressed(path, **gnm_entries(mesh))
    return path


DAMAGED = {
    "a.mat": lambda path, mesh: write_bfm2009(path, mesh),
    "a.pkl": lambda path, mesh: write_flame(path, flame_entries(mesh, 150)),
    "a.npz": lambda path, mesh: write_npz(path, gnm_entries(mesh)),
    "packed.npz": write_packed_npz,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_changed_bytes_at_either_end_give_a_model_or_a_clear_error(tmp_path, mesh, name):
    whole = DAMAGED[name](tmp_path / name, mesh).read_bytes()
    random = np.random.default_rng(7)
    refusals = 0
    for _ in range(40):
        data = bytearray(whole)
        for place in random.integers(0, 2500, random.integers(1, 6)):
            data[int(place) if random.random() < 0.6 else -1 - int(place)] = random.integers(256)
        (tmp_path / name).write_bytes(data)
        try:
            read_source(tmp_path / name)
        except StyleRigError as error:
            refusals += name in error.message
    assert refusals > 10
