"""One attempt at a cell: limits, kills, a lost lease, and the rows that each leaves."""

from __future__ import annotations

import platform
import threading
from pathlib import Path

import pytest
from small_cells import cell

from bench.run.attempt import End, attempt
from bench.run.lease import Leases
from bench.store.cells import CellFolder, Store, identity
from bench.study.grid import Cell
from bench.study.settings import Limits

pytestmark = pytest.mark.usefixtures("small_worker")


def run_one(folder: Path, one: Cell, limits: Limits | None = None, stop: bool = False) -> tuple[End, str, CellFolder]:
    store = Store(folder, "toy")
    ended = threading.Event()
    if stop:
        threading.Timer(0.5, ended.set).start()
    with Leases(folder) as owner:
        lease = owner.take(identity(one.id))
        assert lease is not None
        end, reason = attempt(one, store.cell(one.id), limits or Limits(), lease, lambda event: None, ended)
    return end, reason, store.cell(one.id)


def test_a_process_taken_away_after_its_last_word_leaves_a_finished_cell(tmp_path: Path) -> None:
    end, reason, folder = run_one(tmp_path, cell(do="die last"))
    assert (end, reason, folder.status().state) == (End.SETTLED, "", "done")
    assert [row["value"] for row in folder.rows()] == [0.5]


def test_a_cell_over_its_time_is_a_timeout_row(tmp_path: Path) -> None:
    end, _, folder = run_one(tmp_path, cell(do="sleep"), Limits(time_s=0.4))
    assert end is End.SETTLED
    assert folder.status().state == "timeout"
    assert folder.status().reason == "timeout: over the limit of 0.4 s (limits.time_s)"
    assert {row["reason"] for row in folder.rows()} == {folder.status().reason}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process is read in /proc")
def test_a_cell_over_its_memory_is_an_oom_row(tmp_path: Path) -> None:
    end, _, folder = run_one(tmp_path, cell(do="eat"), Limits(memory_gib=0.25))
    assert end is End.SETTLED
    assert (folder.status().state, folder.status().reason) == (
        "oom",
        "oom: over the limit of 0.25 GiB (limits.memory_gib)",
    )


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("crash", "error: the process was ended by SIGABRT"),
        ("exit", "error: the process exited with code 3: what went wrong"),
    ],
)
def test_a_process_that_breaks_is_a_failed_row(tmp_path: Path, do: str, reason: str) -> None:
    _, _, folder = run_one(tmp_path, cell(do=do))
    assert (folder.status().state, folder.status().reason) == ("failed", reason)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="thresholds of glibc's allocator")
def test_memory_that_a_step_frees_is_kept_for_the_next(tmp_path: Path) -> None:
    _, _, folder = run_one(tmp_path, cell(do="allocate"))
    (row,) = folder.rows()
    assert row["value"] < 3 * 16_384  # 64 MiB are 16,384 pages; given back, they would be cleared ten times


def test_a_runner_that_stops_leaves_the_cell_to_a_later_run(tmp_path: Path) -> None:
    end, _, folder = run_one(tmp_path, cell(do="sleep"), stop=True)
    assert end is End.STOPPED
    assert folder.status().state in ("new", "running")


def test_a_lost_lease_writes_nothing(tmp_path: Path) -> None:
    one = cell(do="die")
    store = Store(tmp_path, "toy")
    end, _ = attempt(one, store.cell(one.id), Limits(), tmp_path / "gone", lambda event: None, threading.Event())
    assert end is End.LOST
    assert store.cell(one.id).status().state == "running"
