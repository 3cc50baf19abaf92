"""Plug-ins: modules of the user that register mixers when they are imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from architectures.mixer import Mixer, MixerError, registered_mixers


class PluginError(ValueError):
    """A plug-in module that cannot be imported or registers nothing; the message is one line."""


def load_plugin(module: str) -> list[type[Mixer]]:
    """Import `my_lab.my_block` (also from the current folder) and return the mixers it registers.

    Raises PluginError when the import fails, with what failed, or when no mixer of the module is registered.
    """
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    try:
        importlib.import_module(module)
    except MixerError as error:
        raise PluginError(f"plug-in {module}: {error}") from error
    except Exception as error:  # a user's module may fail in any way
        raise PluginError(f"plug-in {module!r} cannot be imported: {type(error).__name__}: {error}") from error
    found = [
        cls
        for cls in registered_mixers().values()
        if cls.__module__ == module or cls.__module__.startswith(f"{module}.")
    ]
    if not found:
        raise PluginError(
            f'plug-in {module!r} registers no mixer; decorate its class: @register_mixer("X", name="...")'
        )
    return found


def load_plugins(modules: Iterable[str]) -> list[type[Mixer]]:
    """As `load_plugin`, for each module in turn."""
    return [cls for module in modules for cls in load_plugin(module)]
