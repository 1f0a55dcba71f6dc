"""Engines: the same pictures as the plain network, sooner.

The plain torch network is the truth; an engine computes what it computes by other means. Which
one fits is chosen by device and by how exact the pictures have to be.
"""

from models.generators.engines.boxes import Box
from models.generators.engines.engine import EXACTNESS, Engine, load_engine
from models.generators.engines.threads import give_threads

__all__ = ["Box", "EXACTNESS", "Engine", "give_threads", "load_engine"]
