"""Our head's second edition: what it adds to the first, which stays as it is, and the file that it is loaded from."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from face_contact import Contact, random_expressions, seen

from models.errors import StyleRigError
from models.face import load_face_model
from models.face.head_figures import read_figures
from models.face.own_head import build, modes, storage
from models.face.topology import PROXY

# SHA-256 of edition 1, rounded to a micrometre (last bits differ between processors): shipped weights rely on it.
EDITION_1 = {
    "full": "d0789ee5131dfc818579c8e99461643f04f391b0c6b0af5daee29b576b203d0a",
    "proxy": "6bc103fd67b93b7a94a82de24d368801619814133f0d14cd67df90631236f370",
}
STATISTICAL = 80


@pytest.fixture(scope="module")
def face():
    return load_face_model("head-2")


@pytest.fixture(scope="module")
def contact():
    return Contact()


def content(mesh) -> str:
    """Hash of a face model's numbers in steps of 1e-4, indices and names."""
    digest = hashlib.sha256(repr((mesh.expression_names, mesh.identity_names, mesh.reflectance_names)).encode())
    for key in ("mean", "identity", "expression", "albedo_mean", "albedo", "uv", "eye_centers", "identity_eye_centers"):
        digest.update(np.round(getattr(mesh, key).numpy().astype(float) * 1e4).astype(np.int32).tobytes())
    for key in ("triangles", "landmarks", "quads", "uv_triangles", "uv_quads"):
        digest.update(getattr(mesh, key).numpy().tobytes())
    return digest.hexdigest()


def weights(face, **values: float) -> torch.Tensor:
    """Identity weights (1, K) by name."""
    result = torch.zeros(1, len(face.identity_names))
    for name, value in values.items():
        result[0, face.identity_names.index(name)] = value
    return result


def shaped(face, identity=None, **expression: float) -> torch.Tensor:
    """Vertices (V, 3) for identity weights (1, K) and expressions by name."""
    identity = weights(face) if identity is None else identity
    return face.vertices(identity, face.expression_weights(expression))[0]


@pytest.mark.parametrize("mesh", ["full", "proxy"])
def test_edition_1_is_what_shipped_weights_know(mesh):
    face = load_face_model(None)
    assert content(face if mesh == "full" else face.proxy) == EDITION_1[mesh]


def test_what_edition_1_has_stays_in_its_place(face):
    first = load_face_model(None)
    skin = int(first.masks["skin"].sum())
    assert face.expression_names == [*first.expression_names, "tongueOut"]
    assert face.identity_names == [*first.identity_names, *modes.NAMES] and len(first.identity_names) == STATISTICAL
    assert torch.equal(face.landmarks, first.landmarks) and face.reflectance_names == first.reflectance_names
    for new, old in ((face.mean, first.mean), (face.identity, first.identity), (face.expression, first.expression)):
        assert (new[..., :skin, :][: len(old)] - old[..., :skin, :]).abs().max() < 2e-4  # cm
    people = torch.randn(20, STATISTICAL, generator=torch.Generator().manual_seed(0))
    old, new = (people @ shape.identity[:STATISTICAL, :skin].flatten(1) for shape in (first, face))
    assert (old - new).abs().max() < 1e-3  # a hundredth of a millimetre


def test_the_file_holds_what_the_tool_builds():
    """The proxy, which builds at once: all its numbers, without a step's difference."""
    stored = storage.read(storage.FILE)
    mesh = build.build_mesh(read_figures(), PROXY)
    mesh.proxy = mesh
    built = storage.pack(mesh)
    same = {key: np.array_equal(built[key], stored[key]) for key in stored if key.startswith("proxy.") or key == "names"}
    assert len(same) > 20 and all(same.values()), [key for key, equal in same.items() if not equal]


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "head-2.npz"
    path.write_bytes(storage.FILE.read_bytes()[:5000])
    with pytest.raises(StyleRigError) as caught:
        storage.read(path)
    assert "head-2.npz" in caught.value.message and "build" in caught.value.hint


def extremes(face) -> dict[str, torch.Tensor]:
    """Identity weights (1, K) of every named mode at the ends of its use."""
    ends = {"age": (5.5,), "masculine": (-1, 1), "weight": (-2, 3)}
    return {f"{name} {value}": weights(face, **{name: value}) for name in modes.NAMES for value in ends.get(name, (-2, 2))}


def test_lips_touch_and_hide_the_teeth_whatever_the_mode(face, contact):
    for name, identity in extremes(face).items():
        vertices = shaped(face, identity)
        assert np.abs(contact.gap(vertices, contact.lips)).max() < 0.05, name
        assert seen(face, vertices, "teeth") < 3, name


def test_lids_close_whatever_the_mode(face):
    for name, identity in extremes(face).items():
        open_eyes = seen(face, shaped(face, identity), "eyes")
        closed = seen(face, shaped(face, identity, eyeBlink_L=1, eyeBlink_R=1), "eyes")
        assert closed < 0.1 * open_eyes, name


def test_the_tongue_goes_out_between_the_lips_and_with_the_jaw(face):
    tongue = face.masks["tongue"] > 0.5
    assert seen(face, face.mean, "tongue") == 0
    out = shaped(face, tongueOut=1)
    assert seen(face, out, "tongue") > 50
    lip = face.mean[face.landmarks[57], 2]
    assert out[tongue, 2].max() > lip + 1 > face.mean[tongue, 2].max() + 1
    assert torch.equal(out[face.landmarks[8]], face.mean[face.landmarks[8]])  # the jaw stays by itself
    tip = face.mean[tongue, 2].argmax()
    lowered = shaped(face, jawOpen=1)[tongue][tip] - face.mean[tongue][tip]
    assert lowered[1] < -2


def test_expressions_of_edition_2_keep_the_lips_apart(face, contact):
    combined = random_expressions(face, 30)
    for row in combined:
        assert contact.gap(face.vertices(weights(face), row[None])[0], contact.lips).min() > -0.12
