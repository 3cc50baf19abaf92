"""The time left: in status, and in what a run says."""

import io
import math

import pytest
from rich.console import Console

from bench.run import display as display_module
from bench.run.display import Display
from bench.run.estimate import POINT_S, START_S, Unfinished, session_s, time_left_s
from bench.study.grid import Cell


@pytest.mark.parametrize(
    ("kinds", "seconds"),
    [
        ([Unfinished(3, [10.0, 20.0])], 45.0),  # none runs: one after the other
        ([Unfinished(4, [10.0], [(4.0, math.nan), (12.0, math.nan)])], (6.0 + 0.0 + 2 * 10.0) / 2),
        ([Unfinished(4, [10.0], [(4.0, 3.0), (4.0, 5.0)])], (3.0 + 5.0 + 2 * 10.0) / 2),  # what they say counts
        ([Unfinished(3, (), [(2.0, 6.0)])], 6.0 + 2 * 8.0),  # the first still runs
        ([Unfinished(3, (), [(2.0, math.nan)], like=9.0)], 7.0 + 2 * 9.0),
        ([Unfinished(5, [100.0], [(30.0, math.nan)] * 5, together=True), Unfinished(1, [10.0])], 70.0 + 10.0),
        ([Unfinished(0)], 0.0),
    ],
)
def test_time_left(kinds: list[Unfinished], seconds: float) -> None:
    assert time_left_s(kinds) == pytest.approx(seconds)


def test_a_timing_session_takes_its_caps_its_starts_and_its_points() -> None:
    beside = 3 * 2 * START_S + 22 * 7 * POINT_S  # three replicates in two waves of at most 16 processes
    assert session_s(22, 7, 3, 240.0, cores=16) == (240 + beside, 3 * 240 + beside)
    assert session_s(3, 3, 3, 60.0, cores=16)[1] < 600  # gpu/efficiency_short


def test_no_clue_is_no_figure() -> None:
    assert math.isnan(time_left_s([Unfinished(2, [1.0]), Unfinished(2)]))
    assert math.isnan(Unfinished(2, (), [(5.0, math.nan)]).left_s())


def test_two_at_a_time_take_half_as_long_also_in_the_moment_when_one_has_ended() -> None:
    waiting = Unfinished(5, [80.0], [(40.0, 40.0)])
    assert time_left_s([waiting], at_once=2) == (40 + 4 * 80) / 2
    assert time_left_s([Unfinished(1, [80.0])], at_once=2) == 80.0


def cell(kind: str, number: int) -> Cell:
    return Cell(kind, {"arm": f"a{number}"}, {"n": number})  # type: ignore[arg-type]


def test_what_a_run_says_of_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, text = [100.0], io.StringIO()
    monkeypatch.setattr(display_module.time, "monotonic", lambda: clock[0])
    display = Display(Console(file=text, width=200))
    timed, trained = [cell("efficiency", number) for number in range(2)], [cell("quality", n) for n in range(3)]
    display.begin([*timed, *trained], 0)

    def after(seconds: float, one: Cell, **event: object) -> str:
        clock[0] += seconds
        text.truncate(text.seek(0))
        display.event(one, event)
        return text.getvalue()

    for one in timed:
        after(0, one, event="start")
    after(600, timed[0], event="end", state="done", reason="")
    said = after(0, timed[1], event="end", state="done", reason="")
    assert said == "done   efficiency a1 in 10:00 min (2/5)\n"  # ten minutes a timing say nothing of a training
    after(0, trained[0], event="start")
    after(2, trained[0], event="progress", stage="training", left_s=8.0)
    assert display._left() == "about 28 s left"  # 8, and 10 for each of two more
    said = after(18, trained[0], event="end", state="done", reason="")
    assert said == "done   quality a0 in 20 s (3/5, about 40 s left)\n"
    after(0, trained[1], event="start")
    after(1, trained[1], event="end", state="failed", reason="error")
    assert display._left() == "about 20 s left"  # one that failed at once does not shorten the others
    after(0, trained[2], event="start")
    assert after(20, trained[2], event="end", state="done", reason="") == "done   quality a2 in 20 s (5/5)\n"


def test_earlier_cells_tell_the_time_before_the_first_has_ended() -> None:
    display = Display(Console(file=io.StringIO()), lambda one: 30.0 if one.kind == "quality" else 2.0)
    display.begin([cell("reference", 0), cell("quality", 1), cell("quality", 2)], 0)
    assert display._left() == "about 1:02 min left"
