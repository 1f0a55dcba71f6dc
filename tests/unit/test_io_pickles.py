"""The one machine for pickles of others: plain data comes out as Python reads it, and nothing takes for ever."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import StyleRigError
from models.face.importers import import_face_model
from models.generators import load_generator
from models.generators.checkpoints.pickles import read_pickle
from models.io.pickles import ArrayNames, Budget, ListedNames, Machine, PickleError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 5.0
TORCH_HEAD = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b".\x80\x02M\xe9\x03."


def plain(data: bytes):
    return Machine(memoryview(data), ListedNames(Budget(len(data)))).run()


def as_read(value):
    """Long bytes come as views of the file."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(as_read, value))
    if isinstance(value, dict):
        return {key: as_read(inner) for key, inner in value.items()}
    return bytes(value) if isinstance(value, memoryview) else value


ATOMS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20)
DATA = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(value=DATA, protocol=st.integers(0, 5))
def test_plain_data_is_what_python_reads(value, protocol):
    assert as_read(plain(pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize("stream, value", [
    (b"S'a\\x41\\n'\np0\n.", "aA\n"), (b"U\x02\xe9a.", "\xe9a"), (b"T\x02\0\0\0\xe9a.", "\xe9a"), (b"I01\n.", True),
    (b"I-12\n.", -12), (b"L12L\n.", 12), (b"F1.5\n.", 1.5), (b"V\\u20ac\n.", "\u20ac"), (b"(lp0\nI1\naI2\na.", [1, 2]),
    (b"(dS'k'\nI1\ns.", {"k": 1}), (b"(S'k'\nI1\nd.", {"k": 1}), (b"I1\n2\x86.", (1, 1)), (b"I1\np3\n0g3\n.", 1),
])  # fmt: skip
def test_what_only_old_pythons_write(stream, value):
    assert plain(stream) == value == pickle.loads(stream, encoding="latin-1")


@pytest.mark.parametrize("stream", [
    b"S'a\n.", b"Sa\n.", b"S'\\x'\n.", b"I1x\n.", b"I" + b"1" * 300 + b"\n.", b"Fx\n.", b"g1x\n.", b"g\xb2\n.",
    b"S'" + b"a" * 100_000, b"V\\uzz\n.", b"2.", b"(I1\nd.", b"l.", b"cos\nsystem\n.", b"ios\nsystem\n.",
])  # fmt: skip
def test_broken_lines(stream):
    with pytest.raises(PickleError):
        plain(stream)


@pytest.mark.parametrize("kind", [">f8", "<f4", ">i2", "u1", "?"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_arrays_of_all_protocols_and_byte_orders(kind, protocol):
    value = np.asfortranarray(np.arange(6).reshape(2, 3).astype(kind))
    data = pickle.dumps({"a": value, "b": value[0, 1]}, protocol)
    read = Machine(memoryview(data), ArrayNames(Budget(len(data)))).run()
    assert np.array_equal(read["a"].array(), value) and read["a"].array().dtype.isnative
    assert read["b"] == value[0, 1]


def test_tables_of_python_2_come_with_their_pairs():
    class Pairs:
        def __reduce__(self):
            return OrderedDict, ([["a", 1], ["b", [2]]],)

    assert read_pickle(pickle.dumps(Pairs(), 2)) == {"a": 1, "b": [2]}


# What is small and takes for ever


def doubled(times: int, start: bytes, step: Callable[[bytes], bytes]) -> bytes:
    """``times`` values, each made of twice the one before, which would take 2^times steps to walk."""
    out = start + b"q\0"
    for index in range(1, times):
        out += step(b"h" + bytes([index - 1])) + b"q" + bytes([index])
    return out


LISTS = doubled(60, b"]", lambda one: b"](" + one + one + b"e")
TUPLES = doubled(60, b")", lambda one: one + one + b"\x86")
DICTS = doubled(60, b"}", lambda one: b"}(K\1" + one + b"K\2" + one + b"u")


@pytest.mark.parametrize("values", [LISTS, TUPLES, DICTS], ids=["lists", "tuples", "tables"])
def test_values_that_hold_themselves_again_and_again(values):
    with pytest.raises(PickleError, match="counting what it repeats"):
        plain(b"\x80\x02" + values + b".")


@pytest.mark.parametrize("stream", [
    b")" + b"\x85" * 300_000 + b".", b"]" * 3000 + b"a" * 2999 + b".", b"(" * 9 + b"]" + b"}K\1" * 300 + b"s" * 300 + b".",
    b"]q\0" + b"]q\1h\1a0" * 2 + b"h\0h\1a.",  # into what was put away already
    b"]q\0h\0a.", b"]q\0]q\1h\0a0h\1h\0\x86.h\0h\1a.", b"]q\0\x850h\0]a.",
    b"]q\0" + b"]q\1h\0h\1a0h\1q\0" * 300 + b".",  # ever deeper from above
])  # fmt: skip
def test_values_too_deep_or_within_themselves(stream):
    try:
        depth, value = 0, plain(b"\x80\x02" + stream)
    except PickleError:
        return
    while value and isinstance(value, (list, tuple)):
        depth, value = depth + 1, value[-1]
    assert depth <= 101


def test_what_is_already_in_something_else_is_not_filled():
    for stream in (b"]q\0\x850h\0K\1a.", b"]q\0h\0a.", b"]q\0]q\1h\0a0h\0h\1a."):
        with pytest.raises(PickleError, match=r"put into something|contains itself"):
            plain(stream)


def repeated(call: bytes, argument: bytes, times: int = 90_000) -> bytes:
    """A pickle that calls something again and again with one and the same large argument."""
    return b"\x80\x02" + argument + b"\x85q\1" + b"0" + (call + b"h\1R0") * times + b"N."


def inside(object_: bytes, keys: bytes) -> bytes:
    """A storage in torch's legacy format, as bytes that a pickle loads."""
    system = b"\x80\x02}X\r\0\0\0little_endian\x88s."
    storage = TORCH_HEAD + system + b"\x80\x02" + object_ + b".\x80\x02" + keys + b"."
    return b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(storage)) + storage + b"\x85R."


HOSTILE = {
    "compared": b"\x80\x02" + inside(LISTS + b"X\2\0\0\0f4K\0\x87", LISTS + b"0](h\x3be"),
    "hashed": b"\x80\x02" + TUPLES + b"0}h\x3bK\1s.",
    "shown": b"\x80\x04" + LISTS + b"h\x3b\x93.",
    "named": b"\x80\x04X\1\0\0\0a" + TUPLES + b"\x93.",
    "deep key": b"\x80\x02})" + b"\x85" * 500_000 + b"K\1s.",
    "deep list": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "encoded": repeated(b"c_codecs\nencode\n", b"X\0\0\x10\0" + b"a" * 0x100000 + b"X\6\0\0\0latin1").replace(b"\x85q\1", b"\x86q\1"),
    "storages": repeated(b"ctorch.storage\n_load_from_bytes\n", b"B\0\0\4\0" + b"N0" * 0x20000),
    "sets": repeated(b"c__builtin__\nset\n", b"](" + b"X\1\0\0\0a" * 60_000 + b"e", 20_000),
    "tables": repeated(b"ccollections\nOrderedDict\n", b"](" + b"K\1K\1\x86" * 40_000 + b"e", 20_000),
    "one rare letter": b"\x80\x02X\0\0\x40\0" + b"a" * 0x3FFFFC + "\U0001f600".encode() + b"0.",
    "indices": b"\x80\x02(" + b"K\1r\xff\xff\xff\x7f" * 50_000 + b"l.",
    "long line": b"(dp0\nS'" + b"a" * 3_000_000,
    "many lines": b"(dp0\n" + b"S''\n0" * 210_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("read", [load_generator, import_face_model])
def test_hostile_pickles_end_soon(tmp_path, name, read):
    data = HOSTILE[name]
    (tmp_path / "a.pkl").write_bytes(data)
    start = time.process_time()
    with pytest.raises(StyleRigError, match=r"a.pkl"):
        read(tmp_path / "a.pkl")
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("name", ["encoded", "one rare letter", "indices"])
def test_memory_stays_in_proportion_to_the_file(name):
    tracemalloc.start()
    try:
        with suppress(PickleError):
            read_pickle(HOSTILE[name])
        assert tracemalloc.get_traced_memory()[1] < 8 * len(HOSTILE[name]) + (64 << 20)
    finally:
        tracemalloc.stop()


ENDLESS = """
import signal, sys
from models.io.pickles import Budget, ListedNames, Machine, PickleError, limits
limits.MOST_STEPS = 10**12
budget = Budget(0)
data = memoryview(b"\\x80\\x02" + b"N0" * 50_000_000)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is begun deaf to it
print("reading", flush=True)
try:
    Machine(data, ListedNames(budget)).run()
except PickleError:
    pass
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a child otherwise on Windows")
def test_ctrl_c_is_heard_within_a_pickle():
    process = subprocess.Popen([sys.executable, "-c", ENDLESS], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"reading\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=30)[1]
    finally:
        process.kill()
