"""In a checkout, the way to backend/protocol; in the extension's zip the files of that folder lie here instead."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.protocol import alignment as alignment
    from backend.protocol import camera as camera
    from backend.protocol import colour as colour
    from backend.protocol import frames as frames
    from backend.protocol import harmonics as harmonics
    from backend.protocol import image_texts as image_texts

__path__ = [str(Path(__file__).resolve().parents[2] / "backend" / "protocol")]
