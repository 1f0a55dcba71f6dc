"""The face rig over a fixed generator: reconstruction w -> p, RigNet (w, p) -> w', frames and passes."""

from models.stylerig.controls import Controls, Frame, Portrait
from models.stylerig.rig import Rig

__all__ = ["Controls", "Frame", "Portrait", "Rig"]
