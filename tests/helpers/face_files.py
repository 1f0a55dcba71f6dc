"""Small face models written in the exact layouts of others, from our own proxy's mesh."""

from __future__ import annotations

import json
import pickle
import struct
import sys
import types
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

MI_TYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 9}
MX_CLASSES = {"f8": 6, "f4": 7, "i1": 8, "u1": 9, "i2": 10, "u2": 11, "i4": 12, "u4": 13}


def write_matlab(path: Path, compress: bool = True, **arrays: np.ndarray) -> Path:
    """A MATLAB file of version 5; with ``compress`` as MATLAB's -v7 saves it."""
    parts = [b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")]
    for name, values in arrays.items():
        kind = values.dtype.str[1:]
        flags = struct.pack("<IIII", 6, 8, MX_CLASSES[kind], 0)
        body = flags + element(5, struct.pack("<ii", *values.shape)) + element(1, name.encode())
        body += element(MI_TYPES[kind], values.tobytes(order="F"))
        whole = struct.pack("<II", 14, len(body)) + body
        packed = zlib.compress(whole)
        parts.append(struct.pack("<II", 15, len(packed)) + packed if compress else whole)
    path.write_bytes(b"".join(parts))
    return path


def element(kind: int, raw: bytes) -> bytes:
    """A data element: the small form up to four bytes, else padded to eight."""
    if len(raw) <= 4:
        return struct.pack("<I", len(raw) << 16 | kind) + raw.ljust(4, b"\0")
    return struct.pack("<II", kind, len(raw)) + raw.ljust(-(-len(raw) // 8) * 8, b"\0")


def some_modes(vertices: np.ndarray, count: int, size: float = 0.2, seed: int = 0) -> np.ndarray:
    """Smooth modes (count, V, 3) over vertices in cm."""
    random = np.random.default_rng(seed)
    waves = np.sin(vertices @ random.normal(0, 0.15, (3, count)) + random.uniform(0, 6, count))
    return size * waves.T[:, :, None] * random.normal(0, 1, (count, 1, 3))


def interleaved(modes: np.ndarray) -> np.ndarray:
    """Modes (M, V, 3) -> a basis (3V, M)."""
    return modes.reshape(len(modes), -1).T


def write_deep3d(path: Path, face, **changes) -> Path:
    """BFM_model_front.mat: decimetres, indices from 1."""
    mean, triangles = face.mean.numpy() / 10, face.triangles.numpy()
    arrays = {
        "meanshape": mean.reshape(1, -1).astype("f4"),
        "meantex": np.full((1, mean.size), 170.0, "f4"),
        "idBase": interleaved(some_modes(face.mean.numpy(), 80)).astype("f8") / 10,
        "exBase": interleaved(some_modes(face.mean.numpy(), 64, seed=1)).astype("f8") / 10,
        "texBase": interleaved(some_modes(face.mean.numpy(), 80, 3.0, seed=2)).astype("f8"),
        "tri": (triangles[:, ::-1] + 1).astype("i4"),  # BFM's triangles wind the other way
        "keypoints": (face.landmarks.numpy()[None] + 1).astype("u2"),
        "skinmask": np.ones((1, len(mean)), "u1"),
    } | changes
    return write_matlab(path, **{name: values for name, values in arrays.items() if values is not None})


def write_bfm2009(path: Path, face, compress: bool = True, **changes) -> Path:
    """01_MorphableModel.mat: micrometres, orthonormal modes with standard deviations."""
    mean = face.mean.numpy()
    shape = interleaved(some_modes(mean, 199))
    length = np.linalg.norm(shape, axis=0)
    arrays = {
        "shapeMU": (mean.reshape(-1, 1) * 1e4).astype("f4"),
        "shapePC": (shape / length).astype("f4"),
        "shapeEV": (length[:, None] * 1e4).astype("f4"),
        "texMU": np.full((mean.size, 1), 170.0, "f4"),
        "texPC": (shape / length).astype("f4"),
        "texEV": (length[:, None] * 10).astype("f4"),
        "tl": (face.triangles.numpy()[:, ::-1] + 1).astype("f8"),
        "segbin": np.zeros((len(mean), 4), "u1"),
    } | changes
    return write_matlab(path, compress, **{name: values for name, values in arrays.items() if values is not None})


def write_bfm_h5(path: Path, face, **changes) -> Path:
    """model2017-1_face12_nomouth.h5: millimetres, variances, landmarks by name."""
    import h5py

    mean = face.mean.numpy() * 10
    basis = {part: interleaved(some_modes(mean / 10, 12, 1.0, seed)) for seed, part in enumerate(("shape", "expression"))}
    basis["color"] = basis["shape"] / 50
    points = {"center.nose.tip": 30, "left.eye.corner_outer": 45, "right.eye.corner_outer": 36}
    places = [{"id": name, "coordinates": mean[face.landmarks[index]].tolist()} for name, index in points.items()]
    entries = {
        "shape/representer/cells": face.triangles.numpy().T.astype("i4"),
        "shape/representer/points": mean.T.astype("f4"),
        "metadata/landmarks/json": np.array([json.dumps([*places, {"id": "left.ear.lobule", "coordinates": [0, 0, 0]}])], object),
    }
    for part, values in basis.items():
        length = np.linalg.norm(values, axis=0)
        mean_of = {"shape": mean * 0.75, "expression": mean * 0.25, "color": np.full(mean.shape, 0.6)}[part]
        entries[f"{part}/model/mean"] = mean_of.reshape(-1).astype("f4")
        entries[f"{part}/model/pcaBasis"] = (values / length).astype("f4")
        entries[f"{part}/model/pcaVariance"] = (length**2).astype("f4")
    with h5py.File(path, "w") as archive:
        for name, values in (entries | changes).items():
            if values is not None:
                text = h5py.string_dtype() if values.dtype == object else None
                archive.create_dataset(name, data=values, dtype=text, compression="gzip" if values.ndim > 1 else None)
    return path


def flame_entries(face, modes: int = 400) -> dict:
    """What a FLAME pickle holds, in metres; eyes and jaw have joints."""
    mean = face.mean.numpy().astype(float)
    count, points = len(mean), mean[face.landmarks.numpy()]
    weights = np.zeros((count, 5))
    weights[:, 3], weights[:, 4] = face.groups["eye_L"], face.groups["eye_R"]
    weights[:, 2] = np.clip((points[48, 1] - mean[:, 1]) / 3, 0, 1) * (mean[:, 2] > 0) * (1 - weights[:, 3:].sum(axis=1))
    weights[:, 1] = 1 - weights[:, 2:].sum(axis=1)
    regressor = np.zeros((5, count))
    regressor[0, 0] = regressor[1, 0] = 1
    regressor[2, face.landmarks[[0, 16]]] = 0.5
    for joint, name in ((3, "eye_L"), (4, "eye_R")):
        ball = face.groups[name].numpy() > 0.5
        regressor[joint, ball] = 1 / ball.sum()
    return {
        "v_template": mean / 100,
        "f": face.triangles.numpy().astype("u4"),
        "shapedirs": np.moveaxis(some_modes(mean, modes), 0, 2) / 100,
        "posedirs": np.zeros((count, 3, 36)),
        "weights": weights,
        "J_regressor": regressor,
        "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "bs_style": "lbs",
    }


@contextmanager
def stand_in_modules():
    """chumpy.ch.Ch and scipy.sparse.csc.csc_matrix as classes that pickle can name; neither package is needed."""
    made = {}
    for module, name in (("chumpy.ch", "Ch"), ("scipy.sparse.csc", "csc_matrix")):
        parts = module.split(".")
        for depth in range(1, len(parts) + 1):
            made.setdefault(".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
        setattr(made[module], name, type(name, (), {"__module__": module}))
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        yield made["chumpy.ch"].Ch, made["scipy.sparse.csc"].csc_matrix
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def write_flame(path: Path, entries: dict, protocol: int = 2) -> Path:
    """generic_model.pkl: shapedirs as a chumpy array, J_regressor as a sparse matrix."""
    with stand_in_modules() as (Ch, csc_matrix):
        held = dict(entries)
        if "shapedirs" in held:
            held["shapedirs"] = Ch()
            held["shapedirs"].__dict__.update(x=entries["shapedirs"], _dirty_vars={}, term_order=("x",))
        if "J_regressor" in held:
            held["J_regressor"] = csc_matrix()
            held["J_regressor"].__dict__.update(sparse_columns(entries["J_regressor"]))
        path.write_bytes(pickle.dumps(held, protocol))
    return path


def sparse_columns(matrix: np.ndarray) -> dict:
    """The state of a csc_matrix."""
    columns, rows = np.nonzero(matrix.T)
    starts = np.concatenate(([0], np.cumsum(np.bincount(columns, minlength=matrix.shape[1]))))
    return {"_shape": matrix.shape, "maxprint": 50, "data": matrix[rows, columns],
            "indices": rows.astype("i4"), "indptr": starts.astype("i4")}  # fmt: skip


def python2_array(values: np.ndarray) -> bytes:
    """The steps with which Python 2 pickled an array of doubles: protocol 2, its bytes as a string."""
    shape = b"".join(b"J" + struct.pack("<i", size) for size in values.shape)
    raw = values.astype("<f8").tobytes()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01(" + shape
        + b"tcnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", len(raw)) + raw + b"tb"
    )  # fmt: skip


def gnm_entries(face) -> dict[str, np.ndarray]:
    """What gnm_head.npz holds, in metres."""
    mean = face.mean.numpy()
    eyes = {side: face.groups[f"eye_{side}"].numpy() for side in "LR"}
    centres = [mean[eyes[side] > 0.5].mean(axis=0) for side in "LR"]
    head = 1 - eyes["L"] - eyes["R"]
    groups = np.stack((1 - face.masks["eyes"].numpy(), eyes["L"], eyes["R"]))
    modes = some_modes(mean, 11).astype("f4") / 100
    return {
        "version": np.array("3.0"),
        "template_vertex_positions": (mean / 100).astype("f4"),
        "vertex_identity_basis": modes[:6],
        "identity_names": np.array([f"head_{i:03d}" for i in range(6)]),
        "expression_basis": modes[6:],
        "expression_names": np.array([f"lower_face_region_{i:03d}" for i in range(5)]),
        "template_joint_positions": (np.stack((mean[0], mean[0], *centres)) / 100).astype("f4"),
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "skinning_weights": np.stack((np.zeros(len(mean)), head, eyes["L"], eyes["R"])).astype("f4"),
        "vertex_groups": groups.astype("f4"),
        "vertex_group_names": np.array(["skin", "left_eye", "right_eye"]),
        "triangles": face.triangles.numpy().astype("i4"),
        "quads": face.quads.numpy().astype("i4"),
    }


def write_ict(folder: Path, face, identities: int = 3, expressions=("browDown_L", "browDown_R", "jawOpen")) -> Path:
    """An ICT-FaceKit folder with fewer modes."""
    place = folder / "FaceXModel"
    place.mkdir(parents=True)
    mean = face.mean.numpy()
    faces = "".join(f"f {' '.join(f'{c + 1}/{c % 4 + 1}' for c in quad if c >= 0)}\n" for quad in face.quads.tolist())
    rest = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl M_Face\n" + faces
    modes = some_modes(mean, identities + len(expressions))
    named = {f"identity{i:03d}": mode for i, mode in enumerate(modes)} if not expressions else {}
    named |= dict(zip((*(f"identity{i:03d}" for i in range(identities)), *expressions), modes, strict=True))
    for name, mode in {"generic_neutral_mesh": 0 * mean, **named}.items():
        vertices = "".join(f"v {x:.6g} {y:.6g} {z:.6g}\n" for x, y, z in mean + mode)
        (place / f"{name}.obj").write_text("# a comment\nmtllib a.mtl\n" + vertices + rest)
    lists = {"expressions": list(expressions), "idx_to_landmark_verts": face.landmarks.tolist()}
    (place / "vertex_indices.json").write_text(json.dumps(lists))
    return folder
