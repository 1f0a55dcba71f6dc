"""What of a set's pictures a training sees."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from models.data.image_set import ImageSet


class Framing(NamedTuple):
    """Images of ``size`` pixels a side; ``whole`` as in ``ImageSet``."""

    size: int
    whole: bool = False

    def open(self, folder: Path, progress: bool) -> ImageSet:
        """The pictures of a folder. Raises StyleRigError."""
        return ImageSet(folder, self.size, progress=progress, whole=self.whole)
