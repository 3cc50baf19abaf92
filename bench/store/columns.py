"""The columns of a result table, their types, and a frame of these types."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import quoted

if TYPE_CHECKING:
    import pandas as pd


class Column(NamedTuple):
    """A column of the table: str is text (empty where missing), int and float are numbers (missing: NA, NaN)."""

    type: type
    meaning: str


SCHEMA = {
    "study": Column(str, "name of the study"),
    "cell_id": Column(str, "folder of the cell below the study"),
    "kind": Column(str, "kind of the cell: quality, efficiency, reference (floors, ceilings) or tuning (a sweep)"),
    "arm": Column(str, "the denoiser, as the study names it"),
    "pattern": Column(str, "its block pattern"),
    "direction": Column(str, "direction in which its Mamba layers read"),
    "seed": Column(int, "seed of the cell"),
    "length": Column(int, "tokens per sequence"),
    "corpus": Column(str, "data"),
    "metric": Column(str, "what was measured"),
    "value": Column(float, "the measurement; NaN where `reason` says why"),
    "unit": Column(str, "unit of `value`, `low`, `high` and `iqr`"),
    "low": Column(float, "lower end of the 95 % interval of `value` within this cell (over calls or pieces)"),
    "high": Column(float, "upper end of that interval"),
    "n": Column(int, "timed calls or pieces behind the value"),
    "reason": Column(str, "why the value is missing"),
    "status": Column(str, "how the cell ended: done, failed, oom, timeout or diverged"),
    "kernel": Column(str, "kernels that ran"),
    "device": Column(str, "device that they ran on"),
    "threads": Column(int, "CPU threads"),
    "batch": Column(int, "sequences per call"),
    "parameters": Column(int, "size of the denoiser"),
    "definition": Column(str, "stable id of the metric's definition"),
    "train_steps": Column(int, "steps of training"),
    "sampler": Column(str, "sampler"),
    "nfe": Column(int, "number of network calls per piece"),
    "sample_steps": Column(int, "steps T of the sampler"),
    "session": Column(str, "timing session: rows of one were measured taking turns"),
    "version": Column(str, "versions of the code parts that decide the row"),
    "iqr": Column(float, "interquartile range of the timed calls"),
    "stopped_by": Column(str, "what ended the timing"),
    "note": Column(str, "flags: busy or slowed machine, clocks that differ, slow fallback, counts left out"),
    "asked_bytes": Column(
        float, "where memory ran out: bytes held and asked for beyond the process without a model, at least"
    ),
    "songs": Column(int, "songs that the pieces behind the value are excerpts of"),
    "sd": Column(
        float, "standard deviation of a reference row's redraws, of which `low` and `high` are the 95 % range"
    ),
    "tuned": Column(str, "values of the settings that a sweep chose for this row, or tried"),
    "reading": Column(
        str, "own: the arm at its own best values; shared: all arms at one; full length: a check of them"
    ),
    "auc": Column(
        float, "chance that redraws of real music are rated better than those of a floor; 0.5: not separated"
    ),
    "process": Column(
        str, "order in which tokens are drawn: autoregressive, block 8; empty: any order on whole sequences"
    ),
    "sm_clock_mhz": Column(float, "clock of the GPU's multiprocessors after each round of timed calls: the median"),
    "temperature_c": Column(float, "temperature of the GPU then: the highest"),
    "power_w": Column(float, "power of the GPU then: the median"),
    "throttled": Column(str, "why the GPU was slower than asked for, in how many rounds; empty: never, or not known"),
}
"""The columns in their order (format 1)."""
COLUMNS = tuple(SCHEMA)
NEEDED = ("cell_id", "kind", "arm", "metric", "value")
"""Columns that every table must have; tables of older versions lack some of the others."""
FILLED = ("cell_id", "kind", "metric")
"""Columns that are empty in no row."""
__doc__ = f"{__doc__}\n\nColumns (format 1):\n\n" + "\n".join(
    f"    {name:12} {column.type.__name__:6} {column.meaning}" for name, column in SCHEMA.items()
)


def check_columns(header: Sequence[str]) -> None:
    """Raises ValueError unless these are the columns of a table."""
    if unknown := [name for name in header if name not in SCHEMA]:
        raise ValueError(f"unknown column {quoted(unknown[0])}; allowed: {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise ValueError("a column is there twice")
    if missing := [name for name in NEEDED if name not in header]:
        raise ValueError(f"no column {', '.join(missing)}; needed are {', '.join(NEEDED)}")


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy of `frame` in which every column of `SCHEMA` is there and has its type; further columns stay."""
    import pandas as pd

    columns = dict(frame.items())
    for name, column in SCHEMA.items():
        values = columns.get(name)
        if values is None:
            values = pd.Series(None, frame.index, dtype="object")
        columns[name] = _as_type(values, column.type)
    return pd.DataFrame(columns, frame.index)


def _as_type(values: pd.Series[Any], kind: type) -> pd.Series[Any]:
    import pandas as pd

    if kind is str:
        return values.fillna("") if values.dtype == "str" else values.astype("object").fillna("").astype("str")
    if kind is int:
        is_whole = values.dtype in ("int64", "Int64")
        return (values if is_whole else pd.Series(map(count_of, values), values.index, dtype="object")).astype("Int64")
    return (values if values.dtype == "float64" else pd.Series(map(figure_of, values), values.index)).astype("float64")


def figure_of(value: Any) -> float:
    """The number that a value or a text is, NaN for none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def count_of(value: Any) -> int | None:
    """The whole number that a value or a text is, to the last digit; None for none, or one beyond 64 bits."""
    try:
        number = int(value) if isinstance(value, str | int) else round(float(value))
    except (TypeError, ValueError, OverflowError):
        if not math.isfinite(figure := figure_of(value)):
            return None
        number = round(figure)
    return number if -(2**63) <= number < 2**63 else None
