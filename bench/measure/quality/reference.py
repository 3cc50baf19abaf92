"""A reference cell: floors and ceilings of the quality figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import write_atomically
from bench.measure.quality.infilling import infilling_references
from bench.measure.quality.likelihood import TEST, VALIDATION, baseline_rows, endings_rows_of_baselines
from bench.measure.quality.music import (
    REFERENCE_SEED,
    held_out_windows,
    load_tokens,
    to_notes,
    token_results,
    train_notes,
)
from bench.measure.rows import metric_row, real_vectors
from bench.store.vectors import write_vectors

if TYPE_CHECKING:
    from metrics import MetricResult

BASELINE_DEFINITIONS = {
    "unigram": "unigram, Laplace-smoothed v1",
    "bigram": "bigram, Laplace-smoothed v1",
    "grammar": "type bigram x unigram within the type, Laplace-smoothed v1",
}


def measure_reference(settings: dict[str, Any], folder: Path, emit: Callable[..., None]) -> list[dict[str, Any]]:
    """Rows of the token baselines (bits/token, bits/note, bits/beat), and of the music metrics for sets of known
    quality.

    Leaves the held-out windows as MIDI files in `samples/`, to compare with generated ones, their values one by one in
    `vectors.parquet`, and `data.json`: which piece is on which side of the split, the tokenizer settings, the files
    skipped.
    """
    from bench.data import TokenBaselines
    from metrics import quality_table, reference_rows
    from metrics.music.table import CEILING

    tokens = load_tokens(settings["corpus"], settings["tokenizer"])
    length, pieces = int(settings["length"]), int(settings["pieces"])
    write_atomically(folder / "data.json", json.dumps(tokens.record(), indent=1))
    emit(event="progress", stage="floors and ceiling")
    windows = held_out_windows(tokens, length, pieces)
    for index, window in enumerate(windows.tokens):
        tokens.decode_to_file(window, folder / "samples" / f"real-{index:03d}.mid")
    of_tokens = token_results(tokens, windows)
    rows = [metric_row(result) | {"arm": CEILING} for result in of_tokens]
    reference, train = to_notes(tokens, windows, "test"), train_notes(tokens, length)
    tables = reference_rows(reference, train, seed=REFERENCE_SEED)
    for name, results in tables.items():
        rows += [metric_row(result) | {"arm": name} | redraw_columns(result) for result in results]
    if "infilling" in settings:
        rows += infilling_references(tokens, settings)
    emit(event="progress", stage="token baselines")
    baselines = TokenBaselines(tokens, length)
    for side in (TEST, VALIDATION):
        named = {name: (bits, BASELINE_DEFINITIONS[name]) for name, bits in baselines.bits(side).items()}
        rows += baseline_rows(tokens, length, named, side)
    rows += endings_rows_of_baselines(tokens, length, baselines)
    values = {result.name: result.values for result in of_tokens}
    of_notes = quality_table(reference, reference, train, intervals=False)
    values |= {result.name: result.values for result in of_notes if result.values}
    write_vectors(folder, real_vectors(values, [piece.song for piece in reference], length))
    return rows


def redraw_columns(result: MetricResult) -> dict[str, float]:
    """Columns of a reference row's redraws."""
    return {name: result.parts[name] for name in ("sd", "auc") if name in result.parts}
