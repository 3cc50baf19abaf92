"""The whole report of a study that worked, of one that failed, and of none at all."""

from __future__ import annotations

import io
import math

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.errors import UserError
from bench.report import summary_table, write_report


def test_report_tells_question_results_and_failures(frame, results_folder):
    path = write_report(results_folder, table=frame)
    text = path.read_text()
    assert path == results_folder / "report.md"
    for expected in (
        "**Question.** What does the order of blocks do to cost and to music?",
        "arms matched to 2.04 M parameters within 1 %",
        "No better than the grammar of tokens: fam.",
        "Timings are interleaved",
        "settings not known to us",
        "| fam (L = 2048) | oom | oom: 14.2 GiB asked, 8.0 GiB there |",
        "mamba 0.261, smdim 0.305",
    ):
        assert expected in text
    for name in ("cost", "quality", "bits", "learning", "rolls"):
        assert f"figures/{name}.png" in text
        assert (results_folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (results_folder / "tables" / "quality.csv").read_text().startswith("arm,")


def test_a_study_whose_cells_all_failed_still_has_a_report(frame, tmp_path):
    frame["value"] = math.nan
    frame["reason"] = "error: no space left"
    text = write_report(tmp_path, table=frame).read_text()
    assert "13 of 13 cells gave no figure" in text
    assert "error: no space left" in text
    assert "Not drawn: cost figure" in text
    assert not (tmp_path / "figures" / "cost.png").exists()


def test_timings_of_several_sessions_are_not_called_interleaved(frame, tmp_path, no_figures):
    frame.loc[frame["arm"] == "mamba", "session"] = "s2"
    cost = frame[frame["kind"] == "efficiency"]
    text = write_report(tmp_path, table=cost).read_text()
    assert "Timings come from 2 sessions" in text
    assert "interleaved" not in text


@pytest.mark.parametrize("kept", [True, False])
def test_a_figure_of_before_stays_where_cells_are_missing(frame, tmp_path, no_figures, kept):
    for cell_id in frame["cell_id"].unique()[int(kept) :]:
        (tmp_path / cell_id).mkdir()
    path = tmp_path / "figures" / "rolls.png"
    path.parent.mkdir()
    path.touch()
    write_report(tmp_path, table=frame)
    assert path.exists() == kept


def test_a_folder_without_results_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="does not exist; run the study first"):
        write_report(tmp_path / "none")


def printed(frame: pd.DataFrame, columns: int) -> list[str]:
    """Lines of the summary on a terminal of that width."""
    console = Console(width=columns, record=True, file=io.StringIO())
    console.print(summary_table(frame))
    return console.export_text().splitlines()


def test_summary_fits_eighty_columns_and_marks_the_arms(frame):
    frame.loc[frame["arm"] == "fam", "direction"] = "GatedDeltaNet of fla (unpublished adapter) forward, Mamba forward"
    lines = printed(frame, 80)
    assert any(line.split()[:2] == ["fam", "†"] and line.split()[-1] == "forward" for line in lines)
    assert not any(line.strip() in ("e", "3", "4") for line in lines)  # ends of words broken inside
    mamba = next(line for line in lines if "mamba" in line)
    assert mamba.split()[:6] == ["mamba", "‡", "3.85", "±2", "0.170", "±0.4"]


def test_two_arms_of_one_label_are_two_rows(frame):
    """`fam` is marked † here; an arm of that name and sign is another."""
    named = frame.assign(arm=frame["arm"].replace({"smdim": "fam †"}))
    lines = printed(named, 100)
    assert sum(line.split()[:2] == ["fam", "†"] for line in lines) == 2


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("name", ["{place} and the same {words}", "音楽の{place}{words}"])
def test_names_of_300_letters_leave_the_summary_its_figures(frame, name, columns):
    arms = {arm: name.format(place=place, words="words" * 60) for place, arm in enumerate(frame["arm"].unique())}
    named = frame.assign(arm=frame["arm"].map(arms).where(frame["kind"] != "reference", frame["arm"]))
    lines = printed(named, columns)
    assert max(map(cell_len, lines)) <= columns
    cells = ["".join(sign + " " * (cell_len(sign) - 1) for sign in line) for line in lines]
    broken = {  # what stands below each other in a column of the screen, of each place and width
        "".join(line[start : start + width].strip() for line in cells)
        for start in range(columns)
        for width in range(1, len("3.81 ±0.1") + 1)
    }
    assert any("3.81±0.1" in text.replace(" ", "") for text in broken)
    assert sum("…" in line for line in lines) >= 4  # one an arm
