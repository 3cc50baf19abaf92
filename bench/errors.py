"""Errors that are the user's to mend: one clear line on stderr and a non-zero exit, never a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the user gave cannot be used; the message is one line that says what and what is allowed."""


def first_line(problem: BaseException) -> str:
    """First line of what an error says; its type where it says nothing."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]
