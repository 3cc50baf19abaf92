"""Errors of the diffusion process that the user can correct."""

from __future__ import annotations

from bench.errors import UserError


class DiffusionError(UserError, ValueError):
    """A setting of the process, a loss, a sampler or an evaluation cannot be used; one line says what is allowed."""
