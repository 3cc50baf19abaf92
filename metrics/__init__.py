"""Figures on symbolic music: what they mean, how sure they are. Knows nothing of denoisers or of the harness."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# no file is called as a function here is: `metrics.drift` cannot be both a module and what it holds
_HOME = {
    "Notes": "notes",
    "NotesError": "notes",
    "read_notes": "files",
    "read_folder": "files",
    "music_files": "files",
    "MetricResult": "result",
    "oa_attribute": "attribute",
    "oa_distance": "distance",
    "oa_distance_mean": "distance",
    "oa_from_features": "overlap",
    "feature_matrix": "features",
    "pitch_outliers": "outliers",
    "chord_density": "chords",
    "oa_framewise": "framewise",
    "drift": "slopes",
    "token_drift": "slopes",
    "structure_similarity_error": "structure",
    "novelty": "copies",
    "vector_distance": "vectors",
    "frechet_distance": "vectors",
    "summary_vectors": "vectors",
    "describe": "descriptors",
    "pitch_class_entropy": "descriptors",
    "scale_consistency": "descriptors",
    "groove_consistency": "descriptors",
    "empty_beat_rate": "descriptors",
    "grammar_errors": "grammar",
    "token_entropy": "token_variety",
    "quality_table": "table",
    "reference_rows": "table",
    "corrupted": "corruptions",
    "sensitivity_responses": "sensitivity",
    "shuffled_pieces": "floors",
    "unigram_pieces": "floors",
    "uniform_pieces": "floors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'metrics' has no attribute {name!r}")
    return getattr(import_module(f"metrics.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
