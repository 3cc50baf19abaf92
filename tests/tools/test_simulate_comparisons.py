"""The simulation of comparisons: the same intervals as the models', and a short run of its limits."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import simulate_comparisons as simulation
from simulate_comparisons import Setting, draw, intervals, settings, shares

from metrics.statistics.blocks import BlockModel
from metrics.statistics.songs import SongModel

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "comparisons"
SONGS = {"songs": 25, "noise": 1.0}


def arms(table_AS):
    return {str(arm): dict(enumerate(row)) for arm, row in enumerate(table_AS.tolist())}


def test_blocks_are_those_of_the_model():
    drawn = draw(Setting(4, 3), 5, np.random.default_rng(1))
    base, pairs = intervals(drawn, "baseline"), intervals(drawn, "pairs")
    for table in range(5):
        model = BlockModel.fit(arms(drawn.values[table]))
        for found, of in ((model.against("0"), base), (model.pairs(), pairs)):
            assert [one.interval.half_width for one in found.values()] == pytest.approx(
                np.broadcast_to(of.half, of.value.shape)[table]
            )
            assert [one.value for one in found.values()] == pytest.approx(of.value[table])


@pytest.mark.parametrize("setting", [Setting(4, 3, songs=6, noise=1.0, song=2.0), Setting(2, 3, songs=6, noise=1.0)])
def test_songs_are_those_of_the_model(setting, monkeypatch):
    kept = {}
    made = simulation.song_sums
    monkeypatch.setattr(simulation, "song_sums", lambda *given: kept.setdefault("sums", made(*given)))
    drawn = draw(setting, 5, np.random.default_rng(1))
    base, pairs = intervals(drawn, "baseline"), intervals(drawn, "pairs")
    sums, tokens = kept["sums"]
    for table in range(5):
        totals = {
            str(arm): {
                seed: {str(song): (sums[table, arm, seed, song], tokens[table, arm, seed, song]) for song in range(6)}
                for seed in range(3)
            }
            for arm in range(setting.arms)
        }
        model = SongModel.fit(totals)
        for found, of in ((model.against("0"), base), (model.pairs(), pairs)):
            assert [one.interval.half_width for one in found.values()] == pytest.approx(of.half[table], rel=1e-5)
            assert [one.value for one in found.values()] == pytest.approx(of.value[table])


@pytest.mark.parametrize(
    "setting",
    [
        Setting(4, 3),
        Setting(9, 3, "lognormal"),
        Setting(4, 3, **SONGS, song=2.0),
        Setting(4, 5, seed=0.0, **SONGS),
        Setting(2, 3, **SONGS),
    ],
)
def test_a_short_run_keeps_the_limits(setting):
    found = shares(setting, 3000, 7)
    assert found["false call in either"] <= 0.06 and found["coverage of all pairs"] >= 0.93
    assert all(share <= 0.05 for name, share in found.items() if name.startswith("same at d"))
    if setting == Setting(4, 3):
        assert found["called at 3 sd"] >= 0.60 and found["called at 5 sd"] >= 0.95
        assert found["false call in either"] >= 0.04  # no wider than it has to be


def test_the_committed_table_has_every_setting_and_keeps_its_limits():
    with (REFERENCE / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    keys = ("arms", "seeds", "songs", "errors", "components")
    stored = {tuple(row[key] for key in keys) for row in rows}
    assert stored == {tuple(str(getattr(one, key)) for key in keys) for one in settings()}
    assert {row["tables"] for row in rows} == {"10000"}
    assert {row["met"] for row in rows if row["limit"]} == {"yes"}


def test_a_run_writes_table_and_page(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["simulate_comparisons.py", str(tmp_path), "--tables", "20"])
    monkeypatch.setattr(
        simulation, "settings", lambda: iter([Setting(4, 3), Setting(2, 3), Setting(4, 3, wide_last=3.0)])
    )
    simulation.main()
    page = (tmp_path / "README.md").read_text()
    assert page.startswith("# Simulated comparisons\n\n20 tables a setting") and "one arm x 3" in page
    assert len((tmp_path / "table.csv").read_text().splitlines()) > 30
