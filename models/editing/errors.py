"""What can be wrong with what an edit is made from, as errors that a user can put right."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path

from models.errors import StyleRigError


def bad_layers(reason: str) -> StyleRigError:
    return StyleRigError(f"The layers cannot be used: {reason}.", 'Give numbers and ranges, as in "0-1,4", or "all".', code="bad_layers")


def bad_directions(path: str | Path, reason: str, hint: str = "Make the directions again.") -> StyleRigError:
    return StyleRigError(f"{path} holds no directions that can be used: {reason}.", hint, code="bad_directions")


def bad_boundary(path: str | Path, reason: str) -> StyleRigError:
    hint = "Choose a boundary of one row, as InterFaceGAN publishes them, that belongs to this generator."
    return StyleRigError(f"{path} is no boundary that can be used: {reason}.", hint, code="bad_boundary")


def bad_scores(reason: str, hint: str) -> StyleRigError:
    return StyleRigError(f"The scores cannot be used: {reason}.", hint, code="bad_scores")


def unknown_attribute(name: str, known: Collection[str]) -> StyleRigError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    listed = (
        f"There are {', '.join(sorted(known))}." if known else "No directions belong to its generator: load some, or leave attributes out."
    )
    return StyleRigError(f"The portrait has no attribute {name!r}.", meant + listed, code="unknown_attribute")
