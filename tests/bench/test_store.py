"""A cell on disk is finished and whole, or it is run again."""

import json
import math
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.results import COLUMNS, load_results
from bench.run.store import CellFolder, Store
from bench.study import Cell

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


@pytest.mark.parametrize("damage", ["truncate", "edit", "remove", "status", "configuration"])
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
    else:
        (finished.path / "cell.json").write_text("{")
    assert finished.status().state == "damaged"


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
