"""`make faults`: a study of 40 cells under 50 kills, two runners on one folder. Minutes; prints what it found."""

import random
import subprocess
import time
from pathlib import Path

import harness
import pytest

pytestmark = pytest.mark.slow
SEED = 20261122
ARMS = ["smdim", "transformer", "mamba"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, float]:
    """Study file, folder and seconds of a run that nothing disturbs, one cell at a time."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study = harness.write_study(folder, ARMS, 13)
    return study, folder, harness.run_whole(study, folder, "--jobs", "1")


def test_forty_cells_survive_fifty_kills(undisturbed: tuple[Path, Path, float], tmp_path: Path) -> None:
    study, whole, _ = undisturbed
    draw = random.Random(SEED)
    report = harness.run_under_fire(study, tmp_path, 50, draw, 3.0, "--jobs", "2")
    harness.compare(report, whole, tmp_path)
    print(f"\nfaults: {report}")
    assert report.cells == 40
    assert len(report.kills) == 50
    assert report.clean, report


def test_forty_synthetic_cells_survive_fifty_kills(tmp_path: Path) -> None:
    whole, fire = tmp_path / "whole", tmp_path / "fire"
    harness.run_whole(Path("40"), whole)
    report = harness.run_under_fire(Path("40"), fire, 50, random.Random(SEED), 0.3)
    harness.compare(report, whole, fire)
    print(f"\nfaults, synthetic cells: {report}")
    assert report.cells == 40
    assert len(report.kills) == 50
    assert report.clean, report


def test_two_runners_share_forty_cells(undisturbed: tuple[Path, Path, float], tmp_path: Path) -> None:
    study, whole, alone_s = undisturbed
    side_by_side = cost_of_company()
    began = time.monotonic()
    runners = [harness.start(study, tmp_path, "--jobs", "1") for _ in range(2)]
    assert [runner.wait() for runner in runners] == [0, 0], (tmp_path / "run.log").read_text()[-2000:]
    together_s = time.monotonic() - began
    report = harness.compare(harness.Report(), whole, tmp_path)
    attempts = harness.attempts(tmp_path)
    print(
        f"\ntwo runners: {report.cells} cells, begun {sum(attempts.values())} times, {together_s:.0f} s against "
        f"{alone_s:.0f} s of one ({together_s / alone_s:.2f}); two computing processes side by side take "
        f"{side_by_side:.2f} of one after the other"
    )
    assert report.clean, report
    assert set(attempts.values()) == {1}, attempts


def cost_of_company() -> float:
    """Time of two single-thread processes at once over that of one after the other: 0.5 on two free cores."""
    work = [*harness.COMMAND[:1], "-c", "x = 0\nfor i in range(20_000_000): x += i * i"]
    began = time.monotonic()
    for _ in range(2):
        subprocess.run(work, check=True)
    apart_s = time.monotonic() - began
    began = time.monotonic()
    for process in [subprocess.Popen(work) for _ in range(2)]:
        process.wait()
    return (time.monotonic() - began) / apart_s
