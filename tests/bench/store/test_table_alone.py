"""A results folder whose cells were left behind (a committed reference, a colleague's table) still answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.errors import UserError
from bench.store.columns import COLUMNS, typed
from bench.store.table import ResultTable, load_results

DEMO = Path(__file__).parents[3] / "results" / "reference" / "cpu-2-cores" / "lieder"
committed = pytest.mark.skipif(not DEMO.is_dir(), reason="the committed results lie beside the sources only")


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A copy of the committed demo run: its table, its plan, no cells."""
    if not DEMO.is_dir():
        pytest.skip("the committed results lie beside the sources only")
    raw = shutil.ignore_patterns("efficiency-*", "quality-*")
    return Path(shutil.copytree(DEMO, tmp_path / "results" / "demo", ignore=raw))


def test_the_written_table_is_read_where_no_cell_is_there(demo: Path) -> None:
    table = load_results(demo)
    latency = table.metric("step_latency", "efficiency")
    assert set(latency["arm"]) == {"smdim", "transformer", "mamba", "mamba-causal"}
    assert latency["length"].dtype == "Int64" and (latency["value"] > 0).all()
    (demo / "table.parquet").unlink()
    assert load_results(demo).frame.empty


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frame: frame.assign(oa=1.0), "unknown column 'oa'; allowed: study, "),
        (lambda frame: frame.drop(columns="value"), "no column value; needed are "),
        (lambda frame: frame.assign(value="0.5"), "a column is of another type"),
        (None, "no parquet file: "),
    ],
)
def test_a_parquet_table_that_is_none_is_one_line(change: Any, reason: str, tmp_path: Path) -> None:
    folder = alone(tmp_path / "alone")
    path = folder / "table.parquet"
    row = {"cell_id": "c", "kind": "quality", "arm": "a", "metric": "m", "value": 0.5, "seed": 3}
    frame = typed(pd.DataFrame([row]))[list(COLUMNS)]
    frame.to_parquet(path, index=False)
    pd.testing.assert_frame_equal(load_results(folder).frame, frame)
    if change is None:
        path.write_bytes(path.read_bytes()[:-9])
    else:
        change(frame).to_parquet(path, index=False)
    with pytest.raises(UserError) as refused:
        load_results(folder)
    assert str(refused.value).startswith(f"{path}: cannot be read: {reason}")
    assert len(str(refused.value).splitlines()) == 1


