"""Results as one tidy frame: one row a measurement, for notebooks, tables and figures.

Columns (format 1):

| column | meaning |
| --- | --- |
| study, cell_id, kind | origin; kind is `quality`, `efficiency` or `reference` (floors, ceilings) |
| arm, pattern, direction | the denoiser, its block pattern, the direction of its Mamba layers |
| seed, length, corpus, batch | seed of the cell; tokens a sequence; data; sequences a call |
| metric, value, unit | the measurement; `value` is NaN where `reason` says why |
| low, high | 95 % interval of `value` within this cell (over calls or pieces), NaN where there is none |
| n | timed calls or pieces behind the value |
| iqr | interquartile range of the timed calls |
| stopped_by, note | what ended the timing; flags: busy machine, clocks that differ, slow fallback, counts left out |
| asked_bytes | where memory ran out: what was held and asked for beyond the process without a model, at least |
| reason, status | why the value is missing; how the cell ended (done, failed, oom, timeout, diverged) |
| kernel, device, threads | what truly ran, and on what |
| parameters, definition | size of the denoiser; stable id of the metric's definition |
| train_steps, sampler, nfe, sample_steps | training budget; sampler, true number of network calls a piece, and T |
| session | timing rows of one session were measured taking turns |
| version | versions of the code parts that decide the row |
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.files import canonical_hash, read_json, to_json, write_atomically
from bench.store.cells import FINISHED, Store
from bench.versions import conflict

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = (
    "study", "cell_id", "kind", "arm", "pattern", "direction", "corpus", "metric", "unit", "reason", "status",
    "kernel", "device", "definition", "sampler", "session", "version", "stopped_by", "note",
)  # fmt: skip
INTEGER_COLUMNS = ("seed", "length", "n", "threads", "batch", "parameters", "train_steps", "nfe", "sample_steps")
NUMBER_COLUMNS = ("value", "low", "high", "iqr", "asked_bytes")
COLUMNS = (
    "study", "cell_id", "kind", "arm", "pattern", "direction", "seed", "length", "corpus", "metric", "value", "unit",
    "low", "high", "n", "reason", "status", "kernel", "device", "threads", "batch", "parameters", "definition",
    "train_steps", "sampler", "nfe", "sample_steps", "session", "version", "iqr", "stopped_by", "note",
    "asked_bytes",
)  # fmt: skip
INDEX = "table.index.json"  # which cells, in which state, table.parquet holds


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
            raise UserError(f"no metric {name!r} in {self.folder}; it holds: {known}")
        return rows if kind is None else rows[rows["kind"] == kind]

    def save(self) -> None:
        """Write `table.csv` and `table.parquet` into the study's folder, each whole or not at all."""
        import io

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


def load_results(path: str | Path) -> ResultTable:
    """The measurements of a study's results folder (`results/quickstart`), rebuilt from its cells.

    Only finished cells whose files are whole contribute. Rows of cells that have not changed since the table was last
    written are read from it; without any cell (a table that was passed on) all rows are. Raises UserError where the
    folder holds no study.
    """
    folder = Path(path)
    store = Store(folder.parent, folder.name)
    plan = store.plan()
    if not any(store.cell(entry["id"]).path.is_dir() for entry in plan["cells"]) and (folder / "table.csv").is_file():
        return _table_alone(folder)
    signatures = {}
    for entry in plan["cells"]:
        status = store.cell(entry["id"]).status()
        if status.state in FINISHED:
            signatures[entry["id"]] = f"{status.state} {status.checksum}"
    index = {"plan": canonical_hash([COLUMNS, plan["study"]["name"], plan["cells"]]), "cells": signatures}
    known, frame = _known(folder, index)
    records: list[dict[str, Any]] = []
    for entry in plan["cells"]:
        if entry["id"] in signatures and entry["id"] not in known:
            state = signatures[entry["id"]].split()[0]
            records += _cell_records(store, plan["study"]["name"], entry, state)
    if frame is None:
        return ResultTable(_frame(records), folder, index)
    return ResultTable(_joined(frame, _frame(records), known, list(signatures)), folder, index)


def _table_alone(folder: Path) -> ResultTable:
    """The table as it was written, of a folder that was passed on without its cells: no raw samples, no music."""
    import pandas as pd

    rows = pd.read_csv(folder / "table.csv").to_dict("records")
    return ResultTable(_frame([{str(key): value for key, value in row.items()} for row in rows]), folder)


def _known(folder: Path, index: dict[str, Any]) -> tuple[set[str], pd.DataFrame | None]:
    """Cells whose rows the written table holds as they are now, and that table; nothing where it is not whole."""
    written = read_json(folder / INDEX)
    if written is None or written.get("plan") != index["plan"] or not isinstance(written.get("cells"), dict):
        return set(), None
    try:
        content = (folder / "table.parquet").read_bytes()
    except OSError:
        return set(), None
    if hashlib.sha256(content).hexdigest() != written.get("table_sha256"):
        return set(), None
    import io

    import pandas as pd

    known = {cell_id for cell_id, signature in index["cells"].items() if written["cells"].get(cell_id) == signature}
    return known, pd.read_parquet(io.BytesIO(content))


def _joined(frame: pd.DataFrame, fresh: pd.DataFrame, known: set[str], order: list[str]) -> pd.DataFrame:
    """Rows of the written table that still hold, and fresh ones, in the order of the plan."""
    import pandas as pd

    present = frame["cell_id"].unique()
    if not known.issuperset(present):
        frame = frame[frame["cell_id"].isin(known)]
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


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame.from_records(records, columns=list(COLUMNS))
    for column in TEXT_COLUMNS:
        frame[column] = frame[column].astype("object").fillna("").astype("str")
    for column in INTEGER_COLUMNS:
        frame[column] = pd.to_numeric(frame[column], errors="coerce").astype("Int64")
    for column in NUMBER_COLUMNS:
        frame[column] = pd.to_numeric(frame[column], errors="coerce").astype("float64")
    return frame
