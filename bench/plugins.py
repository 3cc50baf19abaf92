"""Plug-ins of a user: modules that register further mixers and denoisers, imported before any model is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.errors import as_user_error

if TYPE_CHECKING:
    from architectures.denoiser import Registration
    from architectures.mixer import Mixer


def load_plugins(modules: Iterable[str]) -> list[type[Mixer] | Registration]:
    """Import each module (also from the working directory) and return the mixers and denoisers that they register.

    Raises UserError that names the module and what failed.
    """
    from architectures import plugins

    with as_user_error(plugins.PluginError):
        return plugins.load_plugins(modules)
