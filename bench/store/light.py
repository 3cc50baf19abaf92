"""A study's results without what is large: what a report reads, to be committed beside a paper or a project."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files import read_lines, to_json
from bench.store.bundle import Bundle
from bench.store.cells import FINISHED, MODEL, Store
from bench.store.table import load_results
from bench.store.vectors import VECTORS, WITHOUT, is_test_window, parquet_bytes, read_vectors

HISTORY, TIMES = "history.jsonl", "measurements.jsonl"
LIGHT_FILES = {"efficiency": (TIMES,), "quality": (VECTORS, HISTORY), "tuning": (HISTORY,)}
"""Of each kind of cell what a report reads beside the table: times, values of songs, learning curves."""
MOST_LOSSES = 40
"""Losses of a learning curve that are kept where it has no validations, which figures else show alone."""
CURVE = ("step", "elapsed_s", "tokens", "loss", "masked_cross_entropy", "validation_value", "final_value")
"""Keys of a learning curve that figures draw."""
CURVE_DIGITS, TIME_DIGITS = 6, 12
"""Significant digits that are kept, those of times so many that verdicts print alike."""
TIMING = ("metric", "length", "unit", "raw", "round_sizes", "replicate_sizes")
"""Keys of a timed row that are kept, beside which the table holds its figures."""
COLOURS, SAME_COLOUR, FEW_PIXELS = 64, 8, 0.01
"""Colours of a figure that is kept, where all but this share of its pixels, edges of glyphs and lines, stay the same
within so many levels of 255."""


def copy_light(folder: Path, target: Path, report: Callable[[Path], Any] | None = None) -> Bundle:
    """Copy the table of the study in `folder` and what a report is drawn from to the folder `target`: no checkpoints,
    music and configurations of cells; learning curves, values of songs and times thinned. `report` writes the report of
    a folder; of that of the copy report.md and the figures are kept. Raises UserError, OSError.
    """
    store = Store(folder.parent, folder.name)
    plan = store.plan()
    done = [cell for cell in plan["cells"] if store.cell(cell["id"]).status().state in FINISHED]
    if not done:
        raise UserError(f"{folder}: no finished cell; run the study first")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already; allowed: a new or an empty folder")
    files = [folder / cell["id"] / name for cell in done for name in LIGHT_FILES.get(cell["kind"], ())]
    seeded = all(cell["labels"].get("seed") is not None for cell in done if cell["kind"] == "quality")
    target.mkdir(parents=True, exist_ok=True)
    written = [target / "table.parquet"]
    written[0].write_bytes(parquet_bytes(load_results(folder).frame))
    for path in (path for path in files if path.is_file()):
        copied = target / path.relative_to(folder)
        copied.parent.mkdir(parents=True, exist_ok=True)
        if path.name == HISTORY:
            copied.write_text(thinned(path), encoding="utf-8")
        elif path.name == TIMES:
            copied.write_text(thinned_times(path), encoding="utf-8")
        else:
            copied.write_bytes(thinned_vectors(path.parent, () if seeded else WITHOUT))
        written.append(copied)
    for cell in plan["cells"]:
        if cell["kind"] == "efficiency":
            cell[MODEL] = store.cell(cell["id"]).model_hash()
    for name, content in (("study.json", plan), ("environment.json", store.cell(done[0]["id"]).environment())):
        written.append(target / name)
        written[-1].write_text(to_json(content), encoding="utf-8")
    if report is not None:
        report(target)
        written += _kept_of_report(target, written)
    return Bundle(target, len(done), len(written), sum(path.stat().st_size for path in written))


def _kept_of_report(target: Path, others: Collection[Path]) -> list[Path]:
    """report.md and the figures of a light copy, these in fewer colours; what else a report writes is removed."""
    kept = [target / "report.md", *sorted((target / "figures").glob("*.png"))]
    for path in kept[1:]:
        path.write_bytes(smaller_figure(path))
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_file() and path not in kept and path not in others:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return kept


def thinned(history: Path) -> str:
    """What a figure shows of a learning curve, rounded: its validations or, under two, losses evenly between the first
    and the last. A line cut short by a crash is left out."""
    lines = read_lines(history)
    losses = [place for place, line in enumerate(lines) if "loss" in line]
    validated = sum("validation_value" in line for line in lines) > 1
    count = 0 if validated else min(len(losses), MOST_LOSSES)
    shown = {losses[round(k * (len(losses) - 1) / max(1, count - 1))] for k in range(count)}
    kept = (line for place, line in enumerate(lines) if place in shown or "loss" not in line)
    return "".join(to_json(_rounded(_only(CURVE, line), CURVE_DIGITS)) + "\n" for line in kept)


def thinned_times(measurements: Path) -> str:
    """The median of each round of calls of an efficiency cell, rounded: what verdicts on times are computed from. The
    table holds all other figures."""
    timed = (line for line in read_lines(measurements) if line.get("round_sizes"))
    return "".join(to_json(_rounded(_by_rounds(line), TIME_DIGITS)) + "\n" for line in timed)


def _by_rounds(line: dict[str, Any]) -> dict[str, Any]:
    from metrics.statistics.rounds import grouped

    rounds = grouped(line["raw"], line["round_sizes"])
    medians = [statistics.median(one) for one in rounds if one]
    kept = {"raw": medians, "round_sizes": [min(1, len(one)) for one in rounds]}
    return _only(TIMING, line | kept)


def _only(names: Sequence[str], line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in names if name in line}


def thinned_vectors(cell: Path, sides: Sequence[str] = ()) -> bytes:
    """`vectors.parquet` of a cell with what comparisons are computed from alone: bits of the windows of the test side,
    and the figures of `sides`, without single pieces, to which another system's music, which has no seed, is compared.
    Raises UserError."""
    vectors = read_vectors(cell)
    assert vectors is not None
    kept = vectors[is_test_window(vectors) | vectors["side"].isin(sides)]
    return parquet_bytes(kept, described=False)


def smaller_figure(path: Path) -> bytes:
    """A PNG file with a palette of `COLOURS`, in three quarters of the bytes; as it is where that would show, where it
    has no palette, as one with something transparent, and where it cannot be read."""
    import numpy as np
    from PIL import Image

    content = path.read_bytes()
    try:
        image = Image.open(BytesIO(content))
        plain = image.convert("RGB")
    except OSError:
        return content
    found = plain.quantize(COLOURS, kmeans=3, dither=Image.Dither.NONE)
    off = np.abs(np.asarray(found.convert("RGB"), dtype=int) - np.asarray(plain, dtype=int)).max(axis=2)
    if image.mode != "P" or np.mean(off > SAME_COLOUR) >= FEW_PIXELS:
        return content
    buffer = BytesIO()
    found.save(buffer, format="png", dpi=image.info.get("dpi"), optimize=True)
    return buffer.getvalue()


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {name: _rounded(one, digits) for name, one in value.items()}
    return [_rounded(one, digits) for one in value] if isinstance(value, list) else value
