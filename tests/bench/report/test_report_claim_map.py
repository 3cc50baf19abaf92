"""Where a claim holds over sizes: counted settings against what a paper accepts, as a table, a figure, a command."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.errors import UserError
from bench.report.claims.mapped import map_table, mapped_claims
from bench.report.claims.paper import Paper, load_paper

WAYS = {"layers": "as many mixers", "no stem": "baseline without stem"}


def test_each_place_has_its_range_and_how_often_the_claim_holds(claim_rows):
    table = map_table(load_paper("smdim"), claim_rows, WAYS)
    assert table.entry("GFLOPs, equal layers", "stride 4").text == "0.500 to 0.900: 2 of 6"
    assert table.entry("GFLOPs, no stem", "stride 1").text == "0.100 to 0.100: none"
    assert table.entry("training memory, fused attention, no stem", "stride 1").text == "1.10 to 1.10: none"
    kept = "training memory, attention that keeps its scores, equal layers"
    assert (
        table.entry(kept, "stride 1").text == "0.600 to 0.600: all"
        and table.entry(kept, "accepted").text == "0.5 to 0.7"
    )


def test_a_paper_without_a_claim_that_can_be_counted_is_refused():
    paper = load_paper("smdim")
    others = tuple(claim for claim in paper.claims if claim.quantity.kind != "ratio")
    with pytest.raises(UserError, match="no claim on a ratio of forward_gflops or peak_memory_training"):
        mapped_claims(Paper(**{**paper.model_dump(), "claims": others}))


def test_the_command_writes_table_and_figures(tmp_path, monkeypatch):
    from bench.cli import app
    from bench.measure import claim_map as maps

    for name, values in (("WIDTHS", (32,)), ("LAYERS", (6,)), ("STRIDES", (4,))):
        monkeypatch.setattr(maps, name, values)
    outcome = CliRunner().invoke(app, ["claims", "--map", "-o", str(tmp_path / "map")])
    assert outcome.exit_code == 0, outcome.output
    assert "5 settings" in outcome.output
    assert len(pd.read_csv(tmp_path / "map" / "map.csv")) == 5
    text = (tmp_path / "map" / "README.md").read_text()
    assert "| GFLOPs, equal layers | 0.6 to 0.8 |" in text and "(gflops_ratio.png)" in text
    assert (tmp_path / "map" / "gflops_ratio.pdf").read_bytes().startswith(b"%PDF")


def test_without_study_or_map_the_command_says_what_it_needs():
    from bench.cli import app

    outcome = CliRunner().invoke(app, ["claims"])
    assert isinstance(outcome.exception, UserError) and "--map" in str(outcome.exception)
