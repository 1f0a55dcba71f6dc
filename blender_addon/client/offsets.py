"""Files of what was added to a generator for a person on a photo, by hash, for requests that need them. Standard library only.

A portrait names its file by hash. The backend keeps the files that it has seen; one that was started anew asks for them again.
"""

from __future__ import annotations

from typing import Any

FILES: dict[str, str] = {}  # SHA-256 -> base64; of this session
MISSING = "offsets_missing"


def digest_of(portrait: dict) -> str:
    """The hash of a portrait's file; empty where it has none."""
    offsets = portrait.get("offsets")
    return str(offsets.get("sha256", "")) if isinstance(offsets, dict) else ""


def apart(portrait: dict) -> tuple[dict, str]:
    """A portrait that names its file only, and the file, which is kept for requests; empty where it has none."""
    digest, file = digest_of(portrait), str((portrait.get("offsets") or {}).get("file") or "")
    if not digest:
        return portrait, ""
    if file:
        FILES[digest] = file
    return {**portrait, "offsets": {"sha256": digest}}, FILES.get(digest, "")


def whole(portrait: dict) -> dict:
    """A portrait with its file, where it is known."""
    digest = digest_of(portrait)
    return {**portrait, "offsets": {"sha256": digest, "file": FILES[digest]}} if digest in FILES else portrait


def with_file(request: dict[str, Any] | None) -> dict[str, Any] | None:
    """A request whose portrait comes with its file; None where that changes nothing."""
    portrait = (request or {}).get("portrait")
    if request is None or portrait is None or digest_of(portrait) not in FILES:
        return None
    return {**request, "portrait": whole(portrait)}
