"""A study under fire: SIGKILL at random moments on the runner or on a worker, and the count of what that did."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

import bench
from bench.store.cells import CellFolder, Store

COMMAND = [sys.executable, "-P", "-m", "bench"]
DEADLINE_S = 3000.0  # longest run under fire, from the first start to the end
AT_WORK = 0.8  # share of the kills that wait until a cell runs; the others may hit the start as well
MEASURED_UNITS = ("s", "ms", "tokens/s", "GiB", "J")  # time, memory and energy differ from run to run

STUDY = """\
name: faults
question: does a study survive
baseline:
  arm: transformer
  corpus: demo/lieder
  length: 128
  model: {{width: 32, stride: 4, layers: 6}}
  diffusion: {{steps: 32}}
  train: {{steps: 12, batch: 2, warmup_steps: 2, validations: 1, validation_windows: 2, final_validation_windows: 2,
    final_validation_draws: 2, checkpoint_steps: 3, log_steps: 2}}
  sample: {{pieces: 2, steps: 4}}
axes:
  arm: [{arms}]
seeds: [{seeds}]
measure:
  quality: {{}}
"""


def write_study(folder: Path, arms: list[str], seeds: int, corpus: str = "demo/lieder") -> Path:
    """A study of `arms` x `seeds` training cells and one reference cell."""
    path = folder / "faults.yaml"
    path.write_text(
        STUDY.replace("demo/lieder", corpus).format(arms=", ".join(arms), seeds=", ".join(map(str, range(seeds))))
    )
    return path


@dataclass
class Report:
    """What is printed at the end."""

    cells: int = 0
    kills: list[str] = field(default_factory=list)
    runs: int = 0
    missing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    run_again: list[str] = field(default_factory=list)
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.cells} cells, {len(self.kills)} kills ({self.kills.count('runner')} of the runner, "
            f"{self.kills.count('worker')} of a worker), {self.runs} runs of the command, {self.seconds:.0f} s\n"
            + self.found
        )

    @property
    def found(self) -> str:
        """What the results look like beside those of an undisturbed run."""
        return (
            f"cells missing {len(self.missing)}, failed {len(self.failed)}, run again once finished "
            f"{len(self.run_again)}\n"
            f"{self.rows} measurements: lost {self.lost}, doubled {self.doubled}, other than undisturbed "
            f"{self.differing} (time, memory and energy not compared)"
        )

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.missing or self.failed or self.run_again or self.lost or self.doubled or self.differing)


def start(study: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """`smdim-bench run` in `folder`, its words kept in run.log there; `study` a number: so many synthetic cells."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [*COMMAND, "run", str(study), "--no-report", *more]
    if study.name.isdigit():
        command = [sys.executable, "-P", str(Path(__file__).with_name("synthetic.py")), "results", study.name]
    with (folder / "run.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def study_folder(folder: Path) -> Path:
    """The one study below `folder`."""
    return next(path.parent for path in sorted((folder / "results").glob("*/study.json")))


def run_whole(study: Path, folder: Path, *more: str) -> float:
    """An undisturbed run; its seconds."""
    began = time.monotonic()
    process = start(study, folder, *more)
    assert process.wait() == 0, (folder / "run.log").read_text()[-2000:]
    return time.monotonic() - began


def run_under_fire(study: Path, folder: Path, kills: int, draw: random.Random, pause_s: float, *more: str) -> Report:
    """Run to the end while `kills` processes are killed, at moments `pause_s` apart on average."""
    report, began = Report(), time.monotonic()
    process, finished = start(study, folder, *more), dict[str, float]()
    report.runs = 1
    while True:
        assert time.monotonic() - began < DEADLINE_S, f"not finished in {DEADLINE_S:g} s\n{report}"
        pause = DEADLINE_S
        if len(report.kills) < kills:
            if draw.random() < AT_WORK:
                _wait_for_work(process, draw.uniform(10, 60))
            pause = draw.expovariate(1 / pause_s)
        try:
            code = process.wait(timeout=min(pause, DEADLINE_S))
        except subprocess.TimeoutExpired:
            report.kills.append(_kill_one(process, draw))
            note_finished(folder, finished, report)
            if process.poll() is None and report.kills[-1] == "worker":
                continue
            process.wait()
            code = -signal.SIGKILL
        if code != -signal.SIGKILL and len(report.kills) >= kills:
            break
        process = start(study, folder, *more)
        report.runs += 1
        if code == 0 and len(report.kills) < kills:  # finished too soon: the rest of the kills hit a finished study
            time.sleep(0.05)
    note_finished(folder, finished, report)
    report.seconds = time.monotonic() - began
    return report


def _wait_for_work(process: subprocess.Popen[bytes], longest_s: float) -> None:
    """Wait until a cell's process runs, or the command has ended."""
    deadline = time.monotonic() + longest_s
    while process.poll() is None and not children(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)


def _kill_one(process: subprocess.Popen[bytes], draw: random.Random) -> str:
    servers = children(process.pid)
    workers = [*servers, *(cell for server in servers for cell in children(server))]
    if workers and draw.random() < 0.5:
        try:
            os.kill(draw.choice(workers), signal.SIGKILL)
            return "worker"
        except ProcessLookupError:
            pass
    process.kill()
    process.wait()
    return "runner"


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def command_line(pid: int) -> str:
    """Words of a process's command; empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def processes_of(folder: Path) -> list[int]:
    """Processes other than this one that have the path of `folder`, or of something below it, in their command or as
    their standard error."""
    running = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in running if pid != os.getpid() and str(folder) in command_line(pid) + _errors_of(pid)]


def _errors_of(pid: int) -> str:
    """File of a process's standard error; empty where it cannot be read."""
    try:
        return os.readlink(f"/proc/{pid}/fd/2")  # noqa: PTH115
    except OSError:
        return ""


def note_finished(folder: Path, finished: dict[str, float], report: Report) -> None:
    """Remember when each cell ended; one that has another end later was run again."""
    for path in (folder / "results").glob("*/*-*/status.json"):
        status = CellFolder(path.parent).status()
        ended = status.ended if status.state == "done" else None
        if ended is not None and finished.setdefault(path.parent.name, ended) != ended:
            report.run_again.append(path.parent.name)


def compare(report: Report, undisturbed: Path, folder: Path) -> Report:
    """Count what differs between the tables of two folders."""
    store = Store(folder / "results", study_folder(folder).name)
    plan = store.plan()["cells"]
    states = {cell["id"]: store.cell(cell["id"]).status().state for cell in plan}
    report.cells = len(states)
    report.missing = [name for name, state in states.items() if state in ("new", "running", "damaged")]
    report.failed = [name for name, state in states.items() if state in ("failed", "oom", "timeout", "diverged")]
    wanted, found = comparable(undisturbed), comparable(folder)
    wanted = wanted[wanted["cell_id"].isin(states)]
    report.rows = len(found)
    report.lost = len(wanted.index.difference(found.index))
    report.doubled = int(found.index.duplicated().sum())
    common = wanted.index.intersection(found.index.unique())
    left, right = wanted.loc[common], found[~found.index.duplicated()].loc[common]
    same = (left == right) | (left.isna() & right.isna())
    report.differing = int((~same.all(axis=1)).sum()) + len(found.index.difference(wanted.index))
    return report


def comparable(folder: Path) -> pd.DataFrame:
    """The table without time, memory and energy, each row named by its cell, arm, metric, length and definition."""
    frame = bench.load_results(study_folder(folder)).frame
    frame = frame[~frame["unit"].isin(MEASURED_UNITS)]
    names = ["cell_id", "arm", "metric", "length", "definition"]
    return frame.assign(name=frame[names].astype(str).agg("|".join, axis=1)).set_index("name")


def attempts(folder: Path) -> dict[str, int]:
    """How often each cell was begun."""
    found = {}
    for path in (folder / "results").glob("*/*-*/attempts.jsonl"):
        found[path.parent.name] = len([json.loads(line) for line in path.read_text().splitlines()])
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)
