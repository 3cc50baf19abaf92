"""Why a cell has no result: one rule for memory that ran out, for cells that train and cells that are timed alike."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.child import Events
from bench.errors import CellFailure, UserError, failure_of, first_line, is_out_of_memory
from bench.measure.efficiency.worker import EfficiencyWorker
from bench.run import worker
from bench.store.cells import CellFolder
from bench.study.grid import Cell

OUT_OF_MEMORY = (
    MemoryError(),
    MemoryError("Unable to allocate 3.00 MiB for an array with shape (3, 1024, 128)"),
    RuntimeError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 8.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError("std::bad_alloc"),
    RuntimeError("could not create a memory object"),
    RuntimeError("could not create a primitive"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_each_message_of_memory_that_ran_out_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)
    failure = failure_of(error)
    assert failure.state == "oom" and failure.reason.startswith(f"oom: {type(error).__name__}")
    assert "\n" not in failure.reason


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not fit"),
        UserError("arm 'out of memory': no such arm"),
        FileNotFoundError(errno.ENOENT, "No such file", "out of memory.mid"),
    ],
)
def test_another_error_is_not_out_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error) and failure_of(error).state == "failed"


def test_a_reason_names_the_type_and_the_first_line() -> None:
    assert failure_of(ArithmeticError("numbers ran out\nin line 3")).reason == "error: ArithmeticError: numbers ran out"
    assert failure_of(ValueError()).reason == "error: ValueError" and first_line(ValueError()) == "ValueError"
    diverged = CellFailure("diverged", "diverged: the loss blew up at step 3")
    assert failure_of(diverged) is diverged


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_a_cell_that_trains_ends_as_oom(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker, "_run", run)
    cell, lease = Cell("quality", {"arm": "a"}, {"kind": "quality"}), tmp_path / "lease"
    folder = CellFolder(tmp_path / cell.id)
    folder.begin(cell)
    lease.touch()
    assert worker.main([str(folder.path), str(lease)], Events(io.StringIO())) == 0
    assert folder.status().state == "oom" and {row["reason"] for row in folder.rows()} == {folder.status().reason}


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_a_length_that_is_timed_ends_as_oom_and_longer_ones_are_not_tried(error: Exception) -> None:
    def step(length: int) -> None:
        tried.append(length)
        raise error

    events: list[dict[str, Any]] = []
    tried: list[int] = []
    timed = object.__new__(EfficiencyWorker)
    timed.settings, timed.limit_gib = {"prune": True, "lengths": (16, 32)}, None
    timed.failed, timed.start_bytes, timed.arm = set(), 0.0, SimpleNamespace(device="cpu")  # type: ignore[assignment]
    timed.emit = lambda event, **content: events.append({"event": event} | content)
    for length in (16, 32):
        timed._attempt("step", length, step)
    assert tried == [16] and [event["status"] for event in events] == ["oom"]
    assert events[0]["reason"].startswith("oom: ")


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits private memory on Linux only")
def test_an_allocation_that_fails_is_recognised() -> None:
    script = (
        "import resource, torch; from bench.errors import is_out_of_memory\n"
        "torch.ones(1); resource.setrlimit(resource.RLIMIT_DATA, (2**32, 2**32))\n"
        "try: torch.ones(2**31)\n"
        "except Exception as problem: print(is_out_of_memory(problem), type(problem).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("True"), done.stderr
