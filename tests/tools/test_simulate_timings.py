"""Simulated sessions with slowed rounds: the shipped rule calls equal arms different less often than each arm alone."""

from __future__ import annotations

import numpy as np
from simulate_timings import by_replicates, session, with_slowed


def test_leaving_out_what_each_arm_can_spare_calls_equal_arms_different():
    generator = np.random.default_rng(0)
    calls = []
    for _ in range(6):
        times = session(generator, 22, 6, 2)
        factors = np.where(generator.random(times.shape) < 0.2, 1.0, generator.uniform(1.25, 2.0, times.shape))
        calls.append([with_slowed(times, factors, rule) for rule in (False, True)])
    alone, by_rule = np.sum(calls, axis=0)
    assert alone >= 3 and by_rule <= 1


def test_without_slowed_rounds_both_are_the_verdict_on_all():
    generator = np.random.default_rng(1)
    for _ in range(3):
        times = session(generator, 4, 3, 2)
        times[0] *= 1.2
        found = [with_slowed(times, np.ones(times.shape), rule) for rule in (False, True)]
        assert found == [by_replicates(times)[0]] * 2 == [True, True]
