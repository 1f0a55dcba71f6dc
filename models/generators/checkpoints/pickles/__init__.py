"""Checkpoints out of pickles: what their names stand for, on top of ``models.io.pickles``, which runs nothing."""

from models.generators.checkpoints.pickles.reader import read_pickle
from models.generators.checkpoints.pickles.records import ModuleRecord, NetworkRecord, TensorRecord
from models.generators.checkpoints.pickles.torch_file import is_torch_file, read_torch_file

__all__ = ["ModuleRecord", "NetworkRecord", "TensorRecord", "is_torch_file", "read_pickle", "read_torch_file"]
