"""A study whose cells compute next to nothing: `python synthetic.py RESULTS CELLS`. For many kills in little time.

Runner, leases, store and the attempts are the real ones; only what happens inside a cell's process is a stand-in: steps
with a checkpoint after each, and rows that follow from the seed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.child import Events
from bench.run import cell_process
from bench.run.executors.local import LocalExecutor
from bench.run.plan import Plan
from bench.run.runner import run_plan
from bench.run.worker import LEASE_LOST
from bench.store.cells import CellFolder
from bench.study.content import StudyFile
from bench.study.grid import Cell, Study
from bench.study.yaml import Place

NAME = "synthetic"
STEPS = 6
STEP_S = 0.05


class Silent:
    """A watcher that says nothing."""

    def say(self, line: str) -> None:
        print(line, flush=True)

    def begin(self, todo: list[Cell], reused: int) -> None:
        print(f"{len(todo)} cells to run, {reused} kept", flush=True)

    def event(self, cell: Cell, event: dict[str, Any]) -> None:
        pass


def plan(cells: int) -> Plan:
    """`cells` cells that differ in their seed."""
    content = StudyFile.model_validate({"name": NAME, "question": "?", "measure": {"quality": {}}})
    labels = {"arm": "a", "length": 8, "corpus": "none", "version": "f1"}
    settings = {"kind": "quality", "length": 8}
    made = [Cell("quality", labels | {"seed": seed}, settings | {"seed": seed}) for seed in range(cells)]
    return Plan(Study(content, Place(None)), made, [])


def work(arguments: list[str], events: Events) -> int:
    """What a cell's process does."""
    folder, lease = CellFolder(Path(arguments[0])), Path(arguments[1])
    configuration = folder.configuration()
    assert configuration is not None
    seed = configuration["settings"]["seed"]
    started = time.time()
    folder.mark_running({"device": "cpu"})
    checkpoint = folder.path / "checkpoint.json"
    done = json.loads(checkpoint.read_text()) if checkpoint.exists() else []
    for step in range(len(done), STEPS):
        time.sleep(STEP_S)
        done.append((seed + 1) / (step + 3))
        temporary = checkpoint.with_suffix(".partial")
        temporary.write_text(json.dumps(done))
        temporary.replace(checkpoint)
        events("progress", done=step + 1, total=STEPS)
    rows = [{"metric": f"m{step}", "value": value, "unit": "1"} for step, value in enumerate(done)]
    if not lease.exists():
        return LEASE_LOST
    folder.finish("done", [*rows, {"metric": "time", "value": time.time() - started, "unit": "s"}], started=started)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "work":
        sys.exit(cell_process.serve(work))
    cell_process.WORKER = (os.path.abspath(__file__), "work")  # noqa: PTH100
    run_plan(plan(int(sys.argv[2])), Path(sys.argv[1]), Silent(), executor=LocalExecutor(2))
