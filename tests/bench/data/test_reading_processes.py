"""Reading in processes: in order, with progress, and one bad file costs one file."""

import os
import time
from pathlib import Path

from bench.data.worker import Job
from bench.data.workers import read_all


class Bomb:
    """A job whose unpickling runs a function in the reading process."""

    def __init__(self, function: object, argument: object) -> None:
        self.call = (function, (argument,))

    def __reduce__(self) -> object:
        return self.call


def test_a_crash_costs_one_piece(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    good = [write_midi(tmp_path / f"{count}.mid", [(beat, 1.0, 60, 64) for beat in range(count)]) for count in (1, 2)]
    jobs = [Job(good[0], None), Bomb(os._exit, 3), Job(good[1], None)]
    seen: list[tuple[int, int]] = []
    answers = read_all(jobs, processes=1, progress=lambda done, total: seen.append((done, total)))  # type: ignore[arg-type]
    assert [answer.inspection.notes if answer.inspection else answer.reason for answer in answers] == [
        1,
        "crashed the reader (exit status 3)",
        2,
    ]
    assert [answer.transient for answer in answers] == [False, True, False]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_stall_ends_at_the_limit() -> None:
    (answer,) = read_all([Bomb(time.sleep, 3600)], limit_s=1.0)  # type: ignore[list-item]
    assert answer.reason == "reading took longer than 1 s"
    assert answer.transient


def test_answers_keep_the_order_of_jobs_with_two_processes(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    jobs = [
        Job(write_midi(tmp_path / f"{count}.mid", [(beat, 1.0, 60, 64) for beat in range(count)]), None)
        for count in range(1, 9)
    ]
    answers = read_all(jobs, processes=2)
    assert [answer.inspection.notes for answer in answers if answer.inspection] == list(range(1, 9))


def test_no_jobs_start_no_process() -> None:
    assert read_all([]) == []


def test_a_crash_that_does_not_come_back_costs_nothing(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    good = Job(write_midi(tmp_path / "good.mid", [(0.0, 1.0, 60, 64)]), None)
    (answer,) = read_all([CrashOnce(tmp_path / "been here", good)])  # type: ignore[list-item]
    assert answer.inspection is not None
    assert answer.inspection.notes == 1


class CrashOnce:
    """A job that ends the first process that unpickles it and is an ordinary job for the second."""

    def __init__(self, mark: Path, job: Job) -> None:
        self.mark, self.job = mark, job

    def __reduce__(self) -> object:
        if self.mark.exists():
            return Job, (self.job.path, self.job.member)
        self.mark.touch()
        return os._exit, (3,)
