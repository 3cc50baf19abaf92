"""Design of a listening test: which listener compares which samples, in which order and on which side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from bench.errors import UserError

PLANS = 240
"""Orders of trials; a listener's code chooses one."""
CHECK_SHARE = 3  # every third trial is a check
FEWEST_TRIALS, MOST_TRIALS = 15, 120  # five checks, all right, have a chance of 0.03 by guessing

Trial = tuple[int, int]  # numbers of the samples on the left and on the right


def check_trials(trials: int) -> None:
    """Raise UserError for a number of trials that cannot be a third checks, or too few to find a guessing listener."""
    if trials % CHECK_SHARE or not FEWEST_TRIALS <= trials <= MOST_TRIALS:
        raise UserError(f"--trials {trials}: allowed: multiples of 3 from {FEWEST_TRIALS} to {MOST_TRIALS}")


def draw_plans(
    systems: Sequence[Sequence[int]],
    checks: Sequence[Trial],
    trials: int,
    generator: np.random.Generator,
    plans: int = PLANS,
) -> list[list[Trial]]:
    """Plans of trials, a third of them checks, in random order.

    `systems`: numbers of the samples of each system; `checks`: a real sample and its shuffled one. Over all plans each
    pair of systems occurs equally often and each of them half of the time on the left (a difference of one apart);
    samples of a system take turns, so that a plan repeats one only where a system has fewer. Half of the checks of a
    plan have the real sample on the left.
    """
    queues = [_turns(samples, generator) for samples in systems]
    of_checks = _turns(range(len(checks)), generator)
    pairs = _pairs(len(systems), generator)
    found = []
    for _ in range(plans):
        used: set[int] = set()
        plan = []
        for _ in range(trials - trials // CHECK_SHARE):
            plan.append(tuple(_next_unused(queues[system], used, len(systems[system])) for system in next(pairs)))
        count = trials // CHECK_SHARE
        sides = generator.permutation(np.arange(count) % 2)
        for turned in (sides + generator.integers(2)) % 2:
            real, shuffled = checks[next(of_checks)]
            plan.append((shuffled, real) if turned else (real, shuffled))
        found.append([(int(plan[place][0]), int(plan[place][1])) for place in generator.permutation(trials)])
    return found


def _turns(samples: Sequence[int], generator: np.random.Generator) -> Iterator[int]:
    while True:
        yield from (samples[place] for place in generator.permutation(len(samples)))


def _pairs(systems: int, generator: np.random.Generator) -> Iterator[Trial]:
    """Pairs of systems without end: all of them, then all turned round, each time in another order."""
    ordered = [pair if generator.integers(2) else pair[::-1] for pair in combinations(range(systems), 2)]
    while True:
        yield from (ordered[place] for place in generator.permutation(len(ordered)))
        ordered = [(right, left) for left, right in ordered]


def _next_unused(queue: Iterator[int], used: set[int], count: int) -> int:
    """The next sample that the plan does not have yet, among so many; the next at all where it has them all."""
    for _ in range(count):
        sample = next(queue)
        if sample not in used:
            break
    used.add(sample)
    return sample
