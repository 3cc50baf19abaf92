"""Comparisons: verdicts by one rule in every table, no false call among equal arms, what few seeds leave open."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_arms import ARMS, bits_of, fixed, shared_seeds, study_of, verdicts

from bench.report.analysis.changes import changes
from bench.report.analysis.comparisons import compare, compared
from bench.report.analysis.machines import Machine, compared_pool, pooled_quality
from bench.report.analysis.models import scores
from bench.report.pages.answers import answers
from bench.report.pages.sentences import verdict_sentences
from bench.report.rows.frame import as_frame
from bench.report.rows.summaries import Summaries, quality_summaries, reference_summaries
from bench.report.tables.comparisons import comparison_tables, rank_tables
from bench.report.tables.quality import quality_tables
from bench.store.vectors import Vector, write_vectors
from metrics.cost.quantities import TRAINING_TIME
from metrics.headlines import PRIMARY
from metrics.quantities import quantity_of
from metrics.statistics.differences import primary_level


def test_one_and_two_seeds_leave_everything_open_and_name_the_seeds_needed():
    one = fixed((5.0,), (1.0,), (3.0,), (4.0,))
    assert set(verdicts(one).values()) == {"open: one seed has no interval; at least 3 seeds"}
    two = fixed((5.0, 5.1), (1.0, 1.11), (3.0, 3.12), (4.99, 5.1))
    found = verdicts(two)
    assert found["smdim"] == "open (2 seeds): 3 seeds would decide"
    assert found["fam"].startswith("open (2 seeds): ") and found["fam"].endswith("seeds would decide")
    assert bits_of(two).best == "" and not any(entry.best for row in quality_tables(two)[0].rows for entry in row)


def with_seconds(alone: pd.DataFrame) -> pd.DataFrame:
    """These rows with times of trainings, of which smdim and mamba share theirs."""
    seconds = {"transformer": 50.1, "smdim": 60.7, "mamba": 60.7, "fam": 60.9}  # mamba has smdim's trainings
    trained = [
        {"cell_id": f"{arm}-{seed}", "kind": "quality", "arm": arm, "metric": TRAINING_TIME, "seed": seed}
        | {"value": second + seed}
        for arm, second in seconds.items()
        for seed in range(3)
    ]
    return as_frame(pd.concat([alone, pd.DataFrame(trained)], ignore_index=True))


def test_one_network_under_two_names_is_compared_once_and_narrows_no_interval():
    alone = fixed((4.0, 4.5, 4.1), (3.7, 4.1, 3.9), (3.7, 4.1, 3.9), (4.2, 4.0, 4.4))
    assert set(verdicts(alone)) == {"smdim", "mamba", "fam"}, "equal figures of two trainings are two arms"
    twice = with_seconds(alone)
    once = twice[twice.arm != "mamba"]
    assert verdicts(twice) == verdicts(once) and set(verdicts(twice)) == {"smdim", "fam"}
    for baseline in ("smdim", "mamba"):
        found, expected = bits_of(twice).against(baseline), bits_of(once).against("smdim")
        assert [(one.arm, one.difference.interval) for one in found if one.difference] == [
            (one.arm, one.difference.interval) for one in expected if one.difference
        ]
    assert [one.arm for one in bits_of(twice).places] == [one.arm for one in bits_of(once).places]
    assert "mamba has the figures of smdim in every seed" in bits_of(twice).note
    hidden = replace(bits_of(twice), summaries=bits_of(twice).summaries.where(arm=("transformer", "mamba")))
    assert [one.arm for one in hidden.against("transformer")] == ["mamba"]


def test_two_studies_and_two_machines_take_a_network_under_two_names_once(tmp_path: Path) -> None:
    before = with_seconds(fixed((4.0, 4.5, 4.1), (3.7, 4.1, 3.9), (3.7, 4.1, 3.9), (4.2, 4.0, 4.4)))
    after = with_seconds(fixed((4.1, 4.4, 4.3), (3.2, 3.7, 3.4), (3.2, 3.7, 3.4), (4.1, 4.2, 4.3)))

    def judged(*frames: pd.DataFrame) -> dict[str, str]:
        return {one.first.arm: one.verdict for one in changes(*frames) if one.first.metric == PRIMARY[0]}

    once = judged(*(frame[frame.arm != "mamba"] for frame in (before, after)))
    assert judged(before, after) == once | {"mamba": once["smdim"]} and once["smdim"] == "better"
    machines = [Machine("A", tmp_path, before.assign(version="metrics9"))]
    (bits, *_) = compared_pool(pooled_quality(machines), machines)
    assert bits.repeats == {"mamba": "smdim"}


def test_three_seeds_decide_large_differences_and_every_place_says_the_same():
    frame = fixed((4.0, 4.2, 4.1), (3.01, 3.2, 3.1), (4.5, 4.69, 4.6), (4.0, 4.21, 4.1))
    assert verdicts(frame) == {"smdim": "better", "mamba": "worse", "fam": "same within 0.03"}
    (differences,) = comparison_tables(frame, "transformer")
    row = next(row for row in differences.rows if row[0].text == "smdim - transformer: Test [bits/token]")
    # error of the block model: residuals of +-1/600 and so on, 6 degrees of freedom
    assert row[1].value == pytest.approx(-0.99667, abs=1e-5) and row[1].high < 0 and row[6].text == "better"
    assert row[2].low == pytest.approx(row[1].value - 6.205347 * np.std([0.99, 1.0, 1.0], ddof=1) / math.sqrt(3))
    (ranks,) = rank_tables(frame)
    places = {row[0].text.split(":")[0]: row[2].text for row in ranks.rows if "Test" in row[0].text}
    assert places == {"smdim": "1 to 1", "transformer": "2 to 3", "fam": "2 to 3", "mamba": "4 to 4"}
    (quality,) = quality_tables(frame)
    assert [row[0].text for row in quality.rows if row[1].best] == ["smdim"]
    words = verdict_sentences(frame, "transformer")[0]
    assert words.startswith("Test [bits/token], against transformer: better: smdim -0.997 [")
    assert "worse: mamba +0.4" in words and "same within 0.03: fam +0.003" in words
    assert words.endswith("smdim is better than every other arm.")


def test_sentences_on_several_settings_name_what_differs_between_them():
    short = fixed((4.0, 4.2, 4.1), (3.01, 3.2, 3.1), (4.5, 4.69, 4.6), (4.0, 4.21, 4.1)).assign(corpus="demo/lieder")
    long = short.assign(cell_id=short["cell_id"] + "-long")
    frame = pd.concat([short.assign(length=512), long.assign(length=2048)], ignore_index=True)
    sentences = [words for words in verdict_sentences(frame, "transformer") if words.startswith("Test [bits/token]")]
    begins = [words.partition(", against transformer: ")[0] for words in sentences]
    assert begins == ["Test [bits/token] (L = 512)", "Test [bits/token] (L = 2048)"]
    (_, music) = answers(frame, "transformer")
    assert "Bits/token (L = 512): better for smdim" in music.words and "bits/token (L = 2048): better" in music.words
    (differences,) = comparison_tables(frame, "transformer")
    assert any(note.startswith("Test [bits/token] (L = 2048), all arms") for note in differences.notes)
    assert "demo/lieder" not in " ".join([*sentences, music.words, *differences.notes])


@pytest.mark.parametrize(("area", "bold"), [(0.95, ["smdim"]), (0.5, [])])
def test_nothing_is_bold_where_a_floor_is_not_separated(area: float, bold: list[str]):
    frame = fixed((4.0, 4.2, 4.1), (3.01, 3.2, 3.1), (4.5, 4.69, 4.6), (4.0, 4.21, 4.1))
    floor = {"cell_id": "r", "kind": "reference", "arm": "shuffled", "metric": PRIMARY[0], "value": 9.0, "auc": area}
    (quality,) = quality_tables(as_frame(pd.concat([frame, pd.DataFrame([floor])], ignore_index=True)))
    assert [row[0].text for row in quality.rows if row[1].best] == bold


def test_a_small_sure_difference_is_better_by_less_than_matters():
    frame = fixed((4.0, 4.2, 4.1), (3.99, 4.19, 4.09), (4.5, 4.7, 4.601), (4.0, 4.2, 4.1))
    assert verdicts(frame)["smdim"] == "better by less than matters"


def test_the_margin_of_the_study_decides_what_is_the_same(tmp_path: Path):
    frame = fixed((4.0, 4.2, 4.1), (4.05, 4.2, 4.12), (4.01, 4.23, 4.1), (4.0, 4.21, 4.12))
    assert verdicts(frame)["smdim"].startswith("open: ")
    (tmp_path / "study.json").write_text(json.dumps({"study": {"matters": {"bits_per_token": 0.2}}}))
    assert verdicts(frame, tmp_path)["smdim"] == "same within 0.2"
    (table,) = comparison_tables(frame, "transformer", tmp_path)
    assert table.entry("smdim - transformer: Test [bits/token]", "matters from").value == 0.2


def test_arms_without_common_seeds_or_without_seeds_are_open_and_say_so():
    frame = fixed((4.0, 4.1, math.nan), (math.nan, math.nan, 4.2), (4.0, 4.1, 4.2), (4.0, 4.2, 4.1))
    assert verdicts(frame)["smdim"] == "open: no seed in common"
    frame.loc[frame["arm"] == "fam", "seed"] = pd.NA
    assert verdicts(frame)["fam"] == "open: not repeated over seeds"
    (table,) = comparison_tables(frame, "transformer")
    assert any("smdim lacks seed 0, 1" in note for note in table.notes)


def test_one_arm_is_told_so_and_a_baseline_without_a_figure_too():
    frame = fixed((4.0, 4.1, 4.2), (4.0, 4.1, 4.2), (4.0, 4.1, 4.2), (4.0, 4.2, 4.1))
    alone = frame[frame["arm"] == "fam"].reset_index(drop=True)
    assert comparison_tables(alone, "fam") == []
    assert verdict_sentences(alone, "fam")[0] == ("Test [bits/token]: one arm only (fam), so nothing is compared.")
    assert comparison_tables(frame, "gru") == []
    assert "gru has no figure, so nothing is compared with it" in verdict_sentences(frame, "gru")[0]
    without = frame.assign(value=math.nan, reason="no held-out side")
    assert verdict_sentences(without, "fam") == [
        "Nothing is compared: no arm has a figure of a primary metric; the reasons stand under Failures."
    ]


def test_an_arm_that_spreads_more_widely_and_the_test_of_all_arms_stand_in_the_notes():
    frame = fixed((4.0, 4.2, 4.1), (3.0, 3.2, 3.1), (4.5, 4.7, 4.601), (4.0, 5.2, 3.1))
    notes = comparison_tables(frame, "transformer")[0].notes
    assert any("unequal spread: fam varies three times as much" in note for note in notes)
    assert any("that they are equal (permutation of arms within seeds, 576 arrangements)" in note for note in notes)


def with_windows(folder: Path, spread: float) -> pd.DataFrame:
    """Three seeds of four arms whose cells hold two windows of each of six songs; a song's bits/token of smdim differ
    from the others' by 0.5 and +-`spread`; the arms' seeds hardly differ."""
    bits = np.zeros((4, 3))
    for place, arm in enumerate(ARMS):
        for seed in range(3):
            vectors = []
            for window in range(12):
                song = window // 2
                nats = 2.0 + 0.1 * song + 1e-3 * ((place * seed) % 3)
                nats -= (0.5 + spread * (-1) ** song) / math.log2(math.e) if arm == "smdim" else 0.0
                vectors.append(Vector("nats", "test", window, f"song {song}", 64, 100 * nats, 100.0))
            (folder / f"{arm}-{seed}").mkdir()
            write_vectors(folder / f"{arm}-{seed}", vectors)
            bits[place, seed] = sum(one.value for one in vectors) / 1200 / math.log(2)
    values = np.zeros((len(PRIMARY), 4, 3))
    values[0] = bits
    return study_of(values)


def test_bits_per_token_is_judged_over_songs_too_where_the_cells_hold_windows(tmp_path: Path):
    for name, spread, word in (("alike", 0.01, "better"), ("apart", 2.0, "open")):
        (tmp_path / name).mkdir()
        frame = with_windows(tmp_path / name, spread)
        assert verdicts(frame)["smdim"] == "better", "over seeds alone"
        model = bits_of(frame, tmp_path / name)
        found = next(one for one in model.against("transformer") if one.arm == "smdim")
        printed = frame[frame["metric"] == PRIMARY[0]].groupby("arm")["value"].mean()
        assert found.difference.value == pytest.approx(printed["smdim"] - printed["transformer"])
        assert (found.verdict.word, model.songs) == (word, 6)
    assert "songs" in found.words, "more songs, not more seeds"
    (differences,) = comparison_tables(frame, "transformer", tmp_path / "apart")
    assert differences.entry("smdim - transformer: Test [bits/token]", "songs").value == 6
    (tmp_path / "apart" / "mamba-1" / "vectors.parquet").unlink()
    (differences,) = comparison_tables(frame, "transformer", tmp_path / "apart")
    assert any("1 of 12 cells hold no windows of bits/token" in note for note in differences.notes)
    assert differences.entry("smdim - transformer: Test [bits/token]", "songs").text == "fixed"


def test_only_primary_metrics_are_compared():
    assert {one.quantity.name for one in compared(study_of(shared_seeds(np.random.default_rng(0), 3)))} == set(PRIMARY)


def test_equal_arms_are_called_different_in_at_most_six_percent_of_400_tables():
    """Differences, ranks and bold together, over all primary metrics; 0.05 is expected at most."""
    generator, false = np.random.default_rng(20260), 0
    rows = quality_summaries(study_of(np.zeros((len(PRIMARY), 4, 3))))
    for _ in range(400):
        calls = []
        for metric, values in zip(PRIMARY, shared_seeds(generator, 3), strict=True):
            drawn = [
                replace(one, values=tuple(row)) for one, row in zip(rows.where(metric=metric), values, strict=True)
            ]
            model = compare(Summaries(drawn), Summaries(), primary_level(len(PRIMARY)))
            against = model.model.against("transformer", model.level).values()
            calls += [bool(model.best), *(one.side != 0 for one in against)]
        false += any(calls)
    assert 0 < false <= 24


def nearest_frame(metric: str, ceiling: float | None) -> pd.DataFrame:
    """Ten seeds of two arms on one metric: "low" at 0, "high" at 1 on average, and the row of real music."""
    luck = np.random.default_rng(4).normal(scale=0.01, size=10)
    rows = [
        {"cell_id": f"{arm}-{seed}", "kind": "quality", "arm": arm, "metric": metric, "seed": seed, "value": at + one}
        for arm, at in (("low", 0.0), ("high", 1.0))
        for seed, one in enumerate(luck)
    ]
    if ceiling is not None:
        rows.append({"cell_id": "r", "kind": "reference", "arm": "real-vs-real", "metric": metric, "value": ceiling})
    return as_frame(pd.DataFrame(rows))


@pytest.mark.parametrize(("ceiling", "best"), [(0.2, "low"), (0.9, "high"), (None, None)])
def test_a_metric_that_is_best_near_real_music_ranks_by_the_distance(monkeypatch, ceiling, best):
    metric = "pitch_outliers_percentile"
    assert quantity_of(metric).better == "nearest"
    monkeypatch.setattr("bench.report.analysis.comparisons.PRIMARY", (metric,))
    frame = nearest_frame(metric, ceiling)
    assert [one.best for one in compared(frame)] == [best or ""]
    tables = rank_tables(frame)
    assert [row[0].text.split(":")[0] for table in tables for row in table.rows[:1]] == ([best] if best else [])
    if best:
        assert tables[0].rows[0][3].value == pytest.approx(float(best == "high"), abs=0.02)  # the mean, no distance


def test_a_metric_without_a_better_way_names_no_arm():
    frame = nearest_frame("novelty_longest_copy", 0.2)
    assert scores(quality_summaries(frame), reference_summaries(frame)) == {}


def test_only_metrics_with_a_better_way_of_their_own_are_primary():
    assert {quantity_of(metric).better for metric in PRIMARY} <= {"lower", "higher"}


def test_where_the_baseline_has_no_figure_its_variant_there_takes_its_place(tmp_path: Path) -> None:
    """As where each process has a sampler of its own: `transformer whole` where `transformer ar` is not."""
    values = shared_seeds(np.random.default_rng(2), 4)
    values[0, 1] -= 20.0  # smdim is better
    parts = [study_of(values).assign(corpus=process) for process in ("ar", "whole")]
    for process, part in zip(("ar", "whole"), parts, strict=True):
        part["arm"] += f" {process}"
        part["cell_id"] += f"-{process}"
    frame = as_frame(pd.concat(parts, ignore_index=True).drop(columns=["study_arm", "place", "colour", "axes"]))
    found = verdict_sentences(frame, "transformer ar", tmp_path)
    assert [words.partition(": better: smdim ")[0] for words in found[:: len(PRIMARY)]] == [
        f"Test [bits/token] (corpus {process}), against transformer {process}" for process in ("ar", "whole")
    ]
    table = comparison_tables(frame, "transformer ar")[0]
    assert table.title == "Differences from transformer ar, transformer whole"
    assert {row[0].text.partition(":")[0] for row in table.rows} >= {"smdim whole - transformer whole"}
    music = answers(frame, "transformer ar", tmp_path)[1].words
    assert "(corpus whole) against transformer whole: better for smdim whole" in music, music
    [one, *_] = (one for one in compared(frame) if one.group[0] == "whole")
    assert [one.baseline(name) for name in ("fam ar", "fam whole", "other ar")] == [
        "fam whole",
        "fam whole",
        "other ar",
    ]
