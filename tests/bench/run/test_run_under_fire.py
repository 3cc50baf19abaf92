"""The short form of `make faults`: a few cells, a few kills, two runners, and what a killed worker leaves."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "faults"))
import harness


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
def test_cells_survive_kills_and_two_runners_never_run_one_twice(tmp_path: Path, demo_music: Path) -> None:
    study = harness.write_study(tmp_path, ["transformer"], 1, f"folder:{demo_music / 'lieder'}")
    whole, fire = tmp_path / "whole", tmp_path / "fire"
    runners = [harness.start(study, whole, "--jobs", "1") for _ in range(2)]
    assert [runner.wait() for runner in runners] == [0, 0], (whole / "run.log").read_text()[-2000:]
    assert harness.attempts(whole) == dict.fromkeys(harness.attempts(whole), 1)
    assert len(harness.attempts(whole)) == 2

    report = harness.run_under_fire(study, fire, 2, random.Random(5), 3.0, "--jobs", "2", deadline_s=280)
    harness.compare(report, whole, fire)
    assert report.cells == 2
    assert len(report.kills) == 2
    assert report.clean, report


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
def test_synthetic_cells_survive_many_kills(tmp_path: Path) -> None:
    whole, fire = tmp_path / "whole", tmp_path / "fire"
    harness.run_whole(Path("6"), whole)
    report = harness.run_under_fire(Path("6"), fire, 5, random.Random(3), 0.8, deadline_s=280)
    harness.compare(report, whole, fire)
    assert (report.cells, len(report.kills), report.rows) == (6, 5, 36)
    assert report.clean, report
