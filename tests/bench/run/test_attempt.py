"""One attempt at a cell: limits, kills, a lost lease, and the rows that each leaves."""

from __future__ import annotations

import os
import platform
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from small_cells import cell

from bench import child as child_module
from bench.run import cell_process
from bench.run.attempt import End, attempt
from bench.run.cell_process import CellServer, CellServers
from bench.run.lease import Leases
from bench.store.cells import CellFolder, Store, identity
from bench.study.grid import Cell
from bench.study.settings import Limits

pytestmark = pytest.mark.usefixtures("small_worker")
linux = pytest.mark.skipif(sys.platform != "linux", reason="cells are forks on Linux")


def run_one(folder: Path, one: Cell, limits: Limits | None = None, stop: bool = False) -> tuple[End, str, CellFolder]:
    store = Store(folder, "toy")
    ended = threading.Event()
    if stop:
        threading.Timer(0.5, ended.set).start()
    with Leases(folder) as owner, CellServers() as servers:
        lease = owner.take(identity(one.id))
        assert lease is not None
        end, reason = attempt(one, store.cell(one.id), limits or Limits(), lease, lambda event: None, ended, servers)
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
    folder = Store(tmp_path, "toy").cell(one.id)
    with CellServers() as servers:
        end, _ = attempt(one, folder, Limits(), tmp_path / "gone", lambda event: None, threading.Event(), servers)
    assert end is End.LOST
    assert folder.status().state == "running"


def run_in_turn(folder: Path, cells: list[Cell], first: Limits | None = None) -> list[tuple[End, CellFolder]]:
    """Cells one after another at one place of a runner; the limits of the first of them."""
    store, ends = Store(folder, "toy"), []
    with Leases(folder) as owner, CellServers() as servers:
        for one in cells:
            lease, kept = owner.take(identity(one.id)), store.cell(one.id)
            assert lease
            limits = first if first and one is cells[0] else Limits()
            end, _ = attempt(one, kept, limits, lease, lambda event: None, threading.Event(), servers)
            ends.append((end, kept))
    return ends


def values(folder: CellFolder) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in folder.rows()}


@linux
def test_cells_at_one_place_are_forks_of_one_process_and_a_broken_one_is_no_harm_to_the_next(tmp_path: Path) -> None:
    breaking = [cell(seed, do=do) for seed, do in enumerate(("crash", "exit", "die"))]
    first, *broken, last = run_in_turn(tmp_path, [cell(8, do="processes"), *breaking, cell(9, do="processes")])
    assert [folder.status().state for _, folder in broken] == ["failed", "failed", "running"]
    assert broken[-1][0] is End.KILLED
    one, other = values(first[1]), values(last[1])
    assert one["server"] == other["server"] and one["process"] != other["process"]
    assert (broken[1][1].path / "log.txt").read_text() == "what went wrong\n"
    assert (last[1].path / "log.txt").read_text() == ""


@linux
def test_a_cell_that_cannot_be_a_fork_has_a_process_of_its_own(tmp_path: Path) -> None:
    ends = run_in_turn(tmp_path, [cell(seed, do="processes", alone=True) for seed in range(2)])
    found = [values(folder) for _, folder in ends]
    assert found[0]["server"] == found[1]["server"] == os.getpid()
    assert found[0]["process"] != found[1]["process"]


@linux
@pytest.mark.parametrize("other", [{"kernels": {"scan": "torch"}}, {"threads": 2}])
def test_a_cell_with_another_environment_is_no_fork_of_that_process(tmp_path: Path, other: dict[str, object]) -> None:
    threads = {key: value for key, value in other.items() if key == "threads"}
    second = cell(1, do="processes", **{key: value for key, value in other.items() if key == "kernels"})
    second = Cell(second.kind, second.labels | threads, second.settings)
    found = [values(folder) for _, folder in run_in_turn(tmp_path, [cell(0, do="processes"), second])]
    assert found[0]["server"] != found[1]["server"]


