"""A cell on disk is finished and whole, or it is run again."""

import hashlib
import io
import json
import math
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from bench.errors import UserError
from bench.store import columns as columns_module
from bench.store.cells import CellFolder, Store
from bench.store.columns import COLUMNS, SCHEMA, typed
from bench.store.reuse import OtherStudies
from bench.store.table import load_results
from bench.study.grid import Cell

LABELS = {"arm": "a", "pattern": "MFA", "direction": "Mamba forward", "seed": 0, "length": 32, "corpus": "demo"}
CELL = Cell("quality", LABELS, {"seed": 0})
ROWS = [
    {"metric": "oa_mean", "value": 0.5, "unit": "1", "low": 0.4, "high": math.nan, "n": 16, "raw": [1.0, 2.0]},
    {"metric": "nothing", "value": math.nan, "unit": "1", "reason": "no notes"},
]


@pytest.fixture
def finished(tmp_path: Path) -> CellFolder:
    store = Store(tmp_path, "tiny")
    store.write_plan({"name": "tiny"}, [CELL], [])
    folder = store.cell(CELL.id)
    folder.begin(CELL)
    assert folder.status().state == "new"
    folder.mark_running({"device": "cpu"})
    assert folder.status().state == "running"
    folder.finish("done", ROWS, started=1.0)
    return folder


def test_a_finished_cell_gives_its_rows_back(finished: CellFolder) -> None:
    assert finished.status().state == "done"
    rows = finished.rows()
    assert rows[0]["value"] == 0.5
    assert rows[0]["raw"] == [1.0, 2.0]
    assert math.isnan(rows[0]["high"])
    assert math.isnan(rows[1]["value"])
    assert rows[1]["reason"] == "no notes"
    assert finished.environment() == {"device": "cpu"}


@pytest.mark.parametrize(
    "damage", ["truncate", "edit", "remove", "status", "state", "sums", "environment", "configuration", "settings"]
)
def test_damage_is_seen(finished: CellFolder, damage: str) -> None:
    measurements = finished.path / "measurements.jsonl"
    text = measurements.read_text()
    if damage == "truncate":
        measurements.write_text(text[:-5])
    elif damage == "edit":
        measurements.write_text(text.replace("0.5", "0.9"))
    elif damage == "remove":
        measurements.unlink()
    elif damage == "status":
        (finished.path / "status.json").write_text('{"state": "do')
    elif damage == "state":
        status = finished.path / "status.json"
        status.write_text(status.read_text().replace('"done"', '"failed"'))
    elif damage == "sums":
        (finished.path / "status.json").write_text('{"state": "done", "started": 1.0, "ended": 2.0}')
    elif damage == "environment":
        (finished.path / "environment.json").write_text('{"device": "a faster one"}')
    elif damage == "settings":
        configuration = finished.path / "cell.json"
        configuration.write_text(configuration.read_text().replace('"seed": 0', '"seed": 1'))
    else:
        (finished.path / "cell.json").write_text("{")
    assert finished.status().state == finished.status(quick=True).state == "damaged"
    assert finished.status().reason.split(" ")[0].endswith(".json") or "measurements.jsonl" in finished.status().reason


def test_the_table_has_every_column_and_only_whole_cells(finished: CellFolder) -> None:
    table = load_results(finished.path.parent)
    assert tuple(table.frame.columns) == COLUMNS
    assert list(table.frame["metric"]) == ["oa_mean", "nothing"]
    first = table.frame.iloc[0]
    assert (first["study"], first["arm"], first["seed"], first["n"], first["status"]) == ("tiny", "a", 0, 16, "done")
    assert table.frame["nfe"].isna().all()
    table.save()
    assert (table.folder / "table.csv").read_text().startswith(",".join(COLUMNS[:3]))
    (finished.path / "measurements.jsonl").write_text("")
    assert load_results(finished.path.parent).frame.empty


