"""Errors: those that the user can correct, and why a cell has no result."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

OUT_OF_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "could not create a memory",
    "could not create a primitive",
)
"""Messages of torch's allocators (CPU, CUDA), the C++ library and oneDNN (scratch memory of its primitives)."""


CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Line breaks, signs that steer a terminal and signs that turn the direction of writing."""
_BYTE = re.compile("[\udc80-\udcff]")


class UserError(Exception):
    """Invalid input of the user. The message is one line that says what is wrong and what is allowed; it is printed to
    stderr without a traceback."""

    def __init__(self, message: object = "") -> None:
        super().__init__(in_one_line(str(message)))


def in_one_line(text: str) -> str:
    """A text that a terminal shows as it is, in one line: line breaks and control characters, those of the direction of
    writing among them, as escapes (`\\n`, `\\x1b`), bytes of names that are no UTF-8 as their numbers (`\\xe9`)."""
    text = _BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def quoted(value: object) -> str:
    """A value in an error: a text in one line between quotation marks, another value as Python writes it."""
    try:
        return f"'{in_one_line(value)}'" if isinstance(value, str) else repr(value)
    except ValueError:  # sys.set_int_max_str_digits
        return "a number of thousands of digits"


class CellFailure(Exception):
    """A measurement that ended without a result.

    Parameters
    ----------
    state: failed, oom, timeout or diverged (`bench.store.cells.FINISHED`).
    reason: one line for the cell's rows.
    """

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(reason)
        self.state, self.reason = state, reason


def first_line(error: BaseException) -> str:
    """First line of an error's message; its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def as_user_error(*kinds: type[Exception], words: str = "") -> Iterator[None]:
    """Errors of these types in the block become a UserError: `words`, then the first line of their message."""
    try:
        yield
    except kinds as error:
        raise UserError(f"{words}{first_line(error)}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on any device.

    Only a RuntimeError is judged by its message (torch, oneDNN): other messages may quote what a user named.
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    message = str(error).lower()
    known = isinstance(error, RuntimeError) and any(words in message for words in OUT_OF_MEMORY)
    return known or isinstance(error, MemoryError)


def failure_of(error: BaseException) -> CellFailure:
    """State and one-line reason of a measurement that ended in `error`."""
    if isinstance(error, CellFailure):
        return error
    message = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
    if is_out_of_memory(error):
        return CellFailure("oom", f"oom: {message}")
    return CellFailure("failed", f"error: {message}")


def disk_is_full(error: BaseException | None) -> bool:
    """Whether `error`, or one that caused it, says that no space is left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