@linux
def test_a_killed_server_is_a_killed_cell_and_the_next_has_a_new_one(tmp_path: Path) -> None:
    ends = run_in_turn(tmp_path, [cell(0, do="server dies"), cell(1), cell(2, do="processes")])
    assert [end for end, _ in ends] == [End.KILLED, End.SETTLED, End.SETTLED]
    assert ends[1][1].status().state == "done"


@linux
def test_a_cell_over_a_limit_ends_and_the_next_has_a_new_server(tmp_path: Path) -> None:
    ends = run_in_turn(tmp_path, [cell(0, do="sleep"), cell(1)], Limits(time_s=0.4))
    assert [folder.status().state for _, folder in ends] == ["timeout", "done"]


@linux
def test_no_server_outlives_its_place(tmp_path: Path) -> None:
    (ended,) = run_in_turn(tmp_path, [cell(do="processes")])
    assert not Path(f"/proc/{int(values(ended[1])['server'])}").exists()


@linux
def test_memory_that_one_cell_was_killed_for_does_not_count_against_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = tmp_path / "vmstat"
    kills.write_text("oom_kill 2\n")
    monkeypatch.setattr(child_module, "VMSTAT", kills)
    store = Store(tmp_path, "toy")
    with Leases(tmp_path) as owner, CellServers() as servers:
        for seed, counted in enumerate((3, 3)):
            one = cell(seed, do="die")
            lease = owner.take(identity(one.id))
            assert lease
            end, _ = attempt(
                one,
                store.cell(one.id),
                Limits(),
                lease,
                lambda event, counted=counted: kills.write_text(f"oom_kill {counted}\n"),  # type: ignore[misc]
                threading.Event(),
                servers,
            )
            assert end is (End.SETTLED if not seed else End.KILLED)
    assert store.cell(cell(0, do="die").id).status().state == "oom"


@linux
def test_what_a_cell_prints_is_in_its_own_log(tmp_path: Path) -> None:
    ends = run_in_turn(tmp_path, [cell(seed, do="print") for seed in range(3)])
    logs = [sorted((folder.path / "log.txt").read_text().splitlines()) for _, folder in ends]
    assert logs == [[f"as an error {seed}", f"by print {seed}"] for seed in range(3)]


@linux
def test_a_cell_that_is_killed_within_an_event_has_ended(tmp_path: Path) -> None:
    ends = run_in_turn(tmp_path, [cell(0, do="half an event"), cell(1)])
    assert [end for end, _ in ends] == [End.KILLED, End.SETTLED]


@linux
def test_a_server_that_is_dead_before_its_first_cell_is_read_as_a_cell_that_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = CellServer.begin

    def late(server: CellServer, *given: Any) -> None:
        server.process.kill()
        server.process.wait()
        begin(server, *given)

    monkeypatch.setattr(CellServer, "begin", late)
    ((end, _),) = run_in_turn(tmp_path, [cell()])
    assert end is End.KILLED


@linux
def test_where_the_system_gives_no_process_the_server_measures_the_cell_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = "import os\ndef fork(): raise BlockingIOError(11, 'no process')\nos.fork = fork\n"
    monkeypatch.setattr(cell_process, "WORKER", ("-c", refused + cell_process.WORKER[1]))
    ends = run_in_turn(tmp_path, [cell(seed, do="processes") for seed in range(2)])
    assert [folder.status().state for _, folder in ends] == ["done", "done"]
    assert {values(folder)["server"] for _, folder in ends} == {os.getpid()}


@linux
def test_a_log_that_cannot_be_written_is_no_failure_of_the_cell(tmp_path: Path) -> None:
    folder = Store(tmp_path, "toy").cell(cell(1).id)
    (folder.path / "log.txt").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        run_in_turn(tmp_path, [cell(0), cell(1)])
    assert folder.status().state in ("new", "running")


@linux
def test_a_process_that_passed_a_limit_is_gone_when_the_attempt_is_over(tmp_path: Path) -> None:
    ((_, folder),) = run_in_turn(tmp_path, [cell(do="eat and wait")], Limits(time_s=5.0))
    memory = Path(f"/proc/{(folder.path / 'pid').read_text()}/statm")
    assert folder.status().state == "timeout" and (not memory.exists() or memory.read_text().startswith("0 0 "))
