"""Tables: marks, bold, reasons, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math

import pandas as pd
import pytest

from bench.errors import UserError
from bench.report.analysis.references import blind_to
from bench.report.rows.arms import reference_order
from bench.report.rows.frame import as_frame
from bench.report.rows.summaries import reference_summaries
from bench.report.tables.cost import cost_tables
from bench.report.tables.numbers import millions, number, with_interval
from bench.report.tables.quality import detail_tables, quality_tables
from bench.report.tables.table import Entry, Table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.14159, "3.14"),
        (0.012345, "0.0123"),
        (112.0, "112"),
        (0.0, "0.00"),
        (2_400_000.0, "2.40e+06"),
        (math.nan, "n/a"),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert number(value) == text


def test_interval_has_the_decimals_of_the_mean():
    assert with_interval(3.905, 3.8415, 3.9685) == "3.90 [3.84, 3.97]"
    assert with_interval(3.905, math.nan, math.nan) == "3.90"
    assert with_interval(-1e-17, -1e-17, 0.0) == "0.000000 [0.000000, 0.000000]" and number(-0.0) == "0.00"
    assert with_interval(math.nan, 1, 2) == "n/a"
    assert with_interval(-0.132, -0.265, -0.00009) == "-0.132 [-0.265, -0.00009]"
    assert with_interval(0.132, 0.0, 0.265) == "0.132 [0.000, 0.265]"
    assert millions(2_040_000) == "2.04 M"


def test_cost_table_marks_the_best_and_gives_the_reason_of_a_hole(frame):
    table = next(table for table in cost_tables(frame) if table.name == "cost_step_latency")
    assert table.columns == (
        *("arm", "L = 256", "L = 512", "L = 1024", "L = 2048"),
        *("parameters", "direction", "pattern", "kernel"),
    )
    assert table.entry("mamba", "L = 256").text == "12.0 [11.8, 12.2]"
    assert table.entry("mamba", "L = 256").best and not table.entry("smdim", "L = 256").best
    assert table.entry("fam", "L = 2048").text == "n/a"
    assert any("fam at 2048: oom: 14.2 GiB asked" in note for note in table.notes)
    assert any("smdim (MFA*4), fam (FAM*4)" in note for note in table.notes)
    assert "2 threads, batch 1" in table.title


def test_launches_of_a_step_stand_beside_its_latency_and_else_its_operators(frame):
    latencies = frame[frame["metric"] == "step_latency"]
    counts = latencies["length"].map({256: 100.0, 512: 100.0, 1024: 100.0, 2048: 131.0}).astype(float)
    latencies = latencies.assign(low=math.nan, high=math.nan)
    operators = latencies.assign(metric="step_operators", value=counts)
    launches = latencies.assign(metric="step_launches", value=300.0, device="cuda:0")
    on_gpu = [latencies.assign(device="cuda:0"), launches, operators.assign(device="cuda:0")]
    on_cpu, beside, *others = cost_tables(pd.concat([frame, operators, *on_gpu], ignore_index=True))
    assert on_cpu.columns[-5:-3] == ("operators", "parameters") and on_cpu.entry("smdim", "operators").text == "131"
    assert any("Operators: operators of one denoising step" in note and "L = 2048" in note for note in on_cpu.notes)
    assert beside.columns[-5:-3] == ("launches", "parameters") and beside.entry("smdim", "launches").text == "300"
    assert not any("launches" in table.columns for table in (*others, *cost_tables(frame)))


def test_rows_of_different_kernels_are_not_ranked(frame):
    frame.loc[(frame["arm"] == "smdim") & (frame["kernel"] == "scan=numba"), "kernel"] = "scan=torch"
    table = cost_tables(frame)[0]
    assert not any(entry.best for row in table.rows for entry in row)
    assert any("scan: numba, torch" in note for note in table.notes)


def test_two_devices_give_two_tables(frame):
    gpu = frame[frame["kind"] == "efficiency"].assign(device="cuda:0")

    both = pd.concat([frame, gpu], ignore_index=True)
    apart = cost_tables(both)
    assert [table.name for table in apart[:2]] == ["cost_step_latency_1", "cost_step_latency_2"]
    assert all("not ranked against these (`report --force`" in table.notes[-2] for table in apart[:2])
    together = cost_tables(both, force=True)[0]
    assert together.name == "cost_step_latency"
    assert {row[0].text for row in together.rows} >= {
        "smdim (cpu, 2 threads, batch 1)",
        "smdim (cuda:0, 2 threads, batch 1)",
    }
    assert "* ranked although device, threads or batch differ." in together.notes


def test_a_figure_that_is_best_on_another_device_is_marked(frame):

    gpu = frame[(frame["kind"] == "efficiency") & (frame["arm"] == "mamba")].assign(device="cuda:0")
    for name in ("value", "low", "high"):
        gpu[name] /= 10
    table = cost_tables(pd.concat([frame, gpu], ignore_index=True), force=True)[0]
    entry = table.entry("mamba (cuda:0, 2 threads, batch 1)", "L = 512")
    assert entry.best and entry.mark == "*"


def test_quality_table_has_settings_marks_and_reference_rows(frame):
    (table,) = quality_tables(frame)
    assert [row[0].text for row in table.rows] == [
        "transformer", "smdim", "mamba", "fam",
        "(real-vs-real)", "(uniform-tokens)", "(shuffled)", "(unigram)", "(bigram)", "(grammar)",
    ]  # fmt: skip
    assert [row[0].mark for row in table.rows[:4]] == ["", "", "‡", "†"]
    assert table.entry("smdim", "OA mean").text == "0.790 [0.663, 0.917]"
    settings = ("seeds", "n (pieces)", "T", "NFE", "direction", "parameters", "GFLOPs (forward)")
    shown = [table.entry("mamba", column).text for column in settings]
    assert shown == ["2", "16", "128", "121-122", "bidirectional", "2.04 M", "4.80"]
    assert table.entry("smdim", "OA mean").cell_ids == ("quality-smdim-0", "quality-smdim-1")
    assert any("diverged: loss is NaN at step 31" in note for note in table.notes)


def test_the_songs_of_the_held_out_windows_are_named(frame):
    import pandas as pd

    ceiling = frame[(frame["arm"] == "real-vs-real") & (frame["metric"] == "oa_mean")]
    windows = ceiling.assign(metric="token_entropy", value=4.0, n=16, songs=11)
    (table,) = quality_tables(pd.concat([frame, windows], ignore_index=True))
    assert "Measured against 16 held-out windows of 11 songs; intervals are over songs." in table.notes
    (table,) = quality_tables(frame)
    assert not any("held-out windows of" in note for note in table.notes)


def test_one_seed_is_said(frame):
    (table,) = quality_tables(frame[frame["seed"].isna() | (frame["seed"] == 1)])
    assert any(note.startswith("One seed only") for note in table.notes)
    assert table.entry("smdim", "OA mean").text == "0.800"


def test_detail_table_holds_every_metric(frame):
    (table,) = detail_tables(frame)
    assert [row[0].text for row in table.rows][:2] == ["bits_per_token", "oa_mean"]
    assert table.columns[-1] == "(grammar)"


def test_csv_has_full_numbers_intervals_and_cells_and_no_zero_for_a_hole(frame):
    (table,) = quality_tables(frame)
    rows = {row["arm"]: row for row in csv.DictReader(io.StringIO(table.to_csv()))}
    assert float(rows["smdim"]["OA mean"]) == pytest.approx(0.79)
    assert float(rows["smdim"]["OA mean low"]) == pytest.approx(0.79 - 0.127062, abs=1e-6)
    assert rows["fam"]["OA mean"] == "" == rows["fam"]["OA mean low"]
    assert rows["smdim"]["cells"] == "quality-smdim-0 quality-smdim-1 efficiency-smdim"


def test_markdown_escapes_pipes_and_shows_bold_and_marks():
    row = (Entry("a|b", mark="†"), Entry("1.0", 1.0, best=True))
    text = Table("t", "T", ("arm", "x"), (row,), ("a note",)).to_markdown()
    assert text == "| arm | x |\n| :--- | ---: |\n| a\\|b † | **1.0** |\n\n- a note\n"


def test_unknown_row_or_column_is_named(frame):
    (table,) = quality_tables(frame)
    with pytest.raises(UserError, match="no row 'gru'; rows are transformer"):
        table.entry("gru", "OA mean")
    with pytest.raises(UserError, match="no column 'loss'; columns are arm"):
        table.entry("smdim", "loss")


def test_costs_of_different_kernels_are_ranked_only_by_force_and_then_marked(frame):
    frame.loc[(frame["kind"] == "efficiency") & (frame["arm"] == "mamba"), "kernel"] = "scan=torch"
    plain = next(table for table in cost_tables(frame) if table.name == "cost_step_latency")
    assert not any(entry.best for row in plain.rows for entry in row)
    assert "Not ranked: operations ran on different kernels (scan: numba, torch)." in plain.notes
    forced = next(table for table in cost_tables(frame, force=True) if table.name == "cost_step_latency")
    entry = forced.entry("mamba", "L = 512")
    assert entry.best and entry.mark == "*"
    assert "* ranked although operations ran on different kernels (scan: numba, torch)." in forced.notes


def test_a_study_can_ask_for_slow_fallbacks_to_be_ranked(frame, tmp_path):
    import json

    from bench.report.pages.content import gather, report_tables
    from bench.report.pages.sentences import in_short
    from bench.report.rows.study import kernels_together

    frame = frame[frame["kind"] == "efficiency"].copy()
    frame.loc[frame["arm"] == "mamba", "kernel"] = "scan=torch"
    for asked, marks in (("apart", 0), ("together", 4)):
        measure = {"efficiency": {"rank_kernels": asked}}
        (tmp_path / "study.json").write_text(json.dumps({"study": {"name": "toy", "measure": measure}}))
        together = kernels_together(tmp_path)
        tables = report_tables(frame, tmp_path, "transformer", force=together)["Cost"]
        table = next(table for table in tables if table.name == "cost_step_latency")
        assert sum(entry.mark == "*" for row in table.rows for entry in row) == marks
        assert gather(frame.head(0), tmp_path).together == together == (asked == "together")
    plain = " ".join(in_short(frame, "transformer", tmp_path))
    assert "Latency of one denoising step is not compared at 2048 tokens: kernels differ (scan: numba, torch)" in plain
    said = " ".join(in_short(frame, "transformer", tmp_path, together=True))
    assert "as a multiple of transformer, although kernels differ (scan: numba, torch): mamba 0.261" in said


def placed(frame: pd.DataFrame) -> pd.DataFrame:
    """The made-up study with redraws: the ceiling's sd, and areas under the curve of two floors."""
    frame = frame.copy()
    music = (frame["kind"] == "reference") & frame["metric"].str.startswith("oa_")
    frame.loc[music & (frame["arm"] == "real-vs-real"), "sd"] = 0.02
    frame.loc[music & (frame["arm"] == "shuffled"), "auc"] = 0.56
    frame.loc[music & (frame["arm"] == "uniform-tokens"), "auc"] = 1.0
    return frame


