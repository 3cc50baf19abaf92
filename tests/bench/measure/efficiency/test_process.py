"""The measuring processes: what they inherit, where they print, how they end."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from bench.measure.efficiency.process import WorkerDied, WorkerProcess, worker_environment
from bench.measure.efficiency.session import measure_group


def test_an_interruption_of_the_parent_ends_the_processes(cell, tmp_path, monkeypatch):
    started = []
    original = WorkerProcess.__init__

    def remember(self, *args, **more):
        original(self, *args, **more)
        started.append(self.process)

    def interrupt(cell_id, event):
        if len(started) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(WorkerProcess, "__init__", remember)
    with pytest.raises(KeyboardInterrupt):
        measure_group([cell("a"), cell("b"), cell("c")], log_folder=tmp_path, on_event=interrupt)
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_what_libraries_print_goes_to_the_log_and_a_silent_process_is_ended(cell, tmp_path):
    process = WorkerProcess(asdict(cell("a", plugins=("this",))), 1, {}, tmp_path / "log")  # `this` prints a poem
    try:
        assert [message["event"] for message in process.answers(300.0)] == ["ready"]
        with pytest.raises(WorkerDied, match=r"timeout: no answer within 0\.01 s") as death:
            list(process.answers(0.01))
    finally:
        process.close()
    assert death.value.status == "timeout" and process.process.poll() is not None
    assert "Beautiful is better than ugly" in (tmp_path / "log").read_text()


def test_the_environment_of_a_process_names_its_threads_and_kernel():
    environment = worker_environment(3, {"scan": "torch", "attention": "math"})
    assert environment["SMDIM_BENCH_SCAN_KERNEL"] == "torch" and environment["OMP_NUM_THREADS"] == "3"
    assert "SMDIM_BENCH_SCAN_KERNEL" not in worker_environment(1, {})