def test_the_commands_work_on_a_table_alone(demo: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from bench.cli import app

    def run(*words: str) -> str:
        outcome = CliRunner().invoke(app, [*words, "--results", str(demo.parent)], env={"COLUMNS": "200"})
        assert outcome.exit_code == 0, (words, outcome.output, outcome.exception)
        return outcome.output

    assert "smdim" in run("report", "demo")
    assert "flops" in run("claims", "demo")
    assert "corpus demo/lieder" in run("cite", "quality", "smdim", "OA mean", "--study", "demo")
    words = run("compare", "demo", "demo")
    assert "seeds would decide" in words and "open: the raw times" in words
    assert "one process per arm" not in words
    run("figure", "cost", "demo", "-o", str(tmp_path / "cost.svg"))
    assert (tmp_path / "cost.svg").exists()


@committed
def test_raw_figures_of_cells_are_read_beside_the_written_table() -> None:
    from bench.report.analysis.growth import cost_ratio
    from bench.report.rows.summaries import cost_summaries

    table = load_results(DEMO)
    assert set(table.frame["arm"]) >= {"smdim", "transformer", "real-vs-real"}  # rows of cells without a raw file, too
    costs = cost_summaries(table.frame)
    first = costs.first(metric="step_latency", arm="smdim", length=512)
    ratio = cost_ratio(first, costs, "transformer", DEMO)
    assert ratio is not None and ratio.words == "slower" and ratio.replicates == 3


@committed
@pytest.mark.parametrize("name", ["aa", "efficiency", "quickstart_rates"])
def test_every_committed_study_carries_its_table(name: str) -> None:
    table = load_results(DEMO.parent / name)
    planned = {cell["id"] for cell in json.loads((table.folder / "study.json").read_text())["cells"]}
    assert not table.frame.empty and set(table.frame["cell_id"]) <= planned


def test_a_figure_that_needs_samples_says_so(demo: Path) -> None:
    from bench.report.figures import draw

    with pytest.raises(UserError, match="no quality cell left a readable MIDI file"):
        draw("rolls", load_results(demo), demo)


NAMES = (
    "NA",
    "nan",
    "null",
    "None",
    "",
    "001",
    "1e3",
    "True",
    "2026-11-28",
    "a,b",
    'a"b',
    "two\nlines",
    "cr\r",
    "crlf\r\n",
    "#x",
    " x ",
)


def alone(folder: Path) -> Path:
    """A results folder with nothing but a plan."""
    folder.mkdir()
    (folder / "study.json").write_text('{"format": 1, "study": {"name": "s"}, "cells": []}')
    return folder


HEADER = "cell_id,kind,arm,metric,value,seed"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no column cell_id, kind, arm, metric, value; needed are "),
        (f"{HEADER}\n".replace(",", ";"), "columns are separated by `;`; allowed: `,`"),
        (f"{HEADER},unit\r\r\n", "unknown column 'unit\\r'; allowed: study, "),
        (f"{HEADER},arm\nc,quality,a,m,0.5,3,b\n", "a column is there twice"),
        ("cell_id,kind,arm,seed\n", "no column metric, value; needed are cell_id, kind, arm, metric, value"),
        (f"{HEADER}\nc,quality,a,m,0.5\n", "line 2 has 5 fields, the header 6"),
        (f"{HEADER}\n\n,,,,,\nc,quality,a,m,0.5,3,4\n", "line 4 has 7 fields, the header 6"),
        (f"{HEADER}\n,quality,a,m,0.5,3\n", "line 2: cell_id is empty"),
        (f"{HEADER}\nc,,a,m,0.5,3\n", "line 2: kind is empty"),
        (f"{HEADER}\nc,quality,a,,0.5,3\n", "line 2: metric is empty"),
        (f'{HEADER}\nc,quality,"a"b,m,0.5,3\n', "',' expected after '\"'"),
        (f"{HEADER}\nc,quality,a\0,m,0.5,3\n", "holds a NUL"),
        (f'{HEADER}\nc,quality,a,m,"0,5",3\n', "line 2: value '0,5' is no number"),
        (f"{HEADER}\nc,quality,a,m,1_5,3\n", "line 2: value '1_5' is no number"),
        (f"{HEADER}\nc,quality,a,m,0.5,1_5\n", "line 2: seed '1_5' is no whole number"),
        (f"{HEADER}\nc,quality,a,m,0.5,1.5\n", "line 2: seed '1.5' is no whole number"),
        (f"{HEADER}\nc,quality,a,m,0.5,9223372036854775808\n", "line 2: seed '9223372036854775808' is no whole number"),
        (f"{HEADER}\nc,quality,\xff,m,0.5,3\n", "'utf-8' codec can't decode byte 0xff in position 45: "),
    ],
)  # fmt: skip
def test_what_is_no_table_any_more_is_one_line(content: str, reason: str, tmp_path: Path) -> None:
    folder = alone(tmp_path / "alone")
    (folder / "table.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError) as refused:
        load_results(folder)
    assert str(refused.value).startswith(f"{folder / 'table.csv'}: cannot be read: {reason}")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_table_that_a_spreadsheet_or_git_wrote_is_read(end: bytes, mark: bytes, tmp_path: Path) -> None:
    content = f'{HEADER},auc\nc,quality,a,m,0.5,3,0.75\n,,,,,,\nd,quality,"cr\r, two\nlines",m,0.5,3,\n'.encode()
    folder = alone(tmp_path / "alone")
    (folder / "table.csv").write_bytes(mark + content.replace(b"\n", end))
    frame = load_results(folder).frame
    assert list(frame["cell_id"]) == ["c", "d"] and list(frame["arm"]) == ["a", "cr\r, two\nlines"]
    assert frame["auc"][0] == 0.75 and pd.isna(frame["auc"][1])


def test_counts_and_figures_come_back_to_the_last_digit(tmp_path: Path) -> None:
    """The largest seed beside a reference, which has none: as floats it would be another."""
    rows = [{"seed": 2**63 - 1, "n": 2**53 + 1, "value": 5e-324}, {"value": 0.1 + 0.2}, {"seed": "7", "n": 10**23}]
    written = typed(pd.DataFrame([{"cell_id": "c", "kind": "k", "metric": "m"} | row for row in rows], dtype="object"))
    assert [None if pd.isna(one) else int(one) for one in written["seed"]] == [2**63 - 1, None, 7]
    assert [None if pd.isna(one) else int(one) for one in written["n"]] == [2**53 + 1, None, None]
    folder = alone(tmp_path / "alone")
    ResultTable(written, folder).save()
    pd.testing.assert_frame_equal(load_results(folder).frame, written[list(COLUMNS)], check_exact=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_that_is_read_again_has_the_same_texts_and_types(name: str, tmp_path: Path) -> None:
    row = {
        "arm": name,
        "value": 0.1 + 0.2,
        "low": float("nan"),
        "seed": 3,
        "reason": "",
        "cell_id": "c",
        "kind": "k",
        "metric": "m",
    }
    written = typed(pd.DataFrame([row]))
    folder = alone(tmp_path / "alone")
    ResultTable(written, folder).save()
    pd.testing.assert_frame_equal(load_results(folder).frame, written[list(COLUMNS)])
