"""Boundaries of several attributes of one generator: trained, kept apart from each other, and reported as in the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.editing.boundary import CHOSEN, Boundary, correlations, cosines, project, train_boundary
from models.editing.codes import Progress, no_progress
from models.editing.directions import Directions, Header, generator_hash
from models.editing.layers import style_layers
from models.editing.scores import Scores
from models.generators import Generator

REACH = 3.0  # how far an attribute goes each way


@dataclass(frozen=True, eq=False)
class Attributes:
    """``trained`` boundaries by attribute, and ``normals`` (M, D) of the same without the ``conditions``' components."""

    trained: dict[str, Boundary]
    normals: Tensor
    conditions: tuple[str, ...] = ()


def train_attributes(
    codes: Tensor,
    scores: Scores,
    names: Sequence[str],
    conditions: Sequence[str] = (),
    given: Mapping[str, Tensor] | None = None,
    chosen: float = CHOSEN,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Attributes:
    """Boundaries of the attributes ``names`` on codes (N, D), each without its components along all ``conditions``.

    A condition is another attribute that has scores, or a normal (D,) of ``given`` by its name. Raises StyleRigError as
    ``train_boundary`` and ``project`` do.
    """
    given = dict(given or {})
    wanted = list(dict.fromkeys([*names, *(name for name in conditions if name not in given)]))
    trained = {}
    for name in wanted:
        trained[name] = train_boundary(codes, scores.column(name), chosen, seed=seed)
        progress(len(trained), len(wanted))
    known = {name: boundary.normal for name, boundary in trained.items()} | given
    normals = [project(known[name], [known[other] for other in conditions if other != name], name) for name in names]
    return Attributes({name: trained[name] for name in names}, torch.stack(normals), tuple(conditions))


def directions_of(generator: Generator, attributes: Attributes, space: str, reach: float = REACH) -> Directions:
    """The attributes' normals as directions that move all of w, or z."""
    return directions_of_normals(generator, tuple(attributes.trained), attributes.normals, attributes.conditions, space, reach)


def directions_of_normals(
    generator: Generator, names: tuple[str, ...], normals: Tensor, conditions: tuple[str, ...], space: str, reach: float = REACH
) -> Directions:
    """Normals (M, D) of boundaries, wherever they are from, as directions that move all of w, or z."""
    header = Header(
        kind="interfacegan",
        space=space,
        generator=generator_hash(generator),
        layers=tuple(range(len(style_layers(generator.synthesis)))),
        names=names,
        ranges=((-reach, reach),) * len(names),
        conditions=conditions,
    )
    return Directions(header, normals)


def report(attributes: Attributes, scores: Scores, title: str) -> str:
    """The paper's tables in Markdown: accuracy, correlation of boundaries and of attributes."""
    names = list(attributes.trained)
    accuracy = ["| attribute | validation | all | distance of the plane |", "|---|---|---|---|"]
    for name, found in attributes.trained.items():
        accuracy.append(f"| {name} | {found.validation:.1%} | {found.all:.1%} | {found.offset:+.2f} |")
    normals = torch.stack([found.normal for found in attributes.trained.values()])
    values = torch.stack([scores.column(name) for name in names], dim=1)
    parts = [title, "\n".join(accuracy), "Correlation of boundaries", matrix(names, cosines(normals))]
    if attributes.conditions:
        parts += [f"The same without {', '.join(attributes.conditions)}", matrix(names, cosines(attributes.normals))]
    parts += ["Correlation of attributes", matrix(names, correlations(values))]
    return "\n\n".join(parts) + "\n"


def matrix(names: Sequence[str], values: Tensor) -> str:
    """A symmetric matrix as a Markdown table, its upper half."""
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row, name in enumerate(names):
        cells = [f"{round(float(values[row, column]), 2) + 0.0:.2f}" if column >= row else "" for column in range(len(names))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
