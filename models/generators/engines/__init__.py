"""Engines: the same pictures as the plain network, sooner.

The plain torch network is the truth; an engine computes what it computes by other means. Which
one fits is chosen by device and by how exact the pictures have to be.
"""

from models.generators.engines.engine import EXACTNESS, Engine, kernels_place, load_engine
from models.generators.engines.scheduler import CpuScheduler, spoils_thread, torch_threads
from models.generators.roi import Box

__all__ = ["EXACTNESS", "Box", "CpuScheduler", "Engine", "kernels_place", "load_engine", "spoils_thread", "torch_threads"]
