"""Metrics of symbolic music and of cost, with their intervals; independent of denoisers and of the harness."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from metrics.quantities import SOURCES, music_functions

SOURCES += ["metrics.cost.quantities", "metrics.music"]

_NAMES = {  # names of each module, without the functions of music metrics: those are in the registry
    "music.notes": "Notes NotesError",
    "music.files": "read_notes read_folder music_files",
    "result": "MetricResult",
    "music.features": "feature_matrix",
    "music.vectors": "summary_vectors",
    "music.table": "quality_table reference_rows",
    "music.floors": "shuffled_pieces unigram_pieces uniform_pieces",
    "music.corruptions": "corrupted",
    "music.sensitivity": "sensitivity_responses",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"metrics.{_HOME[name]}"), name)
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module 'metrics' has no attribute {name!r}")
    functions = music_functions()
    if name == "__all__":
        return sorted(_HOME.keys() | functions.keys())
    if name not in functions:
        raise AttributeError(f"module 'metrics' has no attribute {name!r}")
    return functions[name][0]


def __dir__() -> list[str]:
    return list(__getattr__("__all__"))
