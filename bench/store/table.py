"""The results of a study as one tidy frame: one row per measurement, for notebooks, tables and figures."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import UserError, as_user_error, quoted
from bench.files import canonical_hash, read_json, to_json, write_atomically
from bench.store.cells import FINISHED, CellFolder, Status, Store
from bench.store.vectors import VECTORS, join_vectors, parquet_frame, read_vectors
from bench.versions import conflict

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
    "note": Column(str, "flags: busy machine, clocks that differ, slow fallback, counts left out"),
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
INDEX = "table.index.json"  # which cells, in which state, table.parquet holds
ALONE = ("table.csv", "table.parquet")  # of which the first is read where no cell is there


class ResultTable:
    """All measurements of a study: `.frame` is a pandas DataFrame with the columns of `bench.store.table`."""

    def __init__(self, frame: pd.DataFrame, folder: Path, index: dict[str, Any] | None = None) -> None:
        self.frame = frame
        self.folder = folder
        self.index = index or {}

    def metric(self, name: str, kind: str | None = None) -> pd.DataFrame:
        """Rows of one metric. Raises UserError with the known names for an unknown one."""
        rows = self.frame[self.frame["metric"] == name]
        if rows.empty:
            known = ", ".join(sorted(self.frame["metric"].unique()))
            raise UserError(f"no metric {quoted(name)} in {self.folder}; it holds: {known}")
        return rows if kind is None else rows[rows["kind"] == kind]

    def vectors(self, metric: str | None = None) -> pd.DataFrame:
        """Values of single windows and pieces behind the measurements, of one metric or of all.

        Columns `bench.store.vectors.LABELS` and `SCHEMA`; a cell of `without_vectors` adds no row.
        Raises UserError where a file is damaged.
        """
        found = []
        for entry in Store(self.folder.parent, self.folder.name).plan()["cells"] if self.index else []:
            if entry["id"] in self.index["cells"] and (one := read_vectors(self.folder / entry["id"])) is not None:
                kept = one if metric is None else one[one["metric"] == metric]
                found.append((entry["labels"] | {"cell_id": entry["id"]}, kept))
        return join_vectors(found)

    def without_vectors(self) -> list[str]:
        """Ids of quality and reference cells that are done and hold no vectors: results of before version 0.2."""
        rows = self.frame[self.frame["kind"].isin(("quality", "reference")) & (self.frame["status"] == "done")]
        return [str(one) for one in rows["cell_id"].unique() if not (self.folder / str(one) / VECTORS).is_file()]

    def save(self) -> None:
        """Write `table.csv` and `table.parquet` into the study's folder, each whole or not at all."""
        buffer = io.BytesIO()
        self.frame.to_parquet(buffer, index=False)
        content = buffer.getvalue()
        index = self.index | {"table_sha256": hashlib.sha256(content).hexdigest()}
        if read_json(self.folder / INDEX) == index and (self.folder / "table.csv").exists():
            return
        write_atomically(self.folder / "table.csv", self.frame.to_csv(index=False))
        write_atomically(self.folder / "table.parquet", content)
        write_atomically(self.folder / INDEX, to_json(index))

    def mixed_versions(self) -> list[str]:
        """One sentence for each kind of cell whose rows were made by different versions of the code."""
        found = []
        for kind, rows in self.frame.groupby("kind", sort=True):
            versions = sorted(rows["version"].unique())
            if conflict(versions):
                found.append(
                    f"{kind} rows are of {len(versions)} code versions, do not compare them: {'; '.join(versions)}"
                )
        return found


def load_results(path: str | Path, known: Mapping[str, Status] | None = None) -> ResultTable:
    """The measurements of a study's results folder (`results/quickstart`), rebuilt from its cells.

    Only finished cells whose files are whole contribute. Rows of cells that have not changed since the table was last
    written are read from it; without any cell (a table that was passed on) all rows are. `known`: by cell id, what the
    caller has just read. Raises UserError where the folder holds no study.
    """
    folder = Path(path)
    store = Store(folder.parent, folder.name)
    plan = store.plan()
    written = [folder / name for name in ALONE if (folder / name).is_file()]
    if written and not any(_has_begun(store.cell(entry["id"])) for entry in plan["cells"]):
        return _table_alone(written[0])
    signatures, known = {}, known or {}
    for entry in plan["cells"]:
        status = known.get(entry["id"]) or store.cell(entry["id"]).status()
        if status.state in FINISHED:
            signatures[entry["id"]] = f"{status.state} {status.checksum}"
    index = {"plan": canonical_hash([COLUMNS, plan["study"]["name"], plan["cells"]]), "cells": signatures}
    kept, frame = _kept(folder, index)
    records: list[dict[str, Any]] = []
    for entry in plan["cells"]:
        if entry["id"] in signatures and entry["id"] not in kept:
            state = signatures[entry["id"]].split()[0]
            records += _cell_records(store, plan["study"]["name"], entry, state)
    if frame is None:
        return ResultTable(_frame(records), folder, index)
    return ResultTable(_joined(frame, _frame(records), kept, list(signatures)), folder, index)


def _has_begun(cell: CellFolder) -> bool:
    """Whether a process has begun the cell here; a folder that was passed on may hold raw figures of cells alone."""
    return any((cell.path / name).is_file() for name in ("cell.json", "status.json"))


