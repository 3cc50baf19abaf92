"""What a piece costs over lengths, by formula: growth, the length at which a claim is reached, figure and command."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from figure_reading import SINGLE_COLUMN_IN, layout_faults, read_csv
from typer.testing import CliRunner

from bench.measure import piece_map as maps
from bench.report.claims.paper import load_paper
from bench.report.claims.pieces import accepted_from, piece_claims, piece_table
from bench.report.figures.pieces import pieces_figure
from bench.report.figures.style import DOUBLE_COLUMN_IN


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """The map at 2 M parameters and stride 1."""
    sizes, strides, maps.SIZES, maps.STRIDES = maps.SIZES, maps.STRIDES, {"2 M": (224, 6)}, (1,)
    try:
        return pd.DataFrame(maps.piece_map())
    finally:
        maps.SIZES, maps.STRIDES = sizes, strides


def test_costs_and_growth_are_those_worked_out_beforehand(rows: pd.DataFrame) -> None:
    at = rows[rows["length"] == 2048].set_index("name")
    assert at.loc["transformer whole", "gflops"] == pytest.approx(1220, rel=0.01)
    assert at.loc["mamba block-16", "gflops"] == pytest.approx(72, rel=0.02)
    assert list(at.loc[["mamba whole", "mamba whole-half", "mamba block-16", "mamba ar"], "calls"]) == [
        64, 1024, 128 * 9 - 1, 2048,
    ]  # fmt: skip


def test_where_the_claims_of_diffumamba_hold_is_counted(rows: pd.DataFrame) -> None:
    table = piece_table(load_paper("diffumamba"), rows)
    found = {row[0].text: row[3].text for row in table.rows}
    assert found.pop("throughput-flops").startswith("0.0804: yes (from 103")  # 8.2 times from 10.3 thousand tokens
    assert found == {
        "hybrid-flops": "0.695: no (never)",
        "block-mamba-linear-flops": "1.00: yes",
        "only-whole-mamba": "1.00: no",
        "only-window": "1.00: no",
        "only-ar-mamba": "1.00: no",
        "only-attention": "1.83: yes",
    }


def test_a_claim_is_reached_where_the_inverse_ratio_is_linear_in_length() -> None:
    (claim, *_) = piece_claims(load_paper("diffumamba"))
    times = 1 / claim.accept[1]
    assert accepted_from(claim, [1000, 2000], [2 / times, 0.5 / times]) == pytest.approx(1000 + 1000 / 3)
    assert accepted_from(claim, [1000, 2000], [0.1, 0.05]) == 1000


@pytest.mark.parametrize("width", [SINGLE_COLUMN_IN, DOUBLE_COLUMN_IN])
def test_the_figure_has_a_panel_a_process_with_exponents_and_one_of_calls(rows: pd.DataFrame, width: float) -> None:
    figure = pieces_figure(rows, maps.PROCESSES, width=width)
    assert layout_faults(figure) == []
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles[0] == "whole\n1.90, 1.00, 1.00, 1.86" and titles[-1] == "calls\n0.00, 1.00, 1.00, 1.00"
    assert {row["series"] for row in read_csv(figure)} == {*maps.ARMS, *maps.PROCESSES}


def test_the_command_writes_table_and_figure(
    rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.cli import app

    monkeypatch.setattr(maps, "piece_map", lambda: rows.to_dict("records"))
    words = ["claims", "--map", "--paper", "diffumamba", "-o", str(tmp_path)]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    assert "| hybrid-flops | smdim whole / transformer whole |" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "pieces.pdf").read_bytes().startswith(b"%PDF") and (tmp_path / "pieces.csv").exists()
