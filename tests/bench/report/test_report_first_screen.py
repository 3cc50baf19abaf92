"""First screen of a report: answers from verdicts, one summary table of eight columns, and the order below it."""

from __future__ import annotations

import io
import json
import math
import re

import pandas as pd
import pytest
from rich.console import Console

from bench.cli.run import print_summary
from bench.errors import UserError
from bench.report.pages.answers import answers
from bench.report.pages.content import FIRST_FIGURES, PAPER, PURPOSES, SUMMARY, Content, Section, report_tables
from bench.report.pages.html.page import html_report
from bench.report.pages.latex import ONE_COLUMN, to_latex
from bench.report.pages.markdown import markdown_report
from bench.report.pages.sentences import failure_sentence, in_short
from bench.report.pages.terminal import plus_minus
from bench.report.presentation import NumberStyle, Presentation, set_apart
from bench.report.tables.efficiency import efficiency_tables
from bench.report.tables.summary import MOST_COLUMNS, brief_direction, study_summary
from bench.report.tables.table import Entry
from metrics.headlines import SUMMARY as SUMMARY_METRICS
from metrics.headlines import brief

CANNOT = "cannot tell here"


def words_of(frame: pd.DataFrame, folder) -> tuple[str, str]:
    cost, music = answers(frame, "transformer", folder)
    return cost.words, music.words


@pytest.fixture
def pair(frame: pd.DataFrame) -> pd.DataFrame:
    """Two arms, three seeds: smdim's mean bits/token are the transformer's, its kernel distance is 0.5 less."""
    two = frame[frame["arm"].isin(["smdim", "transformer"]) | (frame["kind"] == "reference")]
    quality = two[two["kind"] == "quality"]
    third = quality[quality["seed"] == 0].assign(seed=2)
    third["cell_id"] = third["cell_id"] + "-2"
    two = pd.concat([two, third], ignore_index=True)
    noise = two["seed"].map({0: 0.001, 1: -0.002, 2: 0.001}).astype(float)
    for metric, base, shift in (("bits_per_token", 3.8, 0.0), ("kernel_distance", 0.7, -0.5)):
        rows = (two["metric"] == metric) & (two["kind"] == "quality")
        two.loc[rows, "value"] = base + (shift + noise[rows]).where(two["arm"] == "smdim", 0.0)
    return two


def timed_in_three_processes(folder, factor: float) -> None:
    """Raw step times of both arms at 2048 tokens in which smdim takes `factor` of the transformer's."""
    for arm, times in {"transformer": (10.0, 10.2, 10.1), "smdim": (10.01, 10.2, 10.1)}.items():
        raw = [one * (factor if arm == "smdim" else 1.0) for one in times]
        row = {"metric": "step_latency", "length": 2048, "raw": raw, "round_sizes": [1] * 3, "replicate_sizes": [1] * 3}
        (folder / f"efficiency-{arm}").mkdir(parents=True, exist_ok=True)
        (folder / f"efficiency-{arm}" / "measurements.jsonl").write_text(json.dumps(row) + "\n")


@pytest.mark.parametrize(
    ("factor", "time"),
    [
        (1.3, "time of a step no, 1.30 times"),
        (0.8, "time of a step yes, 20 %"),
        (1.0, "time of a step the same within 2 %"),
    ],
)
def test_each_half_of_the_question_is_answered_from_verdicts(pair, tmp_path, factor, time):
    timed_in_three_processes(tmp_path, factor)
    cost, music = words_of(pair, tmp_path)
    # 30 % fewer at 256 tokens; the transformer's FLOPs grow as L^1.4: 1 - 0.7 / 8^0.4
    assert cost == f"FLOPs yes, 70 %; {time}; memory: {CANNOT} (measured in one process per arm)."
    assert music == "Bits/token the same within 0.03; kernel distance better, by 0.50."


