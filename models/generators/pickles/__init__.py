"""Reading pickles without running anything that is in them.

Python's own unpickler imports and calls what a file names. Here a small machine of our own
understands the opcodes that checkpoints use, and a fixed table says what each allowed name
stands for: plain data and frozen records, never the thing itself.
"""

from models.generators.pickles.machine import PickleError
from models.generators.pickles.reader import read_pickle
from models.generators.pickles.records import ArrayRecord, ModuleRecord, NetworkRecord, TensorRecord, shown
from models.generators.pickles.torch_file import is_torch_file, read_torch_file

__all__ = ["ArrayRecord", "ModuleRecord", "NetworkRecord", "PickleError", "TensorRecord", "is_torch_file",
           "read_pickle", "read_torch_file", "shown"]  # fmt: skip
