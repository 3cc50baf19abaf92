"""A study's results without what is large: what a report reads, to be committed beside a paper or a project."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files import read_lines, to_json
from bench.store.bundle import Bundle
from bench.store.cells import FINISHED, Store
from bench.store.vectors import VECTORS, WITHOUT, is_test_window, read_vectors

HISTORY, TIMES = "history.jsonl", "measurements.jsonl"
LIGHT_FILES = {"efficiency": (TIMES,), "quality": (VECTORS, HISTORY), "tuning": (HISTORY,)}
"""Of each kind of cell what a report reads beside the table: raw times, values of songs, learning curves."""
MOST_LOSSES, FEW_LOSSES = 40, 8
"""Losses of a learning curve that are kept: without validations, or beside these, which figures then show alone."""
CURVE_DIGITS, TIME_DIGITS = 6, 10
"""Significant digits that are kept; ten of a time in ms are its nanoseconds."""


def copy_light(folder: Path, target: Path) -> Bundle:
    """Copy the table, the report and the raw figures of the study in `folder` to the folder `target`, enough to report
    it again but without checkpoints, music, configurations of cells and the numbers behind figures, which `report`
    writes again; learning curves, values of songs and raw times thinned. Raises UserError, OSError."""
    store = Store(folder.parent, folder.name)
    done = [cell for cell in store.plan()["cells"] if store.cell(cell["id"]).status().state in FINISHED]
    if not done or not (folder / "table.parquet").is_file():
        raise UserError(f"{folder}: no finished cell, or no table.parquet; run the study, or report it, first")
    files = [folder / name for name in ("study.json", "table.parquet", "report.md")]
    files += [*sorted((folder / "tables").glob("*.csv")), *sorted((folder / "figures").glob("*.png"))]
    files += [folder / cell["id"] / name for cell in done for name in LIGHT_FILES.get(cell["kind"], ())]
    seeded = all(cell["labels"].get("seed") is not None for cell in done if cell["kind"] == "quality")
    written = []
    for path in (path for path in files if path.is_file()):
        copied = target / path.relative_to(folder)
        copied.parent.mkdir(parents=True, exist_ok=True)
        if path.name == HISTORY:
            copied.write_text(thinned(path), encoding="utf-8")
        elif path.name == TIMES:
            copied.write_text(thinned_times(path), encoding="utf-8")
        elif path.name == VECTORS:
            copied.write_bytes(thinned_vectors(path.parent, () if seeded else WITHOUT))
        else:
            shutil.copyfile(path, copied)
        written.append(copied)
    written.append(target / "environment.json")
    written[-1].write_text(to_json(store.cell(done[0]["id"]).environment(), indent=2), encoding="utf-8")
    return Bundle(target, len(done), len(written), sum(path.stat().st_size for path in written))


def thinned(history: Path) -> str:
    """A learning curve in no more lines than a figure shows, rounded: every validation, and losses evenly between the
    first and the last. A line cut short by a crash is left out."""
    lines = read_lines(history)
    losses = [place for place, line in enumerate(lines) if "loss" in line]
    count = min(len(losses), MOST_LOSSES if len(losses) == len(lines) else FEW_LOSSES)
    shown = {losses[round(k * (len(losses) - 1) / max(1, count - 1))] for k in range(count)}
    kept = (line for place, line in enumerate(lines) if place in shown or "loss" not in line)
    return "".join(to_json(_rounded(line, CURVE_DIGITS)) + "\n" for line in kept)


def thinned_times(measurements: Path) -> str:
    """Of the figures of an efficiency cell, which the table holds, those with times of single calls, rounded."""
    timed = (line for line in read_lines(measurements) if line.get("round_sizes"))
    return "".join(to_json(_rounded(line, TIME_DIGITS)) + "\n" for line in timed)


def thinned_vectors(cell: Path, sides: Sequence[str] = ()) -> bytes:
    """`vectors.parquet` of a cell with what comparisons are computed from alone: bits of the windows of the test side,
    and the figures of `sides`, without single pieces, to which another system's music, which has no seed, is compared.
    Raises UserError."""
    vectors = read_vectors(cell)
    assert vectors is not None
    kept = vectors[is_test_window(vectors) | vectors["side"].isin(sides)]
    content: bytes = kept.to_parquet(index=False, compression="zstd")
    return content


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {name: _rounded(one, digits) for name, one in value.items()}
    return [_rounded(one, digits) for one in value] if isinstance(value, list) else value