def test_every_column_has_its_type_and_is_in_the_help() -> None:
    older = pd.DataFrame({"metric": ["m", None], "value": ["0.5", None], "nfe": [3.0, math.nan], "extra": [1, 2]})
    frame = typed(older)
    names = {str: "str", int: "Int64", float: "float64"}
    assert {name: str(frame[name].dtype) for name in COLUMNS} == {
        name: names[column.type] for name, column in SCHEMA.items()
    }
    assert list(frame["metric"]) == ["m", ""] and list(frame["study"]) == ["", ""] and list(frame["extra"]) == [1, 2]
    assert frame["nfe"].isna().tolist() == [False, True] and frame["value"].isna().tolist() == [False, True]
    assert older["nfe"].dtype == "float64", "the frame given is not changed"
    lines = [line.split() for line in (columns_module.__doc__ or "").splitlines() if line.startswith("    ")]
    assert [line[0] for line in lines] == list(COLUMNS) and all(len(line) > 2 for line in lines)


def test_an_unknown_metric_names_the_known_ones(finished: CellFolder) -> None:
    with pytest.raises(UserError, match="oa_mean"):
        load_results(finished.path.parent).metric("oa")


def test_another_format_is_refused_with_what_to_do(finished: CellFolder) -> None:
    plan = finished.path.parent / "study.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"format": 99}))
    with pytest.raises(UserError, match=r"format 99.*run the study again"):
        load_results(finished.path.parent)


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the study first"):
        load_results(tmp_path)


def test_beginning_again_drops_what_an_interrupted_run_left(finished: CellFolder) -> None:
    (finished.path / "checkpoint").mkdir()
    finished.begin(CELL)
    assert finished.status().state == "new"
    assert not (finished.path / "measurements.jsonl").exists()
    assert (finished.path / "checkpoint").is_dir()


def test_what_papers_claim_is_recorded_before_the_first_cell_and_stays(tmp_path: Path) -> None:
    store = Store(tmp_path, "tiny")
    store.write_plan({"name": "tiny"}, [CELL], [], {"smdim": "first"})
    store.write_plan({"name": "tiny"}, [CELL], [], {"smdim": "second"})
    assert store.plan()["claims"] == {"smdim": "second"}  # nothing was measured yet
    store.cell(CELL.id).begin(CELL)
    store.write_plan({"name": "tiny"}, [CELL], [], {"smdim": "third", "other": "new"})
    assert store.plan()["claims"] == {"smdim": "second"}


def test_a_run_of_an_older_version_does_not_claim_to_have_recorded(tmp_path: Path) -> None:
    store = Store(tmp_path, "tiny")
    store.cell(CELL.id).begin(CELL)
    store.write_plan({"name": "tiny"}, [CELL], [], {"smdim": "late"})
    assert store.plan()["claims"] == {}


def test_the_written_table_is_used_for_what_has_not_changed_and_for_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path, "tiny")
    cells = [Cell("quality", LABELS | {"seed": seed}, {"seed": seed}) for seed in range(3)]
    store.write_plan({"name": "tiny"}, cells, [])
    for cell in (cells[2], cells[0]):
        store.cell(cell.id).begin(cell)
        store.cell(cell.id).finish("done", ROWS)
    load_results(store.folder).save()
    store.cell(cells[1].id).begin(cells[1])
    store.cell(cells[1].id).finish("done", [{"metric": "oa_mean", "value": 0.25, "unit": "1"}])
    joined = load_results(store.folder)
    assert list(joined.frame["seed"]) == [0, 0, 1, 2, 2]
    joined.save()
    kept = load_results(store.folder).frame
    (store.folder / "table.parquet").unlink()
    rebuilt = load_results(store.folder).frame
    pd.testing.assert_frame_equal(kept, rebuilt, check_exact=True)
    pd.testing.assert_frame_equal(joined.frame, rebuilt, check_exact=True)

    load_results(store.folder).save()
    table = store.folder / "table.parquet"
    joined.frame.assign(value=9.0).to_parquet(table)  # somebody edits the table
    assert list(load_results(store.folder).frame["value"].dropna()) == [0.5, 0.25, 0.5]
    for changed in (
        b"PAR1",
        _without_a_type(joined.frame),
        joined.frame.assign(value="text").to_parquet(),
        joined.frame[["arm"]].to_parquet(),
    ):
        table.write_bytes(changed)
        index = json.loads((store.folder / "table.index.json").read_text())
        index["table_sha256"] = hashlib.sha256(changed).hexdigest()
        (store.folder / "table.index.json").write_text(json.dumps(index))
        assert list(load_results(store.folder).frame["value"].dropna()) == [0.5, 0.25, 0.5]
    (store.cell(cells[0].id).path / "measurements.jsonl").write_text("")
    assert list(load_results(store.folder).frame["seed"]) == [1, 2, 2]


