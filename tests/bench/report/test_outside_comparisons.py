"""Comparisons of trained arms with the music of other systems, over its pieces."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench.report.analysis.comparisons import Compared, compared
from bench.report.analysis.prospects import done_in, done_so_far
from bench.report.rows.frame import as_frame
from bench.report.tables.comparisons import comparison_tables
from bench.report.tables.summary import study_summary
from bench.store.vectors import Vector, write_vectors
from metrics.headlines import PRIMARY


def outside_study(
    folder: Path, *, vectors: bool = True, seeds: int = 3, smdim: float | None = None, songs: int | None = None
) -> pd.DataFrame:
    """A trained arm of some seeds, `smdim` beside it where its figure is given, and two folders of music, with their
    kernel distances without each piece and without each song of the reference."""
    cells = {f"transformer-{seed}": ("transformer", seed, 0.5 + 0.01 * seed) for seed in range(seeds)}
    if smdim is not None:
        cells |= {f"smdim-{seed}": ("smdim", seed, smdim + 0.01 * seed) for seed in range(seeds)}
    cells |= {"ar": ("ar", None, 0.010), "mdlm": ("mdlm", None, 0.012)}
    rows = []
    for cell, (arm, seed, value) in cells.items():
        (folder / cell).mkdir(parents=True)
        named = {"cell_id": cell, "kind": "quality", "arm": arm, "metric": PRIMARY[1], "seed": seed, "value": value}
        rows.append(named | {"length": 64, "corpus": "c", "sampler": "" if seed is None else "cached", "songs": songs})
        moves = [("without_piece", 0.001), ("without_reference_song", 0.2)]  # the reference moves all alike
        found = [
            Vector(PRIMARY[1], side, place, "", 64, value + (-1) ** place * size)
            for side, size in moves
            for place in range(4 if songs is None else min(songs, 50))
        ]
        if vectors:
            write_vectors(folder / cell, found)
    return as_frame(pd.DataFrame(rows))


def kernel_against(frame: pd.DataFrame, folder: Path | None, baseline: str) -> dict[str, str]:
    (one,) = (one for one in compared(frame, folder) if one.quantity.name == PRIMARY[1])
    return {arm.arm: arm.words for arm in one.against(baseline)}


def test_music_of_another_system_is_compared_over_its_pieces(tmp_path: Path):
    frame = outside_study(tmp_path)
    assert kernel_against(frame, tmp_path, "transformer") == {"ar": "better", "mdlm": "better"}
    # ar - mdlm: -0.002 +- t(3) of one of two comparisons, 4.1765, times sqrt(2 * 3/4 * 4 * 0.001 ** 2)
    (one,) = compared(frame, tmp_path)
    ours = next(arm for arm in one.against("ar") if arm.arm == "mdlm").difference
    assert ours is not None and (ours.unit, ours.seeds) == ("song", 4)
    assert ours.interval.half_width == pytest.approx(4.1765 * math.sqrt(6e-6), rel=1e-4)
    assert kernel_against(frame, tmp_path, "ar")["transformer"] == "worse"
    (table,) = comparison_tables(frame, "ar", tmp_path)
    assert [(row[0].text.split()[0], row[3].text, row[4].text) for row in table.rows] == [
        ("transformer", "3", "4"),
        ("mdlm", "none", "4"),
    ]


def test_what_other_music_cannot_be_compared_by_is_said(tmp_path: Path):
    one = outside_study(tmp_path / "one", seeds=1)
    assert kernel_against(one, tmp_path / "one", "transformer")["ar"] == "open: 1 seed"
    old = outside_study(tmp_path / "old", vectors=False)
    assert kernel_against(old, tmp_path / "old", "transformer")["ar"].startswith(
        "open: its cells hold no figure without"
    )
    assert kernel_against(old, None, "transformer")["ar"] == "open: not repeated over seeds"


def kernel_of(frame: pd.DataFrame, folder: Path) -> Compared:
    return next(one for one in compared(frame, folder) if one.quantity.name == PRIMARY[1])


def test_the_best_arm_is_better_than_those_without_seeds_too(tmp_path: Path):
    behind = outside_study(tmp_path / "behind", smdim=0.1)
    assert {pair: one.side for pair, one in kernel_of(behind, tmp_path / "behind").pairs.items()} == {
        ("transformer", "smdim"): 1
    }
    assert kernel_of(behind, tmp_path / "behind").best == ""  # ar has 0.010
    before = outside_study(tmp_path / "before", smdim=-0.5)
    assert kernel_of(before, tmp_path / "before").best == "smdim"


def test_a_seed_that_failed_leaves_the_others(tmp_path: Path):
    frame = outside_study(tmp_path, seeds=4)
    frame.loc[frame["seed"] == 3, "value"] = math.nan
    assert kernel_against(frame, tmp_path, "transformer") == {"ar": "better", "mdlm": "better"}
    frame.loc[frame["seed"] > 0, "value"] = math.nan
    assert kernel_against(frame, tmp_path, "transformer")["ar"] == "open: 1 seed"


def test_an_arm_that_is_not_shown_changes_no_interval_of_other_music(tmp_path: Path):
    frame = outside_study(tmp_path, smdim=0.1)
    whole = kernel_of(frame, tmp_path)
    shown = replace(whole, summaries=whole.summaries.where(arm=["transformer", "ar"]))
    for baseline, arm in (("transformer", "ar"), ("ar", "transformer")):
        both = [next(found for found in one.against(baseline) if found.arm == arm) for one in (whole, shown)]
        assert both[0].difference == both[1].difference


def test_songs_in_groups_are_counted_by_the_pieces_of_other_music(tmp_path: Path):
    frame = outside_study(tmp_path, songs=80)
    ours = next(arm for arm in kernel_of(frame, tmp_path).against("ar") if arm.arm == "mdlm").difference
    assert ours is not None and (ours.unit, ours.seeds) == ("song", 80)


def test_other_music_has_no_seeds_done(tmp_path: Path, passed_on: Callable[..., Path]):
    folder = passed_on(tmp_path, outside_study(tmp_path), baseline={"arm": "ar"})
    rows = {arm: seeds for _, arm, seeds, _, _ in done_so_far(done_in(folder))}
    assert rows == {"transformer": "3", "mdlm": "none"}


@pytest.mark.parametrize("first", ["transformer", "mdlm"])
def test_music_of_another_system_stands_in_the_summary_beside_the_arms(tmp_path: Path, first: str):
    frame = outside_study(tmp_path)
    frame = frame.sort_values("arm", key=lambda arms: arms != first, kind="stable").reset_index(drop=True)
    table = study_summary(frame)
    values = {row[0].text: row[1].value for row in table.rows}
    assert values == {"transformer": pytest.approx(0.51), "ar": 0.010, "mdlm": 0.012}
    assert not any("further settings" in note for note in table.notes)
    alone = study_summary(frame[frame["arm"] != "transformer"])
    assert {row[0].text: row[1].value for row in alone.rows} == {"ar": 0.010, "mdlm": 0.012}
