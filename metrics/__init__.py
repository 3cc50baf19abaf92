"""Figures on symbolic music: what they mean, how sure they are. Knows nothing of denoisers or of the harness."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# no file is called as a function here is: `metrics.drift` cannot be both a module and what it holds
_HOME = {
    "Notes": "music.notes",
    "NotesError": "music.notes",
    "read_notes": "music.files",
    "read_folder": "music.files",
    "music_files": "music.files",
    "MetricResult": "result",
    "oa_attribute": "music.attribute",
    "oa_distance": "music.distance",
    "oa_distance_mean": "music.distance",
    "oa_from_features": "music.overlap",
    "feature_matrix": "music.features",
    "pitch_outliers": "music.outliers",
    "chord_density": "music.chords",
    "oa_framewise": "music.framewise",
    "drift": "music.slopes",
    "token_drift": "music.slopes",
    "structure_similarity_error": "music.structure",
    "novelty": "music.copies",
    "vector_distance": "music.vectors",
    "frechet_distance": "music.vectors",
    "summary_vectors": "music.vectors",
    "describe": "music.descriptors",
    "pitch_class_entropy": "music.descriptors",
    "scale_consistency": "music.descriptors",
    "groove_consistency": "music.descriptors",
    "empty_beat_rate": "music.descriptors",
    "grammar_errors": "music.grammar",
    "token_entropy": "music.token_variety",
    "quality_table": "music.table",
    "reference_rows": "music.table",
    "corrupted": "music.corruptions",
    "sensitivity_responses": "music.sensitivity",
    "shuffled_pieces": "music.floors",
    "unigram_pieces": "music.floors",
    "uniform_pieces": "music.floors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'metrics' has no attribute {name!r}")
    return getattr(import_module(f"metrics.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
