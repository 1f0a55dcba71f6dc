"""Which device computes."""

from __future__ import annotations

from models.errors import StyleRigError

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` takes the GPU that torch can use. Raises StyleRigError for one that is not there."""
    import torch

    if name not in DEVICES:
        raise StyleRigError(f"{name!r} is no device.", "Choose auto, cpu or cuda.", code="bad_device")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise StyleRigError("torch sees no CUDA device.", "Choose the CPU, or install torch for a GPU.", code="no_device")
    return name
