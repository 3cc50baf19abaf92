"""Vectors of cells: written, checked, exported, copied and read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import bench
from bench.errors import UserError
from bench.store.bundle import export_bundle, import_bundle
from bench.store.cells import CellFolder, Store
from bench.store.reuse import OtherStudies
from bench.store.vectors import NATS, VECTORS, Vector, join_vectors, read_vectors, vectors_frame, write_vectors
from bench.study.grid import Cell

LABELS = {"arm": "a", "seed": 0, "length": 32, "corpus": "demo"}
CELLS = [Cell("quality", LABELS | {"seed": seed}, {"seed": seed}) for seed in (0, 1)]
REFERENCE = Cell("reference", {"arm": "reference", "length": 32, "corpus": "demo"}, {"kind": "reference"})
ROWS = [{"metric": "oa_mean", "value": 0.5, "unit": "1", "arm": "shuffled"}]
VALUES = [
    Vector(NATS, "test", 0, "folk/one", 32, 61.5, 32.0),
    Vector(NATS, "test", 3, "folk/two", 32, 33.25, 20.0),
    Vector("empty_beat_rate", "generated", 0, "", 32, math.nan),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three finished cells, the second as an older version left it: without vectors."""
    store = Store(tmp_path, "tiny")
    cells = [*CELLS, REFERENCE]
    store.write_plan({"name": "tiny"}, cells, [])
    for cell in cells:
        folder = store.cell(cell.id)
        folder.begin(cell)
        if cell is not CELLS[1]:
            write_vectors(folder.path, VALUES)
        folder.finish("done", ROWS)
    return store


def test_results_give_the_vectors_with_the_labels_of_their_cell(store: Store) -> None:
    results = bench.load_results(store.folder)
    nats = results.vectors(NATS)
    columns = ["cell_id", "arm", "seed", "corpus", "metric", "side", "piece", "song", "length", "value", "tokens"]
    assert list(nats.columns) == columns
    assert nats.values.tolist()[1] == [CELLS[0].id, "a", 0, "demo", NATS, "test", 3, "folk/two", 32, 33.25, 20.0]
    assert list(nats["arm"]) == ["a", "a", "reference", "reference"] and nats["seed"].isna().tolist() == [0, 0, 1, 1]
    assert len(results.vectors()) == 6 and results.vectors()["value"].isna().sum() == 2
    assert results.vectors("no such metric").empty
    assert list(results.vectors("no such metric").columns) == columns


def test_cells_of_before_are_named_and_leave_the_rest_alone(store: Store) -> None:
    results = bench.load_results(store.folder)
    assert results.without_vectors() == [CELLS[1].id]
    assert set(results.vectors()["cell_id"]) == {CELLS[0].id, REFERENCE.id}


def test_a_table_passed_on_without_its_cells_has_no_vectors(store: Store) -> None:
    import shutil

    bench.load_results(store.folder).save()
    for cell in (*CELLS, REFERENCE):
        shutil.rmtree(store.cell(cell.id).path)
    results = bench.load_results(store.folder)
    assert len(results.frame) == 3 and results.vectors().empty and len(results.without_vectors()) == 3


def test_vectors_that_were_passed_on_beside_a_table_are_read(store: Store) -> None:
    bench.load_results(store.folder).save()
    for cell in (*CELLS, REFERENCE):
        for file in store.cell(cell.id).path.iterdir():
            if file.name != "vectors.parquet":
                file.unlink()
    results = bench.load_results(store.folder)
    assert list(results.vectors(NATS)["arm"]) == ["a", "a", "reference", "reference"]
    assert results.without_vectors() == [CELLS[1].id]


@pytest.mark.parametrize("damage", ["edited", "cut", "removed"])
def test_damaged_vectors_are_a_damaged_cell(store: Store, damage: str) -> None:
    folder = store.cell(CELLS[0].id)
    assert folder.status().state == "done"
    path = folder.path / VECTORS
    if damage == "removed":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        write_vectors(folder.path, VALUES[:1])
    assert folder.status().reason == "vectors.parquet does not match its checksum"
    assert set(bench.load_results(store.folder).vectors()["cell_id"]) == {REFERENCE.id}


def test_a_file_that_is_no_parquet_is_an_error_of_one_line(store: Store) -> None:
    folder = store.cell(CELLS[0].id)
    (folder.path / VECTORS).write_bytes(b"PAR1 and nothing else")
    folder.finish("done", ROWS)
    with pytest.raises(UserError, match=r"vectors.parquet: cannot be read; run the study again"):
        bench.load_results(store.folder).vectors()


def test_a_label_of_a_damaged_plan_is_text() -> None:
    frame = vectors_frame(VALUES[:1])
    assert list(join_vectors([({"cell_id": "c", "arm": [], "seed": {}}, frame)])["arm"]) == ["[]"]


def test_a_bundle_and_a_copy_hold_them(store: Store, tmp_path: Path) -> None:
    export_bundle(store.folder, tmp_path / "tiny.zip")
    imported = import_bundle(tmp_path / "tiny.zip", tmp_path / "elsewhere")
    assert len(bench.load_results(imported.folder).vectors(NATS)) == 4
    second = Store(store.results, "second")
    second.write_plan({"name": "second"}, [CELLS[0]], [])
    others, target = OtherStudies(second), second.cell(CELLS[0].id)
    found = others.find(CELLS[0])
    assert found is not None
    others.copy(found, target, CELLS[0])
    frame = read_vectors(target.path)
    assert frame is not None and frame.equals(read_vectors(found.path)) and target.status().state == "done"


def test_a_cell_that_begins_again_drops_them(store: Store) -> None:
    folder: CellFolder = store.cell(CELLS[0].id)
    folder.begin(CELLS[0])
    assert read_vectors(folder.path) is None
