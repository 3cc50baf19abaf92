"""The short form of `make faults`: a few cells, a few kills, two runners, and what a killed worker leaves."""

import random
import sys
from pathlib import Path

import harness
import pytest
from typer.testing import CliRunner

from bench.cli import app

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")


@pytest.mark.usefixtures("cells_here")
def test_cells_survive_kills(tmp_path: Path, dichterliebe: Path) -> None:
    study = harness.write_study(tmp_path, ["transformer"], 1, f"folder:{dichterliebe}")
    whole, fire = tmp_path / "whole", tmp_path / "fire"
    done = CliRunner().invoke(app, ["run", str(study), "--no-report", "--results", str(whole / "results")])
    assert done.exit_code == 0, done.output

    report = harness.run_under_fire(study, fire, 2, random.Random(5), 3.0, "--jobs", "2")
    harness.compare(report, whole, fire)
    assert report.cells == 2
    assert len(report.kills) == 2
    assert report.clean, report


def test_synthetic_cells_survive_many_kills_and_two_runners_never_run_one_twice(tmp_path: Path) -> None:
    whole, fire = tmp_path / "whole", tmp_path / "fire"
    runners = [harness.start(Path("6"), whole) for _ in range(2)]
    assert [runner.wait() for runner in runners] == [0, 0], (whole / "run.log").read_text()[-2000:]
    assert list(harness.attempts(whole).values()) == [1] * 6

    report = harness.run_under_fire(Path("6"), fire, 5, random.Random(3), 0.8)
    harness.compare(report, whole, fire)
    assert (report.cells, len(report.kills), report.rows) == (6, 5, 36)
    assert report.clean, report
