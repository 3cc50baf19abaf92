"""Steps of the first minutes on a device: their limits, what is kept of one that does not end well, the summary."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import first_scans
import first_steps
import psutil
import pytest
import torch
from first_figures import TINY, Figures
from first_minutes import MOST_LINES, STEPS, Outcome, Step, end_all, main, run_steps, summary, worst

from bench.child import Child

ROW = {"what": "scan", "value": 2.0, "unit": "x", "limit": 4.0, "passed": True, "reason": ""}
MISSED = ROW | {"what": "tile", "value": 8.0, "passed": False}
ABSENT = {"what": "scan", "value": None, "unit": "", "limit": None, "passed": None, "reason": "no CUDA device"}
SLEEP = "import time; time.sleep(600)"
STUBS: dict[str, tuple[float, list[dict[str, Any]], str]] = {
    "ends": (60, [ROW], ""),
    "misses": (60, [ROW, MISSED], ""),
    "overruns": (0.2, [ROW], SLEEP),
    "dies": (60, [ROW], "raise SystemExit('the driver went away')"),
    "cannot": (60, [ABSENT], ""),
}
"""Name of a step -> its limit, the figures it has written, and what it does then."""


def row(**more: Any) -> dict[str, Any]:
    return ROW | more


def test_the_steps_are_those_that_can_be_taken_and_fit_eight_minutes() -> None:
    assert [step.name for step in STEPS] == list(first_steps.STEPS)
    assert sum(step.limit_s for step in STEPS) <= 480
    assert {step.name: step.limit_s for step in STEPS}["tests"] <= 120


def test_what_was_measured_is_kept_however_a_step_ends(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def command(step: Step, path: Path) -> tuple[str, ...]:
        seen.append([json.loads(one.read_text())["state"] for one in sorted(tmp_path.glob("*.json"))])
        path.write_text(json.dumps({"state": "running", "rows": STUBS[step.name][1]}))
        return ("-c", STUBS[step.name][2])

    steps = [Step(name, limit_s) for name, (limit_s, _, _) in STUBS.items()]
    outcomes = run_steps(steps, tmp_path, command, lambda words: None)
    states = [one.state for one in outcomes]
    assert states == ["passed", "failed", "timeout", "failed", "n/a"]
    assert seen == [states[:count] for count in range(5)]  # on disk before the next begins
    assert [one.rows for one in outcomes] == [rows for _, rows, _ in STUBS.values()]
    assert outcomes[2].reason == "timeout: killed after its 0.2 s"
    assert outcomes[3].reason == "error: the process exited with code 1: the driver went away"
    assert outcomes[4].reason == "no CUDA device"
    lines = summary(outcomes, steps, "cpu")
    assert lines[0].startswith("cpu: 1 of 5 steps passed")
    assert "missed: misses, tile: 8 x, limit 4" in lines and len(lines) <= MOST_LINES


def test_what_a_step_has_started_ends_with_it() -> None:
    starts = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); {SLEEP}"
    )
    child = Child("-c", starts)
    assert child.process.stdout is not None
    started = psutil.Process(int(child.process.stdout.readline()))
    end_all(child)
    assert psutil.wait_procs([started], timeout=60)[0] == [started] or started.status() == psutil.STATUS_ZOMBIE


def test_the_worst_three_are_those_nearest_to_or_furthest_beyond_their_limits() -> None:
    rows = [row(what=name, value=value) for name, value in (("a", 1.0), ("b", 12.0), ("c", 3.0), ("d", 2.0))]
    rows += [row(what="e", value=None), row(what="f", limit=None), row(what="g", value=1.0, limit=0)]
    outcome = Outcome("scan", "failed", 1.0, "", rows)
    assert [(share, words.split(",")[1]) for share, words in worst([outcome])] == [
        (3, " b: 12 x"),
        (0.75, " c: 3 x"),
        (0.5, " d: 2 x"),
    ]


def test_the_summary_has_twenty_lines_at_most_and_counts_what_it_leaves_out() -> None:
    rows = [row(what=f"case {number}", value=5.0, passed=False) for number in range(30)]
    outcomes = [Outcome(step.name, "failed", 1.0, "", rows) for step in STEPS[:-1]]
    lines = summary(outcomes, STEPS, "cuda")
    assert len(lines) == MOST_LINES == 20 and lines[-1] == f"and {8 * 30 - 5} more, in the steps' files"
    assert "not run  training" in lines


def test_a_step_that_is_not_known_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--steps", "doctor,sacn"])
    assert "--steps sacn: no such step; choose doctor, kernels" in capsys.readouterr().err


def test_what_a_cpu_cannot_measure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_steps, "ARMS", ("transformer",))
    rows = {}
    for name in ("tiles", "graphs", "launches"):
        figures = Figures(tmp_path / f"{name}.json", name)
        first_steps.STEPS[name](figures, torch.device("cpu"), TINY)
        rows[name] = {one["what"]: one for one in figures.rows}
    assert rows["tiles"]["triton"]["reason"] == "runs on cuda only, not on cpu"
    assert rows["graphs"]["transformer, L 64, graph"]["reason"] == "no CUDA graphs on cpu"
    assert rows["graphs"]["transformer, L 64, step"]["value"] > 0
    assert rows["launches"]["transformer, kernels of a step"]["reason"] == "none is launched on cpu"
    assert rows["launches"]["transformer, operators of a step"]["limit"] == 215


def test_a_device_too_old_for_bfloat16_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.efficiency.doctor.examine", lambda device: [])
    for capability, passed, words in (((7, 5), False, "sm_75: too old"), ((9, 0), True, "sm_90")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        figures = Figures(tmp_path / "doctor.json", "doctor")
        first_steps.STEPS["doctor"](figures, torch.device("cuda"), TINY)
        (row_,) = figures.rows
        assert row_["passed"] is passed and row_["reason"].startswith(words)


def test_constants_of_the_scan_are_varied_alone_and_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(WARPS=4, TILE=1024, LANES=128, COMPILED={"num_warps": 4})

    def medians_ms(*given: Any) -> dict[str, float]:
        if module.TILE > 1024:
            raise RuntimeError("out of resource: shared memory")
        assert (module.LANES, module.COMPILED) == (32 * module.WARPS, {"num_warps": module.WARPS})
        return {"triton": module.WARPS + module.TILE / 1024}

    monkeypatch.setattr(first_scans, "usable_scans", lambda device: {"triton": ""})
    monkeypatch.setattr(first_scans, "KERNELS", {"triton": SimpleNamespace(load=lambda: module)})
    monkeypatch.setattr(first_scans, "medians_ms", medians_ms)
    wrong = lambda *given, **more: [torch.full((2,), 1.5 if module.WARPS == 8 else 1.0)]  # noqa: E731
    monkeypatch.setattr(first_scans, "scan_results", wrong)
    figures = Figures(tmp_path / "tiles.json", "tiles")
    first_scans.tiles(figures, torch.device("cpu"), TINY)
    found = {one["what"]: one["value"] for one in figures.rows}
    assert found == {
        "as shipped": 5.0, "TILE 512": 4.5, "TILE 2048": None, "WARPS 1": 2.0, "WARPS 2": 3.0, "WARPS 8": None,
        "as shipped over the fastest (WARPS 1)": 5 / 2,
    }  # fmt: skip
    assert figures.rows[2]["reason"].startswith("out of resource") and figures.rows[-1]["passed"] is False
    assert figures.rows[5]["reason"] == "differs from the scan as shipped by 5.0e-01"
    assert vars(module) == {"WARPS": 4, "TILE": 1024, "LANES": 128, "COMPILED": {"num_warps": 4}}


def test_figures_are_on_disk_at_once_and_an_error_is_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "step.json"
    figures = Figures(path, "scan")
    figures.add("time", 2.0, "ms", limit=3.0)
    assert json.loads(path.read_text())["rows"] == [row(what="time", unit="ms", limit=3.0)]
    figures.add("tests", 1, "passed", passed=True)
    figures.add("tests", 2, "passed", passed=True)
    assert [one["value"] for one in json.loads(path.read_text())["rows"]] == [2.0, 2]
    figures.rows.pop()
    with figures.named("triton"):
        raise RuntimeError("out of resource: shared memory, Required: 262144\nmore")
    figures.add("error", float("nan"), "", limit=1.0)
    rows = json.loads(path.read_text())["rows"]
    assert (rows[1]["reason"], rows[1]["passed"]) == ("out of resource: shared memory, Required: 262144", False)
    assert (rows[2]["value"], rows[2]["passed"]) == (None, False)


def test_kernels_of_the_scan_are_checked_and_a_wrong_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = first_scans.scan_results

    def results(kernel: str, *given: Any) -> list[torch.Tensor]:
        if kernel == "numba":
            raise RuntimeError("out of resource")
        return [1.001 * one if kernel == "torch" else one for one in run(kernel, *given)]

    usable = {"torch": "", "numba": "", "triton": "runs on cuda only, not on cpu"}
    monkeypatch.setattr(first_scans, "usable_scans", lambda device: usable)
    monkeypatch.setattr(first_scans, "scan_results", results)
    monkeypatch.setattr(first_scans, "CASES", first_scans.CASES[:1])
    figures = Figures(tmp_path / "kernels.json", "kernels")
    first_steps.STEPS["kernels"](figures, torch.device("cpu"), TINY)
    found = {one["what"]: one for one in figures.rows}
    assert found["triton"]["reason"] == "runs on cuda only, not on cpu" and found["triton"]["passed"] is None
    assert found["torch, float32, N 16"]["passed"] is False
    assert found["torch, float32, N 16"]["value"] == pytest.approx(1e-3, rel=1e-2)
    assert found["numba, float32, N 16"]["reason"] == "out of resource"
