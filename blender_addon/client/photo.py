"""A portrait of photos, asked of the backend in a thread. Standard library only."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from .backend_messages import backend_error
from .http_client import Client

POLL_SECONDS = 0.5
LARGEST_FILE = 30 << 20  # bytes of all photos together
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(eq=False)
class PhotoWork:
    """What is known of one that is under way; ``stop`` ends it. ``picture`` is a PNG of what it looks like so far."""

    stage: str = ""
    done: float = 0.0
    picture: bytes = b""
    stop: threading.Event = field(default_factory=threading.Event)

    def portrait(self, client: Client, request: dict[str, Any]) -> dict:
        """The portrait, when it is done. Raises UserError."""
        job = client.begin_photos(request)
        while True:
            state = client.photo_state(job)
            self.stage, self.done = state["stage"], state["done"]
            self.picture = base64.b64decode(state["preview"]) if state.get("preview") else self.picture
            if state["ended"]:
                break
            if self.stop.wait(POLL_SECONDS):
                client.cancel_photos(job)
                raise UserError("cancelled", "The portrait was cancelled.")
        if state["error"]:
            raise backend_error(state["error"])
        return state["portrait"]


def request_of(paths: list[Path], effort: str, face: int, model: str = "") -> dict[str, Any]:
    """The request for photos in files; ``face`` is that on the first, 0: the only one. Raises UserError where they cannot be read."""
    try:
        if sum(path.stat().st_size for path in paths) > LARGEST_FILE:
            raise UserError("too_large", "The photos are too large: {path} and the others.", "Save them smaller.", path=paths[0])
        photos = [{"name": path.name, "file": base64.b64encode(path.read_bytes()).decode()} for path in paths]
    except OSError as error:
        where = error.filename or paths[0]
        raise UserError("no_file", "{path} cannot be read: {reason}.", "Choose another.", path=where, reason=error.strerror) from error
    return {"photos": photos, "effort": effort, "faces": [face or None], "model": model or None}
