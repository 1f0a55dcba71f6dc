"""Reading a pickle of arrays without running it.

The opcodes are walked here one by one: nothing is imported, called or given attributes. Names that
the file asks for must be on a short list and become plain records, from which arrays are taken
afterwards: numpy arrays, the sparse matrices of scipy, the arrays of chumpy.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from models.face.importers.checks import FaceModelError

MAX_OPCODES = 1_000_000  # a FLAME file takes a few hundred; each makes at most one small object
MAX_DENSE = 64 << 20  # values of a sparse matrix once filled in
KNOWN = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy._core.multiarray", "_reconstruct"): "array",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("numpy.core.numeric", "_frombuffer"): "frombuffer",
    ("numpy._core.numeric", "_frombuffer"): "frombuffer",
    ("_codecs", "encode"): "encode",
    ("scipy.sparse.csc", "csc_matrix"): "csc",
    ("scipy.sparse._csc", "csc_matrix"): "csc",
    ("chumpy.ch", "Ch"): "chumpy",
    ("copy_reg", "_reconstructor"): "reconstructor",
    ("copyreg", "_reconstructor"): "reconstructor",
    ("__builtin__", "object"): "object",
    ("builtins", "object"): "object",
}
NUMBER = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
MARK = object()


@dataclass(eq=False)
class Record:
    """What stands for a name (``args`` None) or for an object made of it."""

    kind: str
    args: tuple | None = None
    state: object = field(default=None)


def read_pickle(file: Path, data: bytes):
    """What the pickle holds: dictionaries, lists, tuples, strings, numbers and Records."""
    reader = Reader()
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            if count >= MAX_OPCODES:
                raise ValueError("it has more steps than a face model needs")
            if opcode.name == "STOP":
                return reader.stack.pop()
            reader.step(opcode.name, argument)
    except PermissionError as error:
        raise FaceModelError(file, f"asks for {error}, which is no part of a face model.", "Do not trust this file.") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, UnicodeError) as error:
        raise FaceModelError(file, f"is not a readable pickle: {error}.") from error
    raise FaceModelError(file, "is a pickle without an end.")


class Reader:
    """The pickle machine's stack and memo, with plain records in place of objects."""

    def __init__(self):
        self.stack, self.memo = [], {}

    def step(self, name: str, argument) -> None:
        """One opcode."""
        if name in STEPS:
            STEPS[name](self)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self.stack.append(known(*argument.split(" ", 1)))
        elif name in CONSTANTS:
            self.stack.append(argument)
        elif name not in ("PROTO", "FRAME"):
            raise PermissionError(f"the step {name}")

    def to_mark(self) -> list:
        """Take everything above the last mark off the stack."""
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise IndexError("a mark is missing")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def take(self, count: int) -> tuple:
        """Take ``count`` items off the stack."""
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return items

    def fill_list(self, items) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError("items are added to what is not a list")
        target.extend(items)

    def fill_dict(self, items) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise TypeError("entries are added to what is not a dictionary")
        target.update(zip(items[::2], items[1::2], strict=True))

    def make(self) -> None:
        """REDUCE and NEWOBJ: note what was to be made of what."""
        maker, args = self.take(2)
        if type(maker) is not Record or maker.args is not None or type(args) is not tuple:
            raise TypeError("something is called that is no name")
        kind = maker.kind
        if kind == "reconstructor":
            if not args or type(args[0]) is not Record:
                raise TypeError("an object is made of no class")
            kind = args[0].kind
        if kind == "encode":
            if len(args) != 2 or type(args[0]) is not str or args[1] != "latin1":
                raise PermissionError("an encoding")
            self.stack.append(args[0].encode("latin1"))
            return
        self.stack.append(Record(kind, args))

    def build(self) -> None:
        """BUILD: keep an object's state beside it."""
        (state,) = self.take(1)
        if type(self.stack[-1]) is not Record or self.stack[-1].args is None:
            raise TypeError("state is given to what is no object")
        self.stack[-1].state = state


def known(module: str, name: str) -> Record:
    """The record for a name on the list; PermissionError for any other."""
    if (module, name) not in KNOWN:
        raise PermissionError(f"{module}.{name}"[:120])
    return Record(KNOWN[module, name])


def make_dict(items: list) -> dict:
    """A dictionary of keys and values in turn."""
    return dict(zip(items[::2], items[1::2], strict=True))