def test_what_timing_or_metric_cannot_show_is_said_once(pair, frame, tmp_path):
    cost, _ = words_of(pair, tmp_path)
    assert f"time of a step: {CANNOT} (no raw times of processes in the results folder)" in cost
    other = (pair["arm"] == "smdim") & (pair["kind"] == "efficiency")
    cost, _ = words_of(pair.assign(kernel=pair["kernel"].mask(other, "sdpa=flash")), tmp_path)
    assert f"time of a step: {CANNOT} (kernels differ)" in cost
    floor = pair[(pair["arm"] == "shuffled") & (pair["metric"] == "oa_mean")]
    blind = pd.concat([pair, floor.assign(metric="kernel_distance", auc=0.6)], ignore_index=True)
    assert f"kernel distance: {CANNOT} (real music is not separated from shuffled)" in words_of(blind, tmp_path)[1]
    _, two_seeds = words_of(frame, tmp_path)
    assert two_seeds.startswith(f"Bits/token: {CANNOT} (2 seeds of at least 3)")
    only_cost, only_music = frame[frame["kind"] == "efficiency"], frame[frame["kind"] != "efficiency"]
    assert words_of(only_cost, tmp_path)[1] == "Cannot tell here: no score was measured."
    assert words_of(only_music, tmp_path)[0] == "Cannot tell here: no cost was measured."


def test_several_arms_are_named_by_what_was_found_of_them(frame, tmp_path):
    cost, music = words_of(frame, tmp_path)
    assert cost.startswith(f"FLOPs: yes for smdim (70 %) and mamba (74 %), {CANNOT} for fam (oom);")
    assert music.endswith("no better than the grammar of tokens: fam.")


def test_an_open_comparison_shows_its_interval(pair, tmp_path):
    wide = (pair["metric"] == "bits_per_token") & (pair["arm"] == "smdim") & (pair["seed"] == 1)
    pair.loc[wide.fillna(False), "value"] += 1
    words = words_of(pair, tmp_path)[1]
    assert re.match(r"Bits/token open, -[\d.]+ to \+[\d.]+; kernel distance better, by 0\.50;", words)


def test_one_arm_is_compared_with_nothing(frame, tmp_path):
    alone = frame[(frame["arm"] == "transformer") | (frame["kind"] == "reference")]
    assert words_of(alone, tmp_path) == ("Nothing is compared: one arm only (transformer).",) * 2


def test_the_summary_has_eight_columns_and_numbers_directly_after_the_arm(frame, tmp_path):
    table = study_summary(frame, tmp_path)
    assert table.columns == (
        *("arm", "bits/token", "kernel distance", "step [ms]", "memory [GiB]", "GFLOPs"),
        *("params [M]", "direction"),
    )
    assert len(table.columns) == MOST_COLUMNS == 8
    assert [row[0].text for row in table.rows] == ["transformer", "smdim", "mamba", "fam", "(grammar)"]
    assert table.entry("mamba", "step [ms]").text == "96.0 [94.1, 97.9]"
    assert table.entry("mamba", "step [ms]").best and table.entry("fam", "step [ms]").text == "n/a"
    assert table.entry("smdim", "memory [GiB]").text == "1.12"  # of one process, so without an interval
    assert table.entry("(grammar)", "bits/token").text == "4.01"
    assert "† no better than the grammar of tokens (no fewer bits/token)." in table.notes
    costs = study_summary(frame[frame["kind"] == "efficiency"], tmp_path)
    assert costs.columns[1:6] == ("step [ms]", "memory [GiB]", "GFLOPs", "sample [s]", "training step [ms]")
    chosen = study_summary(frame, tmp_path, metrics=["oa_mean", "train_step_latency"])
    assert chosen.columns == ("arm", "OA mean", "training step [ms]", "params [M]", "direction")


def test_a_presentation_chooses_the_columns_and_the_caption_of_the_summary(frame, tmp_path):
    how = Presentation(columns=("oa_mean", "step_latency"), caption="Four arms on a CPU.")
    (table,) = report_tables(frame, tmp_path, "transformer", presentation=how)[SUMMARY]
    assert table.columns == ("arm", "OA mean", "step [ms]", "params [M]", "direction")
    assert table.caption == "Four arms on a CPU."


def test_a_presentation_chooses_the_lengths_of_the_efficiency_table(frame, tmp_path):
    for asked, shown in (((512, 2048), ["512", "2048"]), ((2048, 77), ["2048"]), ((), ["256", "512", "1024", "2048"])):
        (table,) = report_tables(frame, tmp_path, "transformer", presentation=Presentation(lengths=asked))[PAPER]
        assert list(dict.fromkeys(row[1].text for row in table.rows)) == shown


