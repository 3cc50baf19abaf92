"""Result tables: written by us with texts that readers take for something else, and damaged CSV, parquet and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from bundle_input import CELLS, make_results
from mutation import GIVEN, NUMBERS, RESULTS, WORDS, change_within, mutated

from bench.files import file_sha256, to_json
from bench.report.rows.frame import as_frame, failures, records
from bench.run.estimate import Estimator
from bench.run.overview import overview
from bench.store.cells import Store
from bench.store.columns import COLUMNS, SCHEMA
from bench.store.reuse import OtherStudies
from bench.store.table import INDEX, ResultTable, load_results
from bench.store.vectors import read_vectors
from bench.study.grid import Cell

TEXTS = tuple(word for word in WORDS if not any("\ud800" <= sign <= "\udfff" for sign in word))
COUNTS = (0, 1, 7, 128, 2**31, 2**53, 2**53 + 1, 2**63 - 1)
FIGURES = tuple(one for one in NUMBERS if isinstance(one, float))
LABELS = [name for name, column in SCHEMA.items() if name not in ("study", "cell_id", "kind", "status")]
OF_ROWS = ("metric", "value", "low", "high", "reason")
CSV_PIECES = (
    b",",
    b'"',
    b'""',
    b"\n",
    b"\r\n",
    b"\r",
    b";",
    b"\t",
    b"\0",
    b"\xff",
    b"NA",
    b"1e999",
    b"inf",
    b"1,5",
    b"0x10",
    b"#",
)


def drawn_row(draw: random.Random) -> dict[str, Any]:
    """A measurement with a text, a count or a figure in any of its columns."""
    row: dict[str, Any] = {}
    for name in draw.sample(LABELS, draw.choice((3, 8, len(LABELS)))):
        kind = SCHEMA[name].type
        row[name] = draw.choice(TEXTS) if kind is str else draw.choice(COUNTS if kind is int else FIGURES)
    return row | {"metric": draw.choice(TEXTS), "value": draw.choice(FIGURES)}


def written_table(draw: random.Random, folder: Path) -> bool:
    """Rows of two cells that come back as they are from the cells, from table.parquet and from table.csv alone."""
    store = Store(folder / RESULTS, "toy")
    cells = []
    for seed in range(draw.choice((1, 2))):
        labels = {name: value for name, value in drawn_row(draw).items() if name not in OF_ROWS}
        cells.append(Cell("quality", {"arm": draw.choice(TEXTS)} | labels, {"kind": "quality", "seed": seed}))
    expected = []
    store.write_plan({"name": "toy", "question": draw.choice(TEXTS)}, cells, [])
    for cell in cells:
        rows = [drawn_row(draw) for _ in range(draw.choice((1, 2, 5)))]
        expected += [cell.labels | row | {"study": "toy", "cell_id": cell.id, "kind": "quality"} for row in rows]
        store.cell(cell.id).begin(cell)
        store.cell(cell.id).mark_running({})
        store.cell(cell.id).finish("done", rows)
    table = load_results(store.folder)
    for wanted, found in zip(expected, table.frame.to_dict("records"), strict=True):
        for name, column in SCHEMA.items():
            assert equal(wanted.get(name, "done" if name == "status" else None), found[name], column.type), name
    table.save()
    same(load_results(store.folder), table)
    for cell in cells:
        shutil.rmtree(store.cell(cell.id).path)
    same(load_results(store.folder), table)
    read_further(table)
    return True


def equal(wanted: Any, found: Any, kind: type) -> bool:
    """Whether a cell of the table holds what was written; infinities are no figures."""
    if kind is str:
        return type(found) is str and found == (wanted or "")
    if wanted is None or (isinstance(wanted, float) and not math.isfinite(wanted)):
        return bool(pd.isna(found))
    return bool(wanted == found) and not isinstance(found, str)


def same(one: ResultTable, other: ResultTable) -> None:
    """Raise AssertionError unless both hold the same texts, types and figures, to the last bit."""
    assert list(one.frame.columns) == list(other.frame.columns)
    assert one.frame.equals(other.frame), "read again the table differs"


def read_further(table: ResultTable) -> None:
    """What every report reads first."""
    frame = as_frame(table)
    assert len(list(records(frame, "quality"))) == int((frame["kind"] == "quality").sum())
    failures(frame)


@cache
def whole_csv() -> bytes:
    """A table of twelve rows."""
    draw = random.Random(0)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for number in range(12):
        writer.writerow(
            drawn_row(draw) | {"study": "toy", "cell_id": f"quality-a-{number}", "kind": "quality", "status": "done"}
        )
    return stream.getvalue().encode()


def damaged_csv(draw: random.Random, folder: Path) -> bool:
    """A table.csv alone, changed in cells, columns or bytes: what is read is written and read again equal."""
    store = Store(folder / RESULTS, "toy")
    store.write_plan({"name": "toy", "question": "?"}, [], [])
    data = whole_csv()
    if draw.random() < 0.6:
        rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
        for _ in range(draw.choice((1, 2, 5))):
            change_rows(rows, draw)
        stream = io.StringIO(newline="")
        csv.writer(
            stream, delimiter=draw.choice(",,,,,,;\t"), lineterminator=draw.choice(("\n", "\n", "\n", "\r\n", "\r"))
        ).writerows(rows)
        data = stream.getvalue().encode(errors="surrogatepass")
    else:
        data = mutated(data, draw, CSV_PIECES)
    (store.folder / "table.csv").write_bytes(data)
    table = load_results(store.folder)
    read_further(table)
    table.save()
    same(load_results(store.folder), table)
    return True


def change_rows(rows: list[list[str]], draw: random.Random) -> None:
    """A cell, a column or a row changed, dropped or doubled."""
    kind, row = draw.randrange(8), draw.choice(rows)
    at = draw.randrange(len(row)) if row else 0
    if kind < 3 and row:
        row[at] = draw.choice(WORDS)
    elif kind == 3 and row:
        row[at] = str(draw.choice(NUMBERS))
    elif kind == 4:
        for one in rows:
            del one[at : at + 1]
    elif kind == 5:
        rows.insert(draw.randrange(len(rows) + 1), list(row))
    elif kind == 6:
        row[at : at + draw.choice((0, 1, 9))] = [draw.choice(WORDS)]
    elif len(rows) > 1:
        rows.remove(row)


def whole_store(folder: Path) -> Store:
    """A finished study of one cell, copied from one that is made once."""
    if not (folder / GIVEN / "toy").exists():
        make_results(folder / GIVEN, 1)
    shutil.copytree(folder / GIVEN / "toy", folder / RESULTS / "toy")
    return Store(folder / RESULTS, "toy")


def damaged_parquet(draw: random.Random, folder: Path) -> bool:
    """A table.parquet with other columns and types whose checksum is right."""
    store = whole_store(folder)
    path, index = store.folder / "table.parquet", store.folder / INDEX
    frame = pd.read_parquet(path)
    for _ in range(draw.choice((1, 2))):
        name, kind = draw.choice(COLUMNS), draw.randrange(5)
        if kind == 0:
            frame = frame.drop(columns=name, errors="ignore")
        elif kind == 1:
            frame = frame.rename(columns={name: draw.choice(TEXTS)})
        elif kind == 2:
            frame = pd.concat([frame, frame])
        else:
            frame[name] = [draw.choice((*TEXTS, *FIGURES, None, b"x", True))] * len(frame)
    frame = frame.loc[:, ~frame.columns.duplicated()]
    frame.to_parquet(path, index=draw.random() < 0.1)
    if draw.random() < 0.2:
        path.write_bytes(mutated(path.read_bytes(), draw))
    known = json.loads(index.read_text())
    known["table_sha256"] = file_sha256(path)
    written = to_json(known if draw.random() < 0.8 else change_within(known, draw))
    index.write_bytes(written.encode("utf-8", "surrogatepass"))
    read_whole(store)
    return True


def damaged_store(draw: random.Random, folder: Path) -> bool:
    """Results of a cell with one damaged file, read by everything that reads results."""
    store = whole_store(folder)
    path = draw.choice(sorted(path for path in store.folder.rglob("*") if path.is_file()))
    data = path.read_bytes()
    if path.suffix in (".json", ".jsonl") and draw.random() < 0.6:
        lines = data.splitlines() if path.suffix == ".jsonl" else [data]
        data = b"\n".join([json.dumps(change_within(json.loads(line), draw)).encode() for line in lines]) + b"\n"
    else:
        data = mutated(data, draw)
    path.write_bytes(data)
    found = read_whole(store)
    read_vectors(store.cell(CELLS[0].id).path)
    return found


def read_whole(store: Store) -> bool:
    """Everything that reads results; whether all cells count as done."""
    found = overview(store)
    found.left_s()
    table = load_results(store.folder)
    read_further(table)
    table.vectors()
    OtherStudies(Store(store.results, "other")).find(CELLS[0])
    Estimator(store.results).estimate(CELLS[0])
    store.cell(CELLS[0].id).attempts()
    table.save()
    same(load_results(store.folder), table)
    return all(cell.state == "done" for cell in found.cells)


def read_table(draw: random.Random, folder: Path) -> bool:
    """A table written by us, or one damaged as CSV, parquet or in its cells."""
    kind = draw.random()
    one = (
        written_table
        if kind < 0.4
        else damaged_csv
        if kind < 0.75
        else damaged_parquet
        if kind < 0.9
        else damaged_store
    )
    try:
        return one(draw, folder)
    finally:
        shutil.rmtree(folder / RESULTS)
        (folder / RESULTS).mkdir()
