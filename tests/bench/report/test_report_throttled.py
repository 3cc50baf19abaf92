"""Figures of a throttled GPU are marked wherever they are read; a busy or slowed machine and a session cut short are
stated."""

from __future__ import annotations

from bench.report.pages.caveats import caveats
from bench.report.pages.cost_summary import cost_summary
from bench.report.tables.cost import cost_tables

NOTE = "throttled: smdim at 512: power cap in 2 of 5 rounds"


def test_figures_of_a_throttled_gpu_are_marked_where_they_are_read(frame, tmp_path):
    assert not [words for words in caveats(frame) if "throttled" in words]
    slow = (frame["arm"] == "smdim") & (frame["length"] == 512) & (frame["metric"] == "step_latency")
    frame.loc[slow, "throttled"] = "power cap in 2 of 5 rounds"
    table = cost_tables(frame)[0]
    assert table.entry("smdim", "L = 512").mark == "throttled" and table.entry("smdim", "L = 256").mark == ""
    assert NOTE in table.notes and table.to_markdown().count(" throttled |") == 1
    assert any(words.startswith("The GPU was throttled in 1 of ") for words in caveats(frame))
    shown = cost_summary(frame[frame["kind"] == "efficiency"], tmp_path)[0]
    assert NOTE in str(shown.caption)


def test_a_busy_machine_and_processes_that_were_not_begun_are_caveats(frame):
    words = " ".join(caveats(frame))
    assert "busy" not in words and "time cap" not in words
    timed = (frame["metric"] == "step_latency") & (frame["arm"].isin(["smdim", "mamba"]))
    frame.loc[timed, "note"] = "the machine is busy: python (process 7, 51% of a core); timings may be too slow"
    frame.loc[timed, "stopped_by"] = "time cap of 150 s; 1 of 3 replicates: time cap of 150 s"
    words = " ".join(caveats(frame))
    assert "busy while 2 of 4 arms were timed" in words
    assert "before all processes of an arm were begun (1 of 3 replicates)" in words


def test_timings_with_rounds_on_a_slowed_machine_are_one_caveat_with_their_number(frame):
    assert "slower by" not in " ".join(caveats(frame))
    for arm, note in (
        ("smdim", "2 slowed rounds timed again; machine slower by over 10 % in 20 of 20 rounds"),
        ("mamba", "machine slower by over 10 % in 3 of 20 rounds"),
        ("transformer", "1 slowed round timed again; 3 of 20 rounds left out: machine slower by over 10 %"),
    ):
        at = (frame["arm"] == arm) & (frame["metric"] == "step_latency") & (frame["length"] == 512)
        frame.loc[at, "note"] = note
    found = [words for words in caveats(frame) if "slower by" in words]
    assert len(found) == 1 and found[0].startswith("In 2 of ")