def test_figures_have_their_place_among_redraws_of_real_music(frame):
    table = quality_tables(placed(frame))[0]
    marks = {row[0].text: row[table.columns.index("OA mean")] for row in table.rows}
    for arm, entry in marks.items():
        if not arm.startswith("(") and entry.value == entry.value:
            inside = 0.87 <= entry.value <= 0.92
            away = f"{abs(entry.value - 0.9) / 0.02:.1f} sd {'better' if entry.value > 0.9 else 'worse'}"
            assert entry.mark == ("within real music" if inside else away)
    assert any(entry.mark for entry in marks.values())
    assert any("its place among redraws of real music" in note for note in table.notes)
    assert all(not row[index].mark for row in quality_tables(frame)[0].rows for index in range(1, len(row)))


def test_a_metric_names_the_floors_that_it_does_not_tell_from_real_music(frame):
    frame = placed(frame)
    table = quality_tables(frame)[0]
    assert table.entry("(floors not separated)", "OA mean").text == "1 of 2"
    assert table.entry("(floors not separated)", "Test [bits/token]").text == ""
    note = next(note for note in table.notes if "does not separate" in note)
    assert note.startswith("OA mean does not separate real music from: shuffled. ") and "below 0.9" in note
    references = reference_summaries(frame)
    assert blind_to(references, "oa_mean", "demo/lieder", 512) == ("shuffled",)
    assert blind_to(references, "oa_mean", "demo/lieder", 2048) == ()
    assert blind_to(references, "bits_per_token", "demo/lieder", 512) == ()


