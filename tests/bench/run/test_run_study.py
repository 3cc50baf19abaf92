"""From a study file to figures, through the command itself; then again, damaged, and interrupted."""

import json
import math
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import Result
from harness import COMMAND, processes_of, wait_for
from typer.testing import CliRunner

import bench
from bench.cli import app
from bench.store.cells import CellFolder


def smdim_bench(folder: Path, *arguments: str) -> Result:
    """The command inside this process, which spares its start."""
    return CliRunner().invoke(app, [*arguments, "--results", str(folder / "results")])


def cells(folder: Path, kind: str) -> list[CellFolder]:
    return [CellFolder(path) for path in sorted(folder.glob(f"results/tiny/{kind}-*"))]


@pytest.mark.usefixtures("cells_here")
def test_a_tiny_study_from_yaml_to_figures_and_back(tiny_study: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "run", str(tiny_study)]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "5 cells to run" in first.stdout
    results = tmp_path / "results" / "tiny"
    frame = bench.load_results(results).frame
    cost = frame[(frame.metric == "step_latency") & (frame.kind == "efficiency")]
    assert sorted(zip(cost.arm, cost.length, strict=True)) == [
        ("smdim", 64), ("smdim", 128), ("transformer", 64), ("transformer", 128),
    ]  # fmt: skip
    assert (cost.value > 0).all()
    assert cost.session.nunique() == 1
    assert all("scan=" in kernel for kernel in cost[cost.arm == "smdim"].kernel)
    bits = frame[(frame.metric == "bits_per_token")].set_index("arm").value
    assert {"smdim", "transformer", "unigram", "bigram", "grammar"} <= set(bits.index)
    assert 4 < bits["smdim"] < 9  # eight steps: near uniform over 222 tokens, 7.8 bits
    assert bits["unigram"] > bits["bigram"] > bits["grammar"]
    assert set(frame[frame.kind == "reference"].arm) >= {"real-vs-real", "shuffled", "uniform-tokens"}
    assert ((frame.value.notna()) | (frame.reason != "")).all(), "a figure without a value must say why"
    for cell in cells(tmp_path, "quality"):
        assert len(list(cell.samples.glob("*.mid"))) == 4
        assert json.loads((cell.path / "environment.json").read_text())["libraries"]["torch"]
    report = (results / "report.md").read_text()
    for figure in ("cost", "bits", "rolls"):
        assert f"figures/{figure}.png" in report
        assert (results / "figures" / f"{figure}.png").stat().st_size > 5_000

    again = smdim_bench(tmp_path, "run", str(tiny_study), "--no-report")
    assert again.exit_code == 0, again.output
    assert "0 cells to run; 5 finished cells are kept" in again.stdout

    damaged = cells(tmp_path, "reference")[0]
    text = (damaged.path / "measurements.jsonl").read_text()
    (damaged.path / "measurements.jsonl").write_text(text[: len(text) // 2])
    third = smdim_bench(tmp_path, "run", str(tiny_study), "--no-report")
    assert "does not match its checksum; the cell is run again" in third.stdout.replace("\n", " ")
    assert "1 cells to run; 4 finished cells are kept" in third.stdout
    assert (damaged.path / "measurements.jsonl").read_text() == text

    status = smdim_bench(tmp_path, "status", "tiny")
    assert status.exit_code == 0
    assert "5 done" in status.stdout


@pytest.mark.usefixtures("cells_here", "no_figures")
def test_a_failing_arm_is_a_row_and_the_rest_goes_on(tiny_study: Path, tmp_path: Path) -> None:
    text = tiny_study.read_text().split("measure:")[0] + "measure:\n  quality: {}\n"
    text = text.replace("arm: [smdim, transformer]", "train.learning_rate: [0.001, 1.0e+30]")
    tiny_study.write_text(text)
    run = smdim_bench(tmp_path, "run", str(tiny_study))
    assert run.exit_code == 1 and isinstance(run.exception, SystemExit)
    assert "Traceback" not in run.output
    frame = bench.load_results(tmp_path / "results" / "tiny").frame
    failed = frame[(frame.kind == "quality") & (frame.status != "done")]
    assert set(failed.arm) == {"transformer learning_rate=1e+30"}
    assert failed.value.map(math.isnan).all()
    assert (failed.reason != "").all()
    assert set(frame[(frame.kind == "quality") & (frame.status == "done")].arm) == {"transformer learning_rate=0.001"}
    assert (tmp_path / "results" / "tiny" / "report.md").is_file()


@pytest.mark.usefixtures("cells_here")
def test_a_run_struck_twice_keeps_what_was_finished_and_resumes(tiny_study: Path, tmp_path: Path) -> None:
    text = tiny_study.read_text().split("measure:")[0] + "measure:\n  quality: {}\n"
    text = text.replace("steps: 8, batch: 4", "steps: 400, batch: 4").replace("[smdim, transformer]", "[transformer]")
    tiny_study.write_text(text)
    output = errors = ""
    for blow in (signal.SIGKILL, signal.SIGINT):
        output, errors = strike(tiny_study, tmp_path, blow)
    assert errors == "finished cells are kept; the same command goes on from there\nsmdim-bench: interrupted\n"
    assert "1 cells to run; 1 finished cells are kept" in output
    again = smdim_bench(tmp_path, "run", str(tiny_study), "--no-report")
    assert again.exit_code == 0, again.output
    assert "1 cells to run; 1 finished cells are kept" in again.output


def strike(study: Path, folder: Path, blow: signal.Signals) -> tuple[str, str]:
    """Run a study, end the command by `blow` while its quality cell trains; what it printed."""
    began = time.time()
    process = subprocess.Popen(
        [*COMMAND, "run", str(study), "--jobs", "1"],  # the reference first: beside it the training might end before it
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores Ctrl-C
    )
    wait_for(lambda: any(cell.status().state == "done" for cell in cells(folder, "reference")))
    wait_for(lambda: any(written_since(cell.path / "history.jsonl", began) for cell in cells(folder, "quality")))
    process.send_signal(blow)
    output, errors = process.communicate()
    assert process.returncode == (130 if blow == signal.SIGINT else -signal.SIGKILL)
    (struck,) = cells(folder, "quality")
    wait_for(lambda: not processes_of(struck.path))
    assert struck.status().state == "running"
    return output, errors


def written_since(path: Path, moment: float) -> bool:
    return path.exists() and path.stat().st_mtime > moment
