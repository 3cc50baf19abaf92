"""A results folder whose cells were left behind (a committed reference, a colleague's table) still answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import UserError
from bench.store.table import COLUMNS, ResultTable, load_results, typed

DEMO = Path(__file__).parents[3] / "results" / "reference" / "cpu-2-cores" / "quickstart"


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A copy of the committed demo run: its table, its plan, no cells."""
    if not DEMO.is_dir():
        pytest.skip("the committed demo run lies beside the sources only")
    return Path(shutil.copytree(DEMO, tmp_path / "results" / "demo"))


def test_the_written_table_is_read_where_no_cell_is_there(demo: Path) -> None:
    table = load_results(demo)
    latency = table.metric("step_latency", "efficiency")
    assert set(latency["arm"]) == {"smdim", "transformer", "mamba", "mamba-causal"}
    assert latency["length"].dtype == "Int64" and (latency["value"] > 0).all()
    (demo / "table.csv").unlink()
    assert load_results(demo).frame.empty


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
    "#x",
    " x ",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_that_is_read_again_has_the_same_texts_and_types(name: str, tmp_path: Path) -> None:
    row = {"arm": name, "value": 0.1 + 0.2, "low": float("nan"), "seed": 3, "reason": "", "cell_id": "c"}
    written = typed(pd.DataFrame([row]))
    folder = tmp_path / "alone"
    folder.mkdir()
    (folder / "study.json").write_text('{"format": 1, "study": {"name": "s"}, "cells": []}')
    ResultTable(written, folder).save()
    pd.testing.assert_frame_equal(load_results(folder).frame, written[list(COLUMNS)])
