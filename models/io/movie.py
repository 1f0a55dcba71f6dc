"""Films that people look at: H.264 in MP4."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from models.extras import extra_needed
from models.io.atomic_write import write_atomic


def write_movie(path: Path, images: Iterable[np.ndarray], size: tuple[int, int], rate: float) -> Path:
    """Write images (H, W, 3) uint8 of ``size`` (width, height) at ``rate`` frames a second, whole or not at all.

    Raises StyleRigError where the package that encodes them is missing.
    """
    with extra_needed():
        import imageio_ffmpeg

    def encode(temporary: Path) -> None:
        writer = imageio_ffmpeg.write_frames(str(temporary), size, fps=rate, codec="libx264", quality=8, macro_block_size=2)
        writer.send(None)
        try:
            for image in images:
                writer.send(image.tobytes())
        finally:
            writer.close()

    return write_atomic(path, encode)
