"""Errors of generation that the user can correct."""

from __future__ import annotations

from bench.errors import UserError


class GenerateError(UserError, ValueError):
    """A run, a song or a request cannot be used; one line says what is allowed."""