def test_a_length_of_another_device_alone_has_no_row_in_the_efficiency_table(frame, tmp_path):
    far = (frame["kind"] == "efficiency") & (frame["length"] == 2048)
    apart = frame.assign(device=frame["device"].where(~far, "slow"))
    (table,) = report_tables(apart, tmp_path, "transformer", presentation=Presentation(lengths=(512, 2048)))[PAPER]
    assert {row[1].text for row in table.rows} == {"512"}


def test_captions_say_seeds_pieces_device_and_what_the_brackets_are(pair, tmp_path):
    timed_in_three_processes(tmp_path, 1.0)
    assert study_summary(pair, tmp_path).caption == (
        "Scores: mean over 3 seeds; test side of demo/lieder at 512 tokens, 16 generated pieces per seed. Brackets of "
        "scores: 95 % t interval over seeds. Costs: at 2048 tokens, on cpu, 2 threads, batch 1, kernels scan=numba, "
        "sdpa=math. Brackets of times and memory: 95 % intervals over 3 processes per arm."
    )
    (table,) = efficiency_tables(pair, None, lengths=[2048])
    assert table.caption.endswith("Brackets of times: 95 % intervals over timed calls.")
    assert "Brackets" not in to_latex(table, form=ONE_COLUMN)  # which shows figures alone


def test_the_table_of_costs_keeps_every_length_in_one_and_in_two_columns(frame, tmp_path):
    (table,) = efficiency_tables(frame, tmp_path)
    assert table.columns[:3] == ("arm", "tokens", "step [ms]") and len(table.columns) == 8
    assert [row[1].text for row in table.rows[::4]] == ["256", "512", "1024", "2048"]
    for form in ({}, {"form": ONE_COLUMN}):
        text = to_latex(table, **form)
        assert text.count(r"\toprule") == 1, "columns are broken off into a second block"
        assert r"{l}{2048 tokens} \\" in text and "GFLOPs" in text and "368" in text
    assert r"\begin{table}[t]" in text and "table*" not in text and "[" + "361" not in text
    (table,) = efficiency_tables(frame, tmp_path, lengths=[2048], metrics=["step_latency", "forward_gflops"])
    assert table.columns == ("arm", "tokens", "step [ms]", "GFLOPs") and len(table.rows) == 4
    with pytest.raises(UserError, match="lengths 4096: not measured; measured are 256, 512, 1024, 2048"):
        efficiency_tables(frame, lengths=[4096])
    assert efficiency_tables(frame[frame["kind"] == "quality"]) == []


def test_page_and_text_have_one_order_and_every_fold_a_purpose(frame, results_folder):
    tables = report_tables(frame, results_folder, "transformer")
    drawn = dict.fromkeys(("learning", *FIRST_FIGURES), b"PNG")
    content = Content(frame, results_folder, "transformer", tables, drawn, [])
    page, text = html_report(content), markdown_report(content)
    question, folds = "What does the order of blocks do", [f"<strong>{one}</strong>: " for one in PURPOSES]
    in_text = [question, "**Cheaper", "**Music", "### Summary", "figures/cost.png", "figures/pareto.png", "to play"]
    places = [text.find(words) for words in [*in_text, *(one for one in folds if one in text)]]
    assert places == sorted(places) and min(places) >= 0
    assert text.index("figures/learning.png") > text.index(f"<strong>{Section.FIGURES}")
    in_page = [question, "<strong>Cheaper", "<strong>Music", 'id="table-summary"', "<figure", "<article", "<details"]
    places = [page.find(words) for words in in_page]
    assert places == sorted(places) and min(places) >= 0
    before = page[: page.index("<details")]
    assert before.count("<figure") == 2 and before.count("<article") == 4 and before.count("<table") == 1
    assert all(f'<span class="purpose">{PURPOSES[one]}' in page for one in (Section.COST, Section.CONFIGURATION))
    assert set(PURPOSES) == set(Section)


