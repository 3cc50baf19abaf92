"""The measuring processes: what they inherit, where they print, how they end."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.errors import CellFailure
from bench.measure.efficiency.process import WorkerProcess
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


PLUGIN = """
import this  # it prints a poem
from architectures.registry import register_mixer
from architectures.feed_forward import FeedForward

@register_mixer("Q", name="poem")
class Poem(FeedForward):
    pass
"""


def test_what_libraries_print_goes_to_the_log_and_a_silent_process_is_ended(cell, tmp_path, monkeypatch):
    (tmp_path / "poem.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)  # plug-ins are found where the user stands
    process = WorkerProcess(asdict(cell("a", plugins=("poem",))), 1, {}, tmp_path / "log")
    try:
        assert [message["event"] for message in process.answers(300.0)] == ["ready"]
        with pytest.raises(CellFailure, match=r"timeout: no answer within 0\.01 s") as failure:
            list(process.answers(0.01))
    finally:
        process.close()
    assert failure.value.state == "timeout" and process.process.poll() is not None
    assert "Beautiful is better than ugly" in (tmp_path / "log").read_text()


def test_a_plugin_without_a_mixer_is_the_reason(cell, tmp_path):
    process = WorkerProcess(asdict(cell("a", plugins=("this",))), 1, {}, tmp_path / "log")
    with pytest.raises(CellFailure, match="plug-in 'this' registers no mixer"):
        list(process.answers(300.0))
    process.close()


def test_the_environment_of_a_process_names_its_threads_and_kernel(monkeypatch):
    class Recorder:
        def __init__(self, *command, env, **more):
            environments.append(env)
            raise InterruptedError

    environments = []
    monkeypatch.setattr("bench.child.subprocess.Popen", Recorder)
    for threads, kernels in ((3, {"scan": "torch", "attention": "math"}), (1, {})):
        with pytest.raises(InterruptedError):
            WorkerProcess({}, threads, kernels, Path(os.devnull))
    first, second = environments
    assert first["SMDIM_BENCH_SCAN_KERNEL"] == "torch" and first["OMP_NUM_THREADS"] == "3"
    assert "SMDIM_BENCH_SCAN_KERNEL" not in second and second["OMP_NUM_THREADS"] == "1"
