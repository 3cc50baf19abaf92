"""Timing: every call is counted and kept; nothing here depends on how fast the machine is."""

from __future__ import annotations

import gc
import math
import time

import pytest
import torch

from metrics.cost.device import busy_warning
from metrics.cost.latency import CallTimes, time_calls


def test_every_call_is_timed_and_the_warm_up_is_apart():
    ran = []
    times = time_calls(lambda: ran.append(1), 5, warmup=2)
    assert len(ran) == 7 and len(times.samples_s) == 5 and not math.isnan(times.cold_s)


def test_a_sleep_is_never_shorter_than_it_asked_for():
    times = time_calls(lambda: time.sleep(0.01), 3, warmup=1)
    assert min(times.samples_s) >= 0.0099 and times.cold_s >= 0.0099


def test_median_on_paper():
    times = CallTimes([1.0, 2.0, 3.0, 4.0, 100.0], "cpu")
    assert times.median_s == 3.0


def test_no_warm_up_no_cold_time():
    times = time_calls(lambda: None, 1, warmup=0)
    assert math.isnan(times.cold_s)


def test_garbage_collection_is_off_meanwhile_and_back_after_an_error():
    seen = []
    time_calls(lambda: seen.append(gc.isenabled()), 1)
    assert seen == [False, False] and gc.isenabled()

    def broken():
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        time_calls(broken, 1)
    assert gc.isenabled()


@pytest.mark.parametrize(("calls", "warmup"), [(0, 1), (1, -1)])
def test_a_count_that_makes_no_sense_is_refused(calls, warmup):
    with pytest.raises(ValueError, match="at least one call"):
        time_calls(lambda: None, calls, warmup=warmup)


def test_two_clocks_that_disagree_are_noticed():
    assert CallTimes([1.00, 1.02], "cuda", second_samples_s=[1.00, 1.00]).clocks_agree
    assert not CallTimes([1.0, 1.0], "cuda", second_samples_s=[0.9, 0.9]).clocks_agree
    assert CallTimes([1.0], "cpu").clocks_agree
    assert CallTimes([1e-6], "cpu", second_samples_s=[2e-6]).clocks_agree  # both within a reading of each other


@pytest.mark.skipif(not hasattr(time, "CLOCK_MONOTONIC_RAW"), reason="this system has one monotonic clock only")
def test_a_clock_that_jumps_is_noticed(monkeypatch):
    true_clock = time.perf_counter
    times = time_calls(lambda: time.sleep(0.002), 5)
    assert len(times.second_samples_s) == 5 and times.clocks_agree
    jumps = iter(range(1000))
    monkeypatch.setattr(time, "perf_counter", lambda: true_clock() + next(jumps))  # a second ahead at every reading
    assert not time_calls(lambda: None, 5).clocks_agree


@pytest.mark.gpu
@pytest.mark.gpu_short
def test_both_clocks_agree_on_a_gpu():
    if words := busy_warning("cuda"):  # host and device differ where others have their turns
        pytest.skip(words)
    x = torch.randn(4096, 4096, device="cuda")
    times = time_calls(lambda: x @ x, 20, warmup=3, device="cuda")
    assert len(times.second_samples_s) == 20 and times.clocks_agree
