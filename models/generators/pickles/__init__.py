"""Checkpoints out of pickles: what their names stand for, on top of ``models.io.pickles``, which runs nothing."""

from models.generators.pickles.reader import read_pickle
from models.generators.pickles.records import ModuleRecord, NetworkRecord, TensorRecord
from models.generators.pickles.torch_file import is_torch_file, read_torch_file

__all__ = ["ModuleRecord", "NetworkRecord", "TensorRecord", "is_torch_file", "read_pickle", "read_torch_file"]
