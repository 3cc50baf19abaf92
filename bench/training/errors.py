"""Errors of training that the user can correct."""

from __future__ import annotations

from bench.errors import UserError


class TrainingError(UserError, ValueError):
    """A setting, a corpus or a checkpoint that cannot be used; one line says what was found and what is allowed."""
