"""Import of the modules that register mixers and denoisers: our own, and those of installed packages."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points


def import_built_in(names: Iterable[str]) -> None:
    """Import modules of this package."""
    for name in names:
        import_module(f"architectures.{name}")


def import_entry_points(group: str, error: type[Exception]) -> None:
    """Import the modules that installed packages offer under an entry point group; raises `error` for one that
    cannot be imported."""
    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as failure:  # another package's code may fail in any way
            raise error(f"entry point {point.name} = {point.value} cannot be loaded: {failure}") from failure
