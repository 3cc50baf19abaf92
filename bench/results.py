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
| reason, status | why the value is missing; how the cell ended (done, failed, oom, timeout, diverged) |
| kernel, device, threads | what truly ran, and on what |
| parameters, definition | size of the denoiser; stable id of the metric's definition |
| train_steps, sampler, nfe, sample_steps | training budget; sampler, true number of network calls a piece, and T |
| session | timing rows of one session were measured taking turns |
| version | versions of the code parts that decide the row |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.files import write_atomically
from bench.run.store import FINISHED, Store

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = (
    "study", "cell_id", "kind", "arm", "pattern", "direction", "corpus", "metric", "unit", "reason", "status",
    "kernel", "device", "definition", "sampler", "session", "version", "stopped_by", "note",
)  # fmt: skip
INTEGER_COLUMNS = ("seed", "length", "n", "threads", "batch", "parameters", "train_steps", "nfe", "sample_steps")
NUMBER_COLUMNS = ("value", "low", "high", "iqr")
COLUMNS = (
    "study", "cell_id", "kind", "arm", "pattern", "direction", "seed", "length", "corpus", "metric", "value", "unit",
    "low", "high", "n", "reason", "status", "kernel", "device", "threads", "batch", "parameters", "definition",
    "train_steps", "sampler", "nfe", "sample_steps", "session", "version", "iqr", "stopped_by", "note",
)  # fmt: skip


class ResultTable:
    """All measurements of a study: `.frame` is a pandas DataFrame with the columns of `bench.results`."""

    def __init__(self, frame: pd.DataFrame, folder: Path) -> None:
        self.frame = frame
        self.folder = folder

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

        write_atomically(self.folder / "table.csv", self.frame.to_csv(index=False))
        buffer = io.BytesIO()
        self.frame.to_parquet(buffer, index=False)
        write_atomically(self.folder / "table.parquet", buffer.getvalue())


def load_results(path: str | Path) -> ResultTable:
    """The measurements of a study's results folder (`results/quickstart`), rebuilt from its cells.

    Only finished cells whose files are whole contribute. Raises UserError where the folder holds no study.
    """
    folder = Path(path)
    store = Store(folder.parent, folder.name)
    plan = store.plan()
    records: list[dict[str, Any]] = []
    for entry in plan["cells"]:
        records += _cell_records(store, plan["study"]["name"], entry)
    return ResultTable(_frame(records), folder)


def _cell_records(store: Store, study: str, entry: dict[str, Any]) -> list[dict[str, Any]]:
    cell = store.cell(entry["id"])
    status = cell.status()
    if status.state not in FINISHED:
        return []
    labels = entry["labels"] | {"study": study, "cell_id": entry["id"], "kind": entry["kind"]}
    records = []
    for row in cell.rows():
        record = labels | {key: value for key, value in row.items() if key in COLUMNS}
        record["status"] = record.get("status") or status.state
        records.append(record)
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
