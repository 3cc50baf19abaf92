"""The commands report, figure, claims, cite and compare on results as the store keeps them."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from bench.errors import UserError
from bench.store.cells import Store
from bench.study.grid import Cell

LABELS = ("arm", "pattern", "direction", "corpus", "seed", "length")


@pytest.fixture
def results(tmp_path, frame):
    """A results folder `toy` with the cells of the made-up study."""
    store = Store(tmp_path / "results", "toy")
    plain = frame.astype(object).where(frame.notna(), None)
    cells = []
    for cell_id, rows in plain.groupby("cell_id", sort=False):
        records = [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
        first = records[0]
        labels = {name: first[name] for name in LABELS if first["kind"] != "efficiency" or name in ("arm", "pattern")}
        cell = Cell(first["kind"], labels, {"made_up": cell_id})
        folder = store.cell(cell.id)
        folder.begin(cell)
        kept = [{k: v for k, v in row.items() if k not in ("study", "cell_id", "kind", "status")} for row in records]
        folder.finish("done", kept)
        cells.append(cell)
    study = {"name": "toy", "question": "Which?", "baseline": {"arm": "transformer"}}
    store.write_plan(study, cells, [])
    return tmp_path / "results"


@pytest.fixture
def command(results):
    from bench.cli import app

    def run(*words: str, width: str = "200"):
        return CliRunner().invoke(app, [*words, "--results", str(results)], env={"COLUMNS": width})

    return run


def test_report_is_written_and_its_place_said(command, results, no_figures):
    outcome = command("report", "toy")
    assert outcome.exit_code == 0, outcome.output
    assert str(results / "toy" / "report.md") in outcome.output
    order = ("Which?", "Cheaper than transformer", "Music, against transformer", "GFLOPs", "Brackets of scores")
    places = [outcome.output.find(words) for words in order]
    assert places == sorted(places) and min(places) >= 0
    assert "no better than the grammar" in outcome.output
    assert {"report.md", "report.html"} <= {path.name for path in (results / "toy").iterdir()}
    tables = {path.name for path in (results / "toy" / "tables").iterdir()}
    papers = {f"{name}.{ending}" for name in ("summary", "efficiency", "quality") for ending in ("csv", "md", "tex")}
    assert papers | {"efficiency-column.tex"} <= tables
    assert all(name.endswith(".csv") for name in tables if name.startswith("cost_"))


def test_figure_goes_where_it_is_told(command, tmp_path):
    outcome = command("figure", "bits", "toy", "--width", "3.3", "-o", str(tmp_path / "fig.pdf"))
    assert outcome.exit_code == 0, outcome.output
    assert (tmp_path / "fig.pdf").read_bytes().startswith(b"%PDF")


def test_claims_cite_and_compare_answer_on_the_terminal(command, tmp_path):
    claims = command("claims", "toy")
    assert claims.exit_code == 0 and "contradicted" in claims.output and "not known to us" in claims.output
    cited = command("cite", "quality", "smdim", "OA mean", "--study", "toy")
    assert cited.exit_code == 0 and "0.790 [0.663, 0.917]" in cited.output and "quality-smdim-" in cited.output
    compared = command("compare", "toy", "toy", "-o", str(tmp_path / "compare.md"))
    assert compared.exit_code == 0 and "same" in compared.output and "open (2 seeds)" in compared.output
    assert (tmp_path / "compare.md").read_text().startswith("## A and B")


def test_compare_matches_arms_of_which_one_side_has_labels(command, results, tmp_path):
    shutil.copytree(results / "toy", results / "labelled")
    file = results / "labelled" / "study.json"
    content = json.loads(file.read_text())
    content["study"]["presentation"] = {"labels": {"smdim": "Ours"}, "arms": ["smdim"]}
    file.write_text(json.dumps(content))
    outcome = command("compare", "toy", "labelled", "-o", str(tmp_path / "compare.md"))
    assert outcome.exit_code == 0, outcome.output
    found = (tmp_path / "compare.md").read_text()
    assert "| smdim L=512 |" in found and "| mamba L=512 |" in found and "Ours" not in found


def test_claims_keep_ids_and_words_whole_at_80_columns(command):
    lines = command("claims", "toy", width="80").output.splitlines()
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in lines if line.startswith("  "))
    wide = command("claims", "toy", width="2000").output
    assert set(wide.split()) == {word for line in lines for word in line.split()}
    assert "flops" in lines and any(line.startswith("  verdict   ") for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report", "nothing"), "no results of 'nothing': there are results of toy"),
        (("figure", "pie", "toy"), "figures are cost"),
        (("claims", "toy", "--paper", "mozart"), "there are diffumamba, smdim"),
        (("cite", "quality", "gru", "OA mean", "--study", "toy"), "no row 'gru'"),
    ],
)
def test_what_is_not_there_is_one_clear_error(command, words, message):
    outcome = command(*words)
    assert outcome.exit_code != 0
    assert isinstance(outcome.exception, UserError) and message in str(outcome.exception)
    assert "\n" not in str(outcome.exception)