def test_references_come_from_the_kind_of_their_cell_in_one_order(frame):
    names = ["grammar", "pitches-shuffled", "someone-elses-floor", "real-vs-real", "uniform-tokens"]
    shared = {"kind": "reference", "metric": "oa_mean", "value": 0.5, "cell_id": "r"}
    rows = as_frame(pd.DataFrame([shared | {"arm": name} for name in names]))
    assert reference_order(reference_summaries(rows)) == [
        "real-vs-real", "uniform-tokens", "pitches-shuffled", "grammar", "someone-elses-floor",
    ]  # fmt: skip


def test_songs_stand_beside_pieces_where_they_are_fewer(frame):
    frame = frame.copy()
    frame.loc[frame["kind"] == "reference", "songs"] = 4
    table = quality_tables(frame)[0]
    assert table.entry("(real-vs-real)", "n (pieces)").text == "16 of 4 songs"
    assert table.entry("transformer", "n (pieces)").text == "16"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("smdim [ours]", "smdim [ours]"),
        ("[a](b)", r"[a\](b)"),
        ("a$b$c_{x", r"a\$b\$c\_{x"),
        ("AF*6, MF*4", r"AF\*6, MF\*4"),
        ("_a_ b_c", r"\_a\_ b_c"),
        ("a|b & <i>", r"a\|b \& \<i\>"),
        ("two\nlines", "two lines"),
        ("`x`", r"\`x\`"),
    ],
)
def test_markdown_shows_a_name_as_it_is(name, written):
    assert Table("t", "T", ("arm",), ((Entry(name),),)).to_markdown().splitlines()[2] == f"| {written} |"