def _without_a_type(frame: pd.DataFrame) -> bytes:
    """Parquet whose metadata lack the type of a column."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = json.loads(table.schema.metadata[b"pandas"])
    del metadata["columns"][0]["pandas_type"]
    buffer = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(metadata)}), buffer)
    return buffer.getvalue()


def test_the_largest_seed_beside_a_cell_without_a_seed(tmp_path: Path) -> None:
    store = Store(tmp_path, "tiny")
    cells = [Cell("quality", {"arm": "a", "seed": 2**63 - 1}, {"seed": 1}), Cell("reference", {"arm": "r"}, {})]
    store.write_plan({"name": "tiny"}, cells, [])
    for cell in cells:
        store.cell(cell.id).begin(cell)
        store.cell(cell.id).finish("done", [{"metric": "oa_mean", "value": 0.25, "unit": "1"}])
    assert load_results(store.folder).frame["seed"].to_list() == [2**63 - 1, pd.NA]


def test_a_table_of_two_code_versions_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path, "tiny")
    cells = [Cell("quality", LABELS | {"seed": seed, "version": f"data{seed}"}, {"seed": seed}) for seed in (1, 2)]
    store.write_plan({"name": "tiny"}, cells, [])
    for cell in cells:
        store.cell(cell.id).begin(cell)
        store.cell(cell.id).finish("done", ROWS)
    assert load_results(store.folder).mixed_versions() == [
        "quality rows are of 2 code versions, do not compare them: data1; data2"
    ]


def test_a_cell_another_study_finished_is_copied_with_its_origin(finished: CellFolder) -> None:
    results = finished.path.parents[1]
    (finished.samples).mkdir()
    (finished.samples / "000.mid").write_bytes(b"MThd")
    (finished.path / "checkpoint").mkdir()
    second = Store(results, "second")
    renamed = Cell("quality", LABELS | {"arm": "another name"}, {"seed": 0})
    second.write_plan({"name": "second"}, [renamed], [])
    others = OtherStudies(second)
    found = others.find(renamed)
    assert found is not None
    target = second.cell(renamed.id)
    assert others.copy(found, target, renamed) == target.status()
    assert target.status().state == "done"
    assert target.status().reused_from == f"tiny/{CELL.id}"
    assert target.rows()[0]["value"] == 0.5
    assert (target.samples / "000.mid").read_bytes() == b"MThd"
    assert not (target.path / "checkpoint").exists()
    assert set(load_results(second.folder).frame["arm"]) == {"another name"}

    (finished.path / "measurements.jsonl").write_text("edited\n")
    assert OtherStudies(Store(results, "third")).find(Cell("quality", LABELS, {"seed": 0})) is not None  # from `second`
    assert OtherStudies(Store(results, "third")).find(Cell("quality", LABELS, {"seed": 1})) is None


def test_a_run_does_not_write_into_results_of_another_format(finished: CellFolder) -> None:
    plan = finished.path.parent / "study.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"format": 99}))
    with pytest.raises(UserError, match="move the folder away"):
        Store(finished.path.parents[1], "tiny").write_plan({"name": "tiny"}, [CELL], [])