def _table_alone(path: Path) -> ResultTable:
    """The table as it was written, of a folder that was passed on without its cells. It may hold raw figures of them
    (`LIGHT_FILES` of `bench.store.bundle`), no music.

    Raises UserError where the file is no longer such a table.
    """
    import pandas as pd

    with as_user_error(ValueError, OSError, csv.Error, words=f"{path}: cannot be read: "):
        if path.suffix == ".csv":
            header, rows = _texts(path.read_bytes().decode("utf-8-sig"))
            frame = pd.DataFrame(rows, columns=header, dtype="object")
        else:
            frame = parquet_frame(io.BytesIO(path.read_bytes()))
            _check_columns(list(frame.columns))
            if not frame.dtypes.equals(typed(frame[:0])[list(frame.columns)].dtypes):
                raise ValueError("a column is of another type")
    return ResultTable(typed(frame.reindex(columns=list(COLUMNS))), path.parent)


def _check_columns(header: list[str]) -> None:
    """Raises ValueError unless these are the columns of a table."""
    if unknown := [name for name in header if name not in SCHEMA]:
        raise ValueError(f"unknown column {quoted(unknown[0])}; allowed: {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise ValueError("a column is there twice")
    if missing := [name for name in NEEDED if name not in header]:
        raise ValueError(f"no column {', '.join(missing)}; needed are {', '.join(NEEDED)}")


def _texts(content: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a written table; rows of empty fields are left out.

    Lines end in LF, or in CRLF throughout, as spreadsheets and git write them. Raises ValueError or csv.Error unless
    the columns are those of a table, each field is of its column's type and none of `FILLED` is empty.
    """
    if "\0" in content:
        raise ValueError("holds a NUL")
    if content.partition("\n")[0].endswith("\r"):
        content = content.replace("\r\n", "\n")
    # a CR is a part of a text, which csv reads as the end of a line
    lines = csv.reader(io.StringIO(content.replace("\r", "\0")), strict=True)
    header, *rows = [[text.replace("\0", "\r") for text in row] for row in lines] or [[]]
    if len(header) == 1 and ";" in header[0]:
        raise ValueError("columns are separated by `;`; allowed: `,`")
    _check_columns(header)
    kinds = [SCHEMA[name].type for name in header]
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} fields, the header {len(header)}")
        for name, kind, text in zip(header, kinds, row, strict=True):
            if not text and name in FILLED:
                raise ValueError(f"line {number}: {name} is empty")
            if kind is not str and text and not _is_number(text, kind):
                raise ValueError(f"line {number}: {name} {quoted(text)} is no {'whole ' if kind is int else ''}number")
    return header, [row for row in rows if any(row)]


def _is_number(text: str, kind: type) -> bool:
    if "_" in text:  # which Python reads between digits
        return False
    number = _figure(text)
    if kind is int:
        return number.is_integer() and _count(text) is not None
    return not math.isnan(number) or text.lower() == "nan"


def _kept(folder: Path, index: dict[str, Any]) -> tuple[set[str], pd.DataFrame | None]:
    """Cells whose rows the written table holds as they are now, and that table; nothing where it is damaged."""
    written = read_json(folder / INDEX)
    if written is None or written.get("plan") != index["plan"] or not isinstance(written.get("cells"), dict):
        return set(), None
    try:
        content = (folder / "table.parquet").read_bytes()
    except OSError:
        return set(), None
    if hashlib.sha256(content).hexdigest() != written.get("table_sha256"):
        return set(), None
    try:
        frame = parquet_frame(io.BytesIO(content))
    except (OSError, ValueError):
        return set(), None
    if tuple(frame.columns) != COLUMNS or not frame.dtypes.equals(typed(frame[:0]).dtypes):
        return set(), None
    kept = {cell_id for cell_id, signature in index["cells"].items() if written["cells"].get(cell_id) == signature}
    return kept, frame


def _joined(frame: pd.DataFrame, fresh: pd.DataFrame, kept: set[str], order: list[str]) -> pd.DataFrame:
    """Rows of the written table that are kept, and fresh ones, in the order of the plan."""
    import pandas as pd

    present = frame["cell_id"].unique()
    if not kept.issuperset(present):
        frame = frame[frame["cell_id"].isin(kept)]
    if fresh.empty:
        return frame.reset_index(drop=True)
    position = {cell_id: number for number, cell_id in enumerate(order)}
    joined = pd.concat([frame, fresh], ignore_index=True)
    places = joined["cell_id"].map(position).to_numpy().argsort(kind="stable")
    return joined.iloc[places].reset_index(drop=True)


def _cell_records(store: Store, study: str, entry: dict[str, Any], state: str) -> list[dict[str, Any]]:
    labels = entry["labels"] | {"study": study, "cell_id": entry["id"], "kind": entry["kind"]}
    records = []
    try:
        for row in store.cell(entry["id"]).rows():
            record = labels | {key: value for key, value in row.items() if key in COLUMNS}
            record["status"] = record.get("status") or state
            records.append(record)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return []  # cut or edited since its status was read
    return records


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
        return (values if is_whole else pd.Series(map(_count, values), values.index, dtype="object")).astype("Int64")
    return (values if values.dtype == "float64" else pd.Series(map(_figure, values), values.index)).astype("float64")


def _figure(value: Any) -> float:
    """The number that a value or a text is, NaN for none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _count(value: Any) -> int | None:
    """The whole number that a value or a text is, to the last digit; None for none, or one beyond 64 bits."""
    try:
        number = int(value) if isinstance(value, str | int) else round(float(value))
    except (TypeError, ValueError, OverflowError):
        if not math.isfinite(figure := _figure(value)):
            return None
        number = round(figure)
    return number if -(2**63) <= number < 2**63 else None


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return typed(pd.DataFrame(records, columns=list(COLUMNS), dtype="object"))  # as numbers, counts would be rounded
