"""Plug-ins: modules of the user that register mixers and denoisers when they are imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from architectures.denoiser import DenoiserError, Registration, registered_denoisers
from architectures.errors import first_line
from architectures.mixer import Mixer, MixerError
from architectures.registry import registered_mixers


class PluginError(ValueError):
    """A plug-in module that cannot be imported or registers nothing; the message is one line."""


def load_plugin(module: str) -> list[type[Mixer] | Registration]:
    """Import `my_lab.my_block` (also from the current folder) and return the mixers and denoisers it registers.

    Raises PluginError when the import fails, with what failed, or when the module registers neither.
    """
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    try:
        importlib.import_module(module)
    except (MixerError, DenoiserError) as error:
        raise PluginError(f"plug-in {module}: {error}") from error
    except Exception as error:  # a user's module may fail in any way
        raise PluginError(f"plug-in {module!r} cannot be imported: {first_line(error)}") from error

    def of_module(name: str) -> bool:
        return name == module or name.startswith(f"{module}.")

    found: list[type[Mixer] | Registration] = [
        *(cls for cls in registered_mixers().values() if of_module(cls.__module__)),
        *(one for one in registered_denoisers().values() if of_module(one.module)),
    ]
    if not found:
        raise PluginError(
            f'plug-in {module!r} registers no mixer and no denoiser; decorate a class: @register_mixer("X", '
            'name="..."), or a function that returns a module: @register_denoiser("...")'
        )
    return found


def load_plugins(modules: Iterable[str]) -> list[type[Mixer] | Registration]:
    """As `load_plugin`, for each module in turn."""
    return [one for module in modules for one in load_plugin(module)]
