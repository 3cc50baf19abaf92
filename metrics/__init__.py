"""Metrics of symbolic music and of cost, with their intervals; independent of denoisers and of the harness."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from metrics.quantities import music_functions

_HOME = {  # name -> module, without the functions of music metrics: those are in the registry
    "Notes": "music.notes",
    "NotesError": "music.notes",
    "read_notes": "music.files",
    "read_folder": "music.files",
    "music_files": "music.files",
    "MetricResult": "result",
    "feature_matrix": "music.features",
    "summary_vectors": "music.vectors",
    "quality_table": "music.table",
    "reference_rows": "music.table",
    "corrupted": "music.corruptions",
    "sensitivity_responses": "music.sensitivity",
    "shuffled_pieces": "music.table",
    "unigram_pieces": "music.table",
    "uniform_pieces": "music.table",
}


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