@pytest.mark.parametrize("kind", ["efficiency", "quality", "reference"])
def test_a_page_lacks_only_what_is_missing(frame, tmp_path, kind):
    rows = frame[frame["kind"] == kind]
    content = Content(rows, tmp_path, "transformer", report_tables(rows, tmp_path, "transformer"), {}, [])
    page, text = html_report(content), markdown_report(content)
    assert "cannot tell here" in page.casefold() and "cannot tell here" in text.casefold()
    assert "<p>No music to play: " in page


def test_words_say_what_is_so(frame):
    assert plus_minus(Entry("23.7 [6.0, 93.4]", 23.7, 6.0, 93.4)) == "23.7 [6.0, 93.4]"
    assert plus_minus(Entry("25.2 [22.5, 28.2]", 25.2, 22.5, 28.2)) == "25.2 ±3"
    assert plus_minus(Entry("n/a", math.nan)) == "n/a"
    assert [brief_direction(one) for one in ("no Mamba", "Mamba bidirectional (split)", "Mamba forward")] == [
        *("no recurrence", "both ways", "forward")
    ]
    better = next(one for one in in_short(frame, "transformer") if "settled" in one)
    assert better == (
        "Better than the grammar of tokens on average (fewer bits/token), not settled by these seeds: mamba."
    )


def test_the_terminal_shows_what_the_report_shows(pair, tmp_path):
    how = Presentation(columns=("oa_mean", "step_latency"), caption="Two arms.", numbers=NumberStyle.of("1234,5"))
    other = (pair["arm"] == "smdim") & (pair["kind"] == "efficiency")
    conflict = pair.assign(kernel=pair["kernel"].mask(other, "sdpa=flash"))
    printed = {}
    for force in (False, True):
        console = Console(record=True, width=200, file=io.StringIO())
        print_summary(conflict, tmp_path, console, force=force, presentation=how)
        printed[force] = console.export_text()
    assert "OA" in printed[True] and "GFLOPs" not in printed[True] and "Two arms." in printed[True]
    assert "0,787" in printed[True] and "0.787" not in printed[True]
    assert f"{CANNOT} (kernels differ)" in printed[False] and "(kernels differ)" not in printed[True]


def test_cells_of_arms_that_are_not_shown_are_no_failures(frame):
    frame = frame.assign(value=frame["value"].mask(frame["arm"] == "mamba"))
    assert failure_sentence(frame).startswith("3 of 13 cells gave no figure")
    assert failure_sentence(set_apart(frame, frame["arm"] == "mamba")) == ""


def test_a_caption_says_how_many_seeds_the_arms_have(pair):
    later = (pair["seed"] > 0).fillna(False)
    some, none = (study_summary(pair[~rows]).caption for rows in (later & (pair["arm"] == "smdim"), later))
    assert some.startswith("Scores: mean over 1 to 3 seeds;") and "t interval over seeds" in some
    assert none.startswith("Scores: one seed;") and "One seed has no interval." in none


def test_costs_are_answered_at_the_longest_length_of_the_baseline(frame, tmp_path):
    lost = (frame["arm"] == "transformer") & (frame["length"] == 2048)
    frame.loc[lost, ["value", "low", "high"]] = math.nan
    cost, _ = answers(frame, "transformer", tmp_path)
    assert cost.question == "Cheaper than transformer at 1024 tokens?"
    # 1 - 0.7 / 4^0.4, 1 - 0.6 / 4^0.4, 1 - 0.72 / 4^0.4
    assert cost.words.startswith("FLOPs: yes for smdim (60 %), mamba (66 %) and fam (59 %);")
    assert any("at 1024 tokens, as a multiple of transformer" in one for one in in_short(frame, "transformer"))


def test_columns_that_were_asked_for_and_are_not_shown_are_named(frame, tmp_path):
    metrics = ["novelty_longest_copy", *SUMMARY_METRICS]
    table = study_summary(frame, tmp_path, metrics=metrics)
    assert len(table.columns) == MOST_COLUMNS
    assert [note for note in table.notes if note.startswith("Asked for")] == [
        f"Asked for and not shown, without a figure here: {brief('novelty_longest_copy')}.",
        "Asked for and not shown, more than 5 columns: sample [s], training step [ms], training memory [GiB].",
    ]
    assert not any(note.startswith("Asked for") for note in study_summary(frame, tmp_path).notes)
