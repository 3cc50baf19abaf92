"""Errors that are the user's to mend: one clear line on stderr and a non-zero exit, never a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the user gave cannot be used; the message is one line that says what and what is allowed."""
