"""Reading pickles without running anything that is in them.

Python's own unpickler imports and calls what a file names. Here a small machine of our own
understands the opcodes that data needs, a fixed list says what each allowed name stands for
(plain data and frozen records, never the thing itself), and no file can make what takes for
ever, or too much memory, to make, hash, compare or print.
"""

from models.io.pickles.arrays import ArrayNames, ArrayRecord, ArrayType, ObjectRecord, whole_numbers
from models.io.pickles.limits import Budget, PickleError
from models.io.pickles.machine import Machine, checked_key
from models.io.pickles.names import ListedNames, Name, UnknownName, shown

__all__ = ["ArrayNames", "ArrayRecord", "ArrayType", "Budget", "ListedNames", "Machine", "Name", "ObjectRecord",
           "PickleError", "UnknownName", "checked_key", "shown", "whole_numbers"]  # fmt: skip
