"""The results of a study as one tidy frame: one row per measurement, for notebooks, tables and figures."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError, quoted
from bench.files import canonical_hash, read_json, to_json, write_atomically
from bench.store.cells import FINISHED, CellFolder, Status, Store
from bench.store.columns import COLUMNS, typed
from bench.store.vectors import VECTORS, join_vectors, parquet_bytes, parquet_frame, read_vectors
from bench.store.written import read_written
from bench.versions import conflict

if TYPE_CHECKING:
    import pandas as pd

INDEX = "table.index.json"  # which cells, in which state, table.parquet holds
ALONE = ("table.csv", "table.parquet")  # of which the first is read where no cell is there


class ResultTable:
    """All measurements of a study: `.frame` is a pandas DataFrame with the columns of `bench.store.columns`."""

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
        for entry in Store(self.folder.parent, self.folder.name).plan()["cells"]:
            listed = not self.index or entry["id"] in self.index["cells"]
            if listed and (one := read_vectors(self.folder / entry["id"])) is not None:
                kept = one if metric is None else one[one["metric"] == metric]
                found.append((entry["labels"] | {"cell_id": entry["id"]}, kept))
        return join_vectors(found)

    def without_vectors(self) -> list[str]:
        """Ids of quality and reference cells that are done and hold no vectors: results of before version 0.2."""
        rows = self.frame[self.frame["kind"].isin(("quality", "reference")) & (self.frame["status"] == "done")]
        return [str(one) for one in rows["cell_id"].unique() if not (self.folder / str(one) / VECTORS).is_file()]

    def save(self) -> None:
        """Write `table.csv` and `table.parquet` into the study's folder, each whole or not at all."""
        content = parquet_bytes(self.frame)
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
        return ResultTable(read_written(written[0]), folder)
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


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return typed(pd.DataFrame(records, columns=list(COLUMNS), dtype="object"))  # as numbers, counts would be rounded