CONSTANTS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 "
    "BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT".split()
)
STEPS = {
    "NONE": lambda reader: reader.stack.append(None),
    "NEWTRUE": lambda reader: reader.stack.append(True),
    "NEWFALSE": lambda reader: reader.stack.append(False),
    "MARK": lambda reader: reader.stack.append(MARK),
    "EMPTY_LIST": lambda reader: reader.stack.append([]),
    "EMPTY_TUPLE": lambda reader: reader.stack.append(()),
    "EMPTY_DICT": lambda reader: reader.stack.append({}),
    "LIST": lambda reader: reader.stack.append(reader.to_mark()),
    "TUPLE": lambda reader: reader.stack.append(tuple(reader.to_mark())),
    "DICT": lambda reader: reader.stack.append(make_dict(reader.to_mark())),
    "TUPLE1": lambda reader: reader.stack.append(reader.take(1)),
    "TUPLE2": lambda reader: reader.stack.append(reader.take(2)),
    "TUPLE3": lambda reader: reader.stack.append(reader.take(3)),
    "APPEND": lambda reader: reader.fill_list(reader.take(1)),
    "APPENDS": lambda reader: reader.fill_list(reader.to_mark()),
    "SETITEM": lambda reader: reader.fill_dict(reader.take(2)),
    "SETITEMS": lambda reader: reader.fill_dict(reader.to_mark()),
    "POP": lambda reader: reader.take(1),
    "POP_MARK": lambda reader: reader.to_mark(),
    "DUP": lambda reader: reader.stack.append(reader.stack[-1]),
    "MEMOIZE": lambda reader: reader.memo.__setitem__(len(reader.memo), reader.stack[-1]),
    "STACK_GLOBAL": lambda reader: reader.stack.append(known(*map(str, reader.take(2)))),
    "REDUCE": Reader.make,
    "NEWOBJ": Reader.make,
    "BUILD": Reader.build,
}


def array_of(file: Path, entry: str, value) -> np.ndarray:
    """The array that a value from ``read_pickle`` stands for; sparse matrices are filled in."""
    try:
        return array_from(value)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise FaceModelError(file, f"the entry {entry} is not an array of numbers: {error}.") from error


def array_from(value, depth: int = 0) -> np.ndarray:
    """``array_of`` without its error."""
    if type(value) is not Record:
        if type(value) in (int, float, bool):
            return np.asarray(value)
        raise TypeError(f"it is a {type(value).__name__}")
    if value.kind == "chumpy" and depth < 4:
        return array_from(value.state["x"], depth + 1)
    if value.kind == "csc":
        return dense(value.state, depth)
    if value.kind == "array":
        _, shape, dtype, fortran, raw = value.state
        return shaped(raw, dtype, shape, "F" if fortran else "C")
    if value.kind == "frombuffer":
        raw, dtype, shape, order = value.args
        return shaped(raw, dtype, shape, "F" if order == "F" else "C")
    raise TypeError(f"it is a {value.kind}")


def shaped(raw, dtype, shape, order: str) -> np.ndarray:
    """An array over raw bytes, whose number must be exactly what the shape needs."""
    if type(raw) is str:  # Python 2 wrote bytes as strings
        raw = raw.encode("latin1")
    if type(raw) not in (bytes, bytearray) or type(shape) is not tuple:
        raise TypeError("it does not hold plain numbers")
    sizes = [int(size) for size in shape]
    values = np.frombuffer(raw, number_type(dtype))
    if min(sizes, default=0) < 0 or prod(sizes) != values.size:
        raise ValueError(f"it holds {values.size} values, not {sizes}")
    return values.reshape(sizes, order=order)


def number_type(record) -> np.dtype:
    """The numpy type of a dtype record: whole and floating numbers only."""
    if type(record) is not Record or record.kind != "dtype" or type(record.args[0]) is not str:
        raise TypeError("its type is not that of an array")
    if not NUMBER.fullmatch(record.args[0]):
        raise TypeError(f"its type {record.args[0][:20]} is not a number")
    order = record.state[1] if type(record.state) is tuple and len(record.state) > 1 else "<"
    return np.dtype(record.args[0].lstrip("<>|=")).newbyteorder(">" if order == ">" else "<")


def dense(state, depth: int) -> np.ndarray:
    """A compressed-sparse-column matrix, filled in; shape (rows, columns)."""
    entries = {key.lstrip("_"): value for key, value in state.items()}
    rows, columns = (int(size) for size in entries["shape"])
    starts, places, values = (array_from(entries[key], depth + 1).ravel() for key in ("indptr", "indices", "data"))
    if rows < 1 or columns < 1 or rows * columns > MAX_DENSE or len(starts) != columns + 1:
        raise ValueError(f"a sparse matrix of {rows} × {columns}")
    counts = np.diff(starts)
    if starts[0] != 0 or (counts < 0).any() or starts[-1] != len(places) or len(places) != len(values):
        raise ValueError("the columns of a sparse matrix overlap")
    if len(places) and (places.min() < 0 or places.max() >= rows):
        raise ValueError("a sparse matrix reaches past its rows")
    matrix = np.zeros((rows, columns))
    np.add.at(matrix, (places, np.repeat(np.arange(columns), counts)), values)
    return matrix
