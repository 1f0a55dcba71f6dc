"""What is printed reaches any terminal, pipe or file and harms none, and whatever happens to it stops no work. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

READER_GONE = (errno.EPIPE, errno.EINVAL)  # the second one on Windows
KEPT = "\n\r\t"  # a progress bar goes back to the start of its line
DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))  # and ends of lines: they reorder what stands there
ESCAPES = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if chr(number) not in KEPT}
ESCAPES |= {number: f"\\u{number:04x}" for number in DIRECTIONS}
ONE_LINE = ESCAPES | {ord(sign): repr(sign)[1:-1] for sign in KEPT}


def one_line(text: str) -> str:
    """A text that may quote a file's or a person's words, as one line."""
    return text.translate(ONE_LINE)


class Output:
    """A text stream that takes every text: control characters, and what its encoding lacks, are written as escapes.

    Where the stream cannot be written (a full disk, a reader that went away) the words are lost and
    ``problem`` is the error.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.problem: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        encoding = self.stream.encoding or "utf-8"
        shown = text.translate(ESCAPES).encode(encoding, "backslashreplace").decode(encoding)
        with self.kept_going():
            self.stream.write(shown)
            if "\n" in shown:
                self.stream.flush()
        return len(text)

    def flush(self) -> None:
        with self.kept_going():
            self.stream.flush()

    @contextlib.contextmanager
    def kept_going(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.problem = error

    def close_down(self) -> None:
        """Drop what could not be written: Python itself would try again at its end, and fail."""
        self.flush()
        if self.problem is not None:
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())

    @property
    def lost(self) -> bool:
        """Whether words were lost that somebody waits for: a reader that went away wants no more."""
        return self.problem is not None and self.problem.errno not in READER_GONE


@contextlib.contextmanager
def outputs() -> Iterator[tuple[Output, Output]]:
    """Replace this process's standard output and error by such streams, and put them back."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # for a process that has none, as Windows' pythonw
        sys.stdout, sys.stderr = made = Output(before[0] or nowhere), Output(before[1] or nowhere)
        try:
            yield made
        finally:
            sys.stdout, sys.stderr = before
            for output in made:
                output.close_down()
