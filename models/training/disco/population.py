"""Heads as the studio photographs them, without a photograph: what the factors are made of."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.face import FaceModel, load_face_model
from models.face.alignment import align
from models.face.parameters import RigParameters, concatenate
from models.io.atomic_write import write_atomic
from models.synthetic.person import latent_of, person_from_latent
from models.synthetic.shot import draw_shot

SET = 912  # seed of the people: none of them is photographed
CHUNK = 250
WORKERS = 2


def head(number: int, face: FaceModel) -> RigParameters:
    """Person ``number`` in a shot of their own, N = 1."""
    person = person_from_latent(latent_of(SET, number, face), face)
    return draw_shot(np.random.default_rng((SET, number)), person, face).parameters(person, face)


def chunk(first: int, name: str) -> Tensor:
    """``CHUNK`` heads from number ``first`` on, aligned as FFHQ crops are, as vectors (CHUNK, P)."""
    torch.set_num_threads(1)
    face = load_face_model(name)
    return align(face, concatenate([head(first + index, face) for index in range(CHUNK)])).vector()


def draw_heads(count: int, name: str, folder: Path) -> RigParameters:
    """``count`` aligned heads of the face model ``name``, kept in ``folder``/heads.pt for the next time."""
    path = folder / "heads.pt"
    if path.is_file() and len(kept := torch.load(path, weights_only=True)) == count:
        return RigParameters.from_vector(kept, load_face_model(name))
    starts = range(0, count, CHUNK)
    with ProcessPoolExecutor(WORKERS) as pool:
        parts = list(tqdm(pool.map(chunk, starts, [name] * len(starts)), total=len(starts), desc="heads", unit_scale=CHUNK, disable=None))
    drawn = torch.cat(parts)[:count].clone()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda temporary: torch.save(drawn, temporary))
    return RigParameters.from_vector(drawn, load_face_model(name))
