"""The pickle machine: a stack, a memo and the opcodes of protocols 2 to 5 that data needs.

What the opcodes mean is documented in Python's ``pickletools``. Everything that could name,
call or change something real (GLOBAL, REDUCE, NEWOBJ, BUILD, persistent ids) is handed to
``Names``, which knows a fixed list. Memory stays in proportion to the data: strings and bytes
are cut out of it, the memo is a dictionary (Python's own grows to the largest index that a
file mentions), and the number of opcodes is limited.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

LARGEST_NAME = 256  # bytes in the name of a module or class
LARGEST_INTEGER = 64  # bytes
# A whole training checkpoint of 1024 x 1024 pictures has about 40,000.
MOST_OPCODES = 400_000
KEY_TYPES = (str, int, bytes)


class PickleError(Exception):
    """What is wrong with the data, as the end of a sentence."""


class Names(Protocol):
    """What a file's names stand for; each method raises PickleError for what is not allowed."""

    def find(self, module: str, name: str) -> Any: ...

    def call(self, function: Any, arguments: tuple) -> Any: ...

    def build(self, target: Any, state: Any) -> None: ...

    def persistent(self, identifier: Any) -> Any: ...


class Machine:
    """Runs one pickle after the other out of ``data``; ``position`` is where the next begins."""

    def __init__(self, data: memoryview, names: Names, position: int = 0):
        self.data = data
        self.names = names
        self.position = position
        self.budget = MOST_OPCODES

    def run(self) -> Any:
        """The object of the pickle at ``position``."""
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        opcodes, data = OPCODES, self.data
        while True:
            self.budget -= 1
            if self.budget < 0:
                raise PickleError(f"it has more than {MOST_OPCODES} pickle opcodes")
            if self.position >= len(data):
                raise PickleError("it ends early")
            code = data[self.position]
            self.position += 1
            if code == STOP:
                return self.pop()
            action = opcodes.get(code)
            if action is None:
                raise PickleError(f"it uses the pickle opcode {bytes([code])!r}, which no checkpoint needs")
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

    def line(self) -> str:
        part = bytes(self.data[self.position : self.position + LARGEST_NAME])
        end = part.find(b"\n")
        if end < 0:
            raise PickleError("it has a name without an end")
        self.position += end + 1
        return text(part[:end])

    def push(self, value: Any) -> None:
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
        self.push(tuple(reversed([self.pop() for _ in range(count)])))

    def append(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise PickleError("its pickle has a key without a value")
        target = self.top(dict)
        for key, value in zip(items[::2], items[1::2]):
            target[checked_key(key)] = value

    def add_items(self, items: list[Any]) -> None:
        self.top(set).update(checked_key(item) for item in items)

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleError("it names something by what is not a name")
        self.push(self.names.find(module, name))

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(arguments, tuple):
            raise PickleError("it calls something with what are not arguments")
        self.push(self.names.call(function, arguments))

    def build(self) -> None:
        state = self.pop()
        self.names.build(self.top(object), state)

    def integer(self, size: int) -> None:
        if size > LARGEST_INTEGER:
            raise PickleError(f"it has a whole number of {size} bytes")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

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


def text(data: bytes | memoryview) -> str:
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise PickleError("it has a text that is not UTF-8") from error


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
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "K": lambda m: m.push(m.number(U1)),
        "M": lambda m: m.push(m.number(U2)),
        "J": lambda m: m.push(m.number(I4)),
        "\x8a": lambda m: m.integer(m.number(U1)),
        "G": lambda m: m.push(m.number(F8)),
        "\x8c": lambda m: m.push(text(m.take(m.number(U1)))),
        "X": lambda m: m.push(text(m.take(m.number(U4)))),
        "\x8d": lambda m: m.push(text(m.take(m.number(U8)))),
        "C": lambda m: m.push(bytes(m.take(m.number(U1)))),
        "B": lambda m: m.push(m.take(m.number(U4))),  # as a view: these hold the tensors
        "\x8e": lambda m: m.push(m.take(m.number(U8))),
        "\x96": lambda m: m.push(m.take(m.number(U8))),  # BYTEARRAY8: protocol 5's arrays
        ")": lambda m: m.push(()),
        "t": lambda m: m.push(tuple(m.pop_mark())),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "]": lambda m: m.push([]),
        "a": lambda m: m.append([m.pop()]),
        "e": lambda m: m.append(m.pop_mark()),
        "}": lambda m: m.push({}),
        "s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
        "u": lambda m: m.set_items(m.pop_mark()),
        "\x8f": lambda m: m.push(set()),
        "\x90": lambda m: m.add_items(m.pop_mark()),
        "c": lambda m: m.push(m.names.find(m.line(), m.line())),
        "\x93": Machine.stack_global,
        "R": Machine.call,
        "\x81": Machine.call,
        "b": Machine.build,
        "q": lambda m: m.remember(m.number(U1)),
        "r": lambda m: m.remember(m.number(U4)),
        "\x94": lambda m: m.remember(len(m.memo)),
        "h": lambda m: m.recall(m.number(U1)),
        "j": lambda m: m.recall(m.number(U4)),
        "Q": lambda m: m.push(m.names.persistent(m.pop())),
    }.items()
}
