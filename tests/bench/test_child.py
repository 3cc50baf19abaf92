"""Measuring children: what they inherit, which package they run, how they end, and what is read when they died."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from harness import wait_for

from bench import child as child_module
from bench.child import RETURNED_MEMORY, Child, child_environment, python_command
from bench.errors import CellFailure
from bench.measure.efficiency.cell import EfficiencyCell
from bench.measure.efficiency.process import WorkerProcess
from bench.run import ranks
from bench.run.cell_process import CellServers

SLEEPER = """
import os, time
from pathlib import Path

def build(config):
    Path(config["pid_file"]).write_text(str(os.getpid()))
    time.sleep(600)
"""
PARENT = """
import json, sys
from pathlib import Path
from bench.measure.efficiency.process import WorkerProcess
process = WorkerProcess(json.loads(sys.argv[1]), 1, {}, Path("log"))
list(process.answers(600.0))
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="the system's signal at the end of a parent is Linux's")


def test_the_environment_fixes_the_threads_or_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert child_environment(3)["OMP_NUM_THREADS"] == child_environment(3)["NUMBA_NUM_THREADS"] == "3"
    assert child_environment(None)["OMP_NUM_THREADS"] == "7"
    assert child_environment(1)[child_module.PARENT_VARIABLE] == str(os.getpid())
    assert child_environment(1)["OMP_WAIT_POLICY"] == "passive"


def test_packages_of_the_same_name_where_the_user_stands_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench").mkdir()
    for name in ("bench/__init__.py", "metrics.py", "architectures.py", "torch.py"):
        (tmp_path / name).write_text(f"raise SystemExit('the {name} of the user')")
    monkeypatch.chdir(tmp_path)
    servers = CellServers()
    training = servers.begin(tmp_path / "training.txt", 1, {}, [str(tmp_path), str(tmp_path / "lease")])
    rank = Child("-m", ranks.MODULE, log=tmp_path / "rank.txt")
    timing = WorkerProcess({"no": "settings"}, 1, {}, tmp_path / "timing.txt")
    with pytest.raises(CellFailure, match="error: KeyError"):
        list(timing.answers(600.0))
    wait_for(lambda: "no readable cell.json" in (tmp_path / "training.txt").read_text())
    assert "TypeError" in rank.failure().reason  # `launch` without its arguments
    for child in (training, rank, timing):
        child.end()
    assert not any("of the user" in path.read_text() for path in tmp_path.glob("*.txt"))


@linux
def test_a_timing_process_at_work_ends_with_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    (tmp_path / "sleeper.py").write_text(SLEEPER)
    pid_file = tmp_path / "pid"
    cell = EfficiencyCell("a", "a", {"vocab_size": 9, "pid_file": str(pid_file)}, (16,), factory="sleeper:build")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    parent = subprocess.Popen(python_command("-c", PARENT, json.dumps(asdict(cell))), cwd=tmp_path)
    wait_for(lambda: pid_file.exists() and bool(pid_file.read_text()))
    worker = int(pid_file.read_text())
    assert Path(f"/proc/{worker}").exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not Path(f"/proc/{worker}").exists())


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; print('what went wrong', file=sys.stderr); sys.exit(3)", "exited with code 3: what went wrong"),
        ("import sys; sys.exit(4)", "exited with code 4: no output"),
        ("import os; os.abort()", "was ended by SIGABRT"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
    ],
)
def test_the_reason_of_a_death_is_its_signal_or_its_code_and_last_line(
    tmp_path: Path, program: str, reason: str
) -> None:
    failure = Child("-c", program, log=tmp_path / "log.txt").failure()
    assert (failure.state, failure.reason) == ("failed", f"error: the process {reason}")


def test_the_out_of_memory_killer_is_told_from_another_sigkill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = tmp_path / "vmstat"
    kills.write_text("pgfault 9\noom_kill 2\n")
    monkeypatch.setattr(child_module, "VMSTAT", kills)
    child = Child("-c", "import os; os.kill(os.getpid(), 9)")
    kills.write_text("pgfault 9\noom_kill 3\n")
    failure = child.failure()
    assert (failure.state, failure.reason) == ("oom", "oom: the system's out-of-memory killer ended the process")


def test_a_process_that_ignores_sigterm_is_ended_all_the_same(tmp_path: Path) -> None:
    child = Child(
        "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    )
    assert child.process.stdout and child.process.stdout.readline() == b"on\n"
    child.end(0.1)
    assert child.process.returncode == -signal.SIGKILL


HOLES = """
import os

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [b"x" * (32 << 10) for _ in range(1000)]
before = resident()
del blocks[::2]
print(before - resident())
"""


@linux
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's allocator")
@pytest.mark.parametrize(("environment", "given_back"), [({}, False), (RETURNED_MEMORY, True)])
def test_memory_is_measured_in_a_process_that_gives_back_what_is_freed_between_blocks_in_use(environment, given_back):
    child = Child("-c", HOLES, threads=1, environment=environment)
    freed = int(child.process.communicate()[0])
    assert (freed > 500 * (32 << 10)) == given_back and (freed < 1 << 20) != given_back
