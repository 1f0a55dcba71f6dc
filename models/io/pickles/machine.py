"""The pickle machine: a stack, a memo and the opcodes of all protocols that data needs.

What the opcodes mean is documented in Python's ``pickletools``. Everything that could name,
call or change something real (GLOBAL, REDUCE, NEWOBJ, BUILD, persistent ids) is handed to
``Names``, which knows a fixed list. Memory stays in proportion to the data: strings and bytes
are cut out of it, the memo is a dictionary (Python's own grows to the largest index that a
file mentions), and what a file may cost is limited (limits.py).
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from models.io.pickles.limits import Measures, PickleError
from models.io.pickles.names import Names

LARGEST_LINE = 256  # bytes in the name of a module or class, or in a number that is written out
LARGEST_INTEGER = 64  # bytes
NUMBER = re.compile(r"-?\d{1,100}L?")
KEY_TYPES = (str, int, bytes)
ATOMS = (type(None), bool, int, float, str, bytes, memoryview)


class Machine:
    """Runs one pickle after the other out of ``data``; ``position`` is where the next begins."""

    def __init__(self, data: memoryview, names: Names, position: int = 0):
        self.data = data
        self.names = names
        self.budget = names.budget
        self.position = position

    def run(self) -> Any:
        """The object of the pickle at ``position``: atoms, tuples, lists, dictionaries, sets and what Names gave."""
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.measures = Measures()
        opcodes, data = OPCODES, self.data
        while True:
            self.budget.step()
            if self.position >= len(data):
                raise PickleError("it ends early")
            code = data[self.position]
            self.position += 1
            if code == STOP:
                return self.pop()
            action = opcodes.get(code)
            if action is None:
                raise PickleError(f"it uses the pickle opcode {bytes([code])!r}, which no such file needs")
            action(self)

    def take(self, size: int) -> memoryview:
        end = self.position + size
        if end > len(self.data):
            raise PickleError("it ends early")
        part = self.data[self.position : end]
        self.position = end
        return part

    def number(self, form: struct.Struct) -> int:
        return form.unpack(self.take(form.size))[0]

    def line(self, largest: int = LARGEST_LINE) -> bytes:
        """What comes before the next line's end, and at most ``largest`` bytes."""
        size = min(LARGEST_LINE, largest)
        while True:
            part = bytes(self.data[self.position : self.position + size])
            end = part.find(b"\n")
            if end >= 0:
                self.position += end + 1
                return part[:end]
            if len(part) < size or size >= largest:
                raise PickleError("it has a line without an end")
            size = min(4 * size, largest)

    def name(self) -> str:
        return text(self.line())

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_new(self, value: Any, parts: Sequence[Any] = ()) -> None:
        """Put down a container that was just made of ``parts``."""
        self.measures.add(value, parts)
        self.stack.append(value)

    def push_text(self, data: bytes | memoryview, encoding: str = "utf-8") -> None:
        value = text(data, encoding)
        self.budget.copy(value.__sizeof__())  # one rare letter makes all of them take four bytes
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise PickleError("its pickle takes more than it has put down")
        return self.stack.pop()

    def top(self, kind: type | tuple[type, ...]) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise PickleError("its pickle fills something that cannot be filled")
        return self.stack[-1]

    def mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        if not self.marked:
            raise PickleError("its pickle takes more than it has put down")
        items, self.stack = self.stack, self.marked.pop()
        return items

    def remember(self, index: int) -> None:
        self.memo[index] = self.top(object)

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise PickleError("its pickle recalls what it never stored")
        self.push(self.memo[index])

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)][::-1]
        self.push_new(tuple(items), items)

    def tuple_to_mark(self) -> None:
        items = self.pop_mark()
        self.push_new(tuple(items), items)

    def list_to_mark(self) -> None:
        items = self.pop_mark()
        self.push_new(items, items)

    def dict_to_mark(self) -> None:
        items = self.pop_mark()
        self.push_new({})
        self.set_items(items)

    def append(self, items: list[Any]) -> None:
        target = self.top(list)
        self.measures.fill(target, items)
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise PickleError("its pickle has a key without a value")
        target = self.top(dict)
        self.measures.fill(target, items)
        for key, value in zip(items[::2], items[1::2], strict=False):
            target[checked_key(key)] = value

    def add_items(self, items: list[Any]) -> None:
        target = self.top(set)
        self.measures.fill(target, items)
        target.update(checked_key(item) for item in items)

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleError("it names something by what is not a name")
        self.push(self.names.find(module, name))

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(arguments, tuple):
            raise PickleError("it calls something with what are not arguments")
        result = self.names.call(function, arguments)
        if isinstance(result, ATOMS) or result in self.measures:
            self.push(result)
        else:
            self.push_new(result, [arguments])

    def build(self) -> None:
        state, target = self.pop(), self.top(object)
        if target in self.measures:
            self.measures.fill(target, [state])
        self.names.build(target, state)

    def integer(self, size: int) -> None:
        if size > LARGEST_INTEGER:
            raise PickleError(f"it has a whole number of {size} bytes")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def written_integer(self) -> None:
        """INT and LONG of protocol 0, where 00 and 01 are False and True."""
        line = self.name()
        if line in ("00", "01"):
            self.push(line == "01")
        elif NUMBER.fullmatch(line):
            self.push(int(line.rstrip("L")))
        else:
            raise PickleError("it has a number that is none")

    def written_float(self) -> None:
        try:
            self.push(float(self.name()))
        except ValueError as error:
            raise PickleError("it has a number that is none") from error

    def written_string(self) -> None:
        """Protocol 0's string between quotes, with escapes: bytes, which Python 2 did not tell from texts."""
        line = self.line(len(self.data))
        if len(line) < 2 or line[0] != line[-1] or line[0] not in b"'\"":
            raise PickleError("it has a string without quotes")
        self.budget.copy(len(line))
        try:
            value, _ = codecs.escape_decode(line[1:-1])
        except ValueError as error:
            raise PickleError("it has a string with a broken escape") from error
        self.push_text(value, "latin-1")

    def written_index(self) -> int:
        line = self.name()
        if not line.isascii() or not line.isdigit() or len(line) > 10:
            raise PickleError("its pickle recalls something by what is no number")
        return int(line)

    def protocol(self) -> None:
        version = self.take(1)[0]
        if not 2 <= version <= 5:
            raise PickleError(f"its pickle protocol is {version}, expected 2 to 5")


