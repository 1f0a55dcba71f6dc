"""The face rig over a fixed generator: reconstruction w -> p, RigNet (w, p) -> w', frames and passes."""

from models.rigging.controls import Controls, Frame, Portrait
from models.rigging.looks import LookUse
from models.rigging.rig import Rig

__all__ = ["Controls", "Frame", "LookUse", "Portrait", "Rig"]
