"""Labels of looks: what a person writes, as the numbers that the networks take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.translation.config import StarGANConfig
from models.translation.errors import bad_label

Label = Tensor | str | int | Sequence[Any] | Mapping[str, float]


def label_vectors(config: StarGANConfig, label: Any, count: int) -> Tensor:
    """What a StarGAN takes, (count, label_size), float32.

    ``label`` is the vector itself or one for each image, or names: one, several, or a table of names and numbers;
    those that are not named are 0. Of sets that were trained jointly one is meant at a time, and the mask says
    which. Raises StyleRigError for any other.
    """
    if label is None:
        raise bad_label("it is missing", f"Give one or more of {', '.join(config.labels)}.")
    vector = named_vector(config, label) if is_named(label) else given_vector(config, label)
    if vector.dim() == 1:
        vector = vector.expand(count, -1)
    if vector.shape != (count, config.label_size):
        shape = tuple(vector.shape)
        raise bad_label(f"it has the shape {shape}", f"{count} images take ({config.label_size},) or ({count}, {config.label_size}).")
    return vector


def is_named(label: Any) -> bool:
    texts = isinstance(label, (list, tuple)) and bool(label) and all(isinstance(name, str) for name in label)
    return texts or isinstance(label, (str, Mapping))


def named_vector(config: StarGANConfig, label: Any) -> Tensor:
    """The vector of names, or of a table of names and numbers, and the mask of the set that they are from."""
    values = label if isinstance(label, Mapping) else dict.fromkeys([label] if isinstance(label, str) else label, 1.0)
    labels = list(config.labels)
    unknown = [str(name) for name in values if name not in labels]
    if unknown or not values:
        raise bad_label(f"there is no {unknown[0]!r}" if unknown else "it names nothing", f"There are {', '.join(labels)}.")
    vector = torch.zeros(config.label_size)
    for name, value in values.items():
        vector[labels.index(name)] = number(value)
    sets = [index for index, names in enumerate(config.label_sets) if set(names) & set(values)]
    if len(sets) > 1:
        raise bad_label("its names are from several sets", "Name attributes of one set: " + " | ".join(map(", ".join, config.label_sets)))
    if len(config.label_sets) > 1:
        vector[len(labels) + sets[0]] = 1
    return vector


def given_vector(config: StarGANConfig, label: Any) -> Tensor:
    try:
        vector = torch.as_tensor(label, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise bad_label("it is neither names nor numbers", f"Give one or more of {', '.join(config.labels)}.") from error
    if not torch.isfinite(vector).all():
        raise bad_label("it has values that are not numbers", "Give 0 or 1 for each attribute.")
    return vector


def number(value: Any) -> float:
    if not isinstance(value, (int, float)) or not -1e6 < value < 1e6:
        raise bad_label(f"{value!r} is no number for an attribute", "Give 0 or 1.")
    return float(value)


def domain_indices(domains: tuple[str, ...], domain: Any, count: int) -> Tensor:
    """Which domain each of ``count`` rows is of, (count,) whole numbers, from a name, a number, or a row of numbers."""
    hint = f"The domains are {', '.join(f'{index} {name}' for index, name in enumerate(domains))}."
    if isinstance(domain, str):
        if domain not in domains:
            raise bad_label(f"there is no domain {domain!r}", hint)
        domain = domains.index(domain)
    try:
        indices = torch.as_tensor(domain)
    except (TypeError, ValueError, RuntimeError) as error:
        raise bad_label("the domain is missing" if domain is None else "the domain is neither a name nor a number", hint) from error
    if indices.is_floating_point() or indices.dtype == torch.bool or indices.shape not in ((), (1,), (count,)):
        raise bad_label(f"the domain has to be one whole number, or {count} of them", hint)
    if not ((indices >= 0) & (indices < len(domains))).all():
        raise bad_label(f"there is no domain {indices.reshape(-1).tolist()[:4]}", hint)
    return indices.long().expand(count)
