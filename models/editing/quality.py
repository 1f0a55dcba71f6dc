"""Quality as a score: how surely and how firmly the network that finds faces sees one in what a generator draws of a seed.

InterFaceGAN repairs pictures along the boundary of such scores (Shen et al. 2020, section 4.4), where people told good pictures from bad ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.editing.codes import Progress, no_progress
from models.editing.inversion.finding import ROUNDS, Pyramid, look, told, verified
from models.editing.scores import Scores
from models.editing.studio_people import people_of, taught_by_studio
from models.generators import Generator, latents_from_seed
from models.perception.face_finder import FaceFinder

NAME = "quality"
BATCH = 8  # pictures at once


@torch.no_grad()
def quality_scores(generator: Generator, seeds: Sequence[int], finder: FaceFinder, progress: Progress = no_progress) -> Scores:
    """The quality of what is drawn of seeds, not truncated, and where z is a scene of the studio also what it means."""
    z = torch.cat([latents_from_seed(seed, 1, generator.z_dim) for seed in seeds])
    values = []
    for part in z.split(BATCH):
        pictures = generator(part.to(generator.w_avg.device)).float().cpu()
        values += [quality_of(((picture + 1) / 2).clamp(0, 1), finder) for picture in pictures]
        progress(len(values), len(z))
    own = Scores((NAME,), torch.tensor(values)[:, None])
    if not taught_by_studio(generator):
        return own
    known = people_of(generator).scores(z)
    return Scores(own.names + known.names, torch.cat((own.values, known.values), dim=1))


@torch.no_grad()
def quality_of(picture: Tensor, finder: FaceFinder) -> float:
    """1 and less of a picture (3, S, S) 0–1: the mean probability of a face in moved, turned and zoomed squares, less what these
    differ by about its landmarks, in half widths."""
    pyramid, size = Pyramid.of(picture), picture.shape[-1]
    squares = torch.tensor([[size / 2, -size / 2, size / 2, 0.0]])
    for _ in range(ROUNDS):
        squares = told(squares, look(pyramid, squares, finder)[1])
    ((face, loose),) = verified(pyramid, squares, finder)
    return face.likely - loose
