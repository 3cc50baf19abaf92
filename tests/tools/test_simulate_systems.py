"""The simulation of systems: the figures of the metric itself, and the committed table within its limits."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import simulate_systems as simulation

from metrics import Notes, kernel_distance

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "comparisons" / "systems.csv"


def pieces(count: int, low: int, seed: int) -> list[Notes]:
    generator = np.random.default_rng(seed)
    return [
        Notes.from_arrays(np.arange(24) / 2, np.full(24, 0.5), low + generator.integers(0, 12, 24), name=f"{seed}-{k}")
        for k in range(count)
    ]


def test_figures_are_those_of_the_metric():
    pools, train = {simulation.REAL: pieces(5, 60, 0), "other": pieces(4, 64, 1)}, pieces(8, 60, 2)
    made = simulation.Simulation(pools, train)
    figure = made.figure(made.rows["other"], made.rows[simulation.REAL])
    result = kernel_distance(pools["other"], pools[simulation.REAL], train)
    assert figure.value == pytest.approx(result.value)
    for mine, theirs in zip(figure.without, result.without, strict=True):
        assert sorted(mine) == pytest.approx(sorted(theirs))


def test_the_committed_table_makes_no_more_false_calls_than_one_in_twenty():
    rows = list(csv.DictReader(REFERENCE.open()))
    assert len(rows) == 36 and {row["draws"] for row in rows} == {"2000"}
    assert all(float(row["called"]) <= 0.06 for row in rows if row["equal"] == "True")
    large = [row for row in rows if row["systems"] == "real / real, 100% pitches-shuffled"]
    assert [float(row["called"]) > 0.95 for row in large] == [True] * 3