def checked_key(key: Any) -> Any:
    """Keys are plain: nested tuples and chosen large integers can take for ever to hash."""
    if not isinstance(key, KEY_TYPES):
        raise PickleError(f"it has a key of the type {type(key).__name__}")
    if isinstance(key, int) and key.bit_length() > 31:
        raise PickleError(f"it has a key of {key.bit_length()} bits")
    return key


def text(data: bytes | memoryview, encoding: str = "utf-8") -> str:
    try:
        return str(data, encoding, "surrogatepass" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise PickleError(f"it has a text that is not {encoding.upper()}") from error


U1, U2, I4, U4, U8, F8 = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q", ">d"))
STOP = ord(".")
OPCODES: dict[int, Callable[[Machine], None]] = {
    ord(code): action
    for code, action in {
        "\x80": Machine.protocol,
        "\x95": lambda m: m.take(8),  # FRAME: a hint for buffering
        "(": Machine.mark,
        "0": Machine.pop,
        "1": Machine.pop_mark,
        "2": lambda m: m.push(m.top(object)),
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "I": Machine.written_integer,
        "L": Machine.written_integer,
        "K": lambda m: m.push(m.number(U1)),
        "M": lambda m: m.push(m.number(U2)),
        "J": lambda m: m.push(m.number(I4)),
        "\x8a": lambda m: m.integer(m.number(U1)),
        "F": Machine.written_float,
        "G": lambda m: m.push(m.number(F8)),
        "S": Machine.written_string,
        "U": lambda m: m.push_text(m.take(m.number(U1)), "latin-1"),
        "T": lambda m: m.push_text(m.take(m.number(U4)), "latin-1"),
        "V": lambda m: m.push_text(m.line(len(m.data)), "raw-unicode-escape"),
        "\x8c": lambda m: m.push_text(m.take(m.number(U1))),
        "X": lambda m: m.push_text(m.take(m.number(U4))),
        "\x8d": lambda m: m.push_text(m.take(m.number(U8))),
        "C": lambda m: m.push(bytes(m.take(m.number(U1)))),
        "B": lambda m: m.push(m.take(m.number(U4))),  # as a view: these hold the tensors
        "\x8e": lambda m: m.push(m.take(m.number(U8))),
        "\x96": lambda m: m.push(m.take(m.number(U8))),  # BYTEARRAY8: protocol 5's arrays
        ")": lambda m: m.push(()),
        "t": Machine.tuple_to_mark,
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "]": lambda m: m.push_new([]),
        "l": Machine.list_to_mark,
        "a": lambda m: m.append([m.pop()]),
        "e": lambda m: m.append(m.pop_mark()),
        "}": lambda m: m.push_new({}),
        "d": Machine.dict_to_mark,
        "s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
        "u": lambda m: m.set_items(m.pop_mark()),
        "\x8f": lambda m: m.push_new(set()),
        "\x90": lambda m: m.add_items(m.pop_mark()),
        "c": lambda m: m.push(m.names.find(m.name(), m.name())),
        "\x93": Machine.stack_global,
        "R": Machine.call,
        "\x81": Machine.call,
        "b": Machine.build,
        "p": lambda m: m.remember(m.written_index()),
        "q": lambda m: m.remember(m.number(U1)),
        "r": lambda m: m.remember(m.number(U4)),
        "\x94": lambda m: m.remember(len(m.memo)),
        "g": lambda m: m.recall(m.written_index()),
        "h": lambda m: m.recall(m.number(U1)),
        "j": lambda m: m.recall(m.number(U4)),
        "Q": lambda m: m.push(m.names.persistent(m.pop())),
    }.items()
}
