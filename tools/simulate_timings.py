"""False calls and coverage of the verdicts on times, simulated: equal arms, processes that keep a difference for life.

    python tools/simulate_timings.py [--tables 10000]

Log time = machine's state in the replicate + process + round, all normal. Each row is one design; the rules are those
of a report: replicates in fresh processes through the block model, and beside it what intervals over the rounds of one
process would have called.
"""

from __future__ import annotations

import argparse

import numpy as np

from metrics.statistics.blocks import BlockModel
from metrics.statistics.replicates import paired_times
from metrics.statistics.rounds import rounds_ratio
from metrics.statistics.verdict import log_margin, verdict

PROCESS, ROUND, MACHINE = 0.005, 0.01, 0.02
"""Standard deviations of logarithms: of a process, of a round, and of the machine from replicate to replicate."""
MARGIN = log_margin(0.02)
Times = np.ndarray
"""Times (arms, replicates, rounds)."""


def session(generator: np.random.Generator, arms: int, replicates: int, rounds: int) -> Times:
    """Times of equal arms."""
    machine = generator.normal(0, MACHINE, (1, replicates, 1))
    process = generator.normal(0, PROCESS, (arms, replicates, 1))
    return np.exp(machine + process + generator.normal(0, ROUND, (arms, replicates, rounds)))


def by_replicates(times: Times) -> tuple[bool, bool]:
    """Whether any pair of equal arms is called different, and whether all intervals of pairs hold 1."""
    logs: dict[str, dict[int, float]] = {str(arm): {} for arm in range(len(times))}
    for place in range(times.shape[1]):
        for arm, time in paired_times({str(arm): one[place][:, None] for arm, one in enumerate(times)}).items():
            logs[arm][place] = time
    pairs = BlockModel.fit(logs).pairs().values()
    called = any(verdict(one, better="lower", margin=MARGIN).differs for one in pairs)
    return called, not any(one.interval.excludes(0.0) for one in pairs)


def by_rounds(times: Times) -> tuple[bool, bool]:
    """The same by the interval of each pair over the rounds of its first processes."""
    first = [[[time] for time in one[0]] for one in times]
    ratios = [rounds_ratio(first[b], first[a]) for a in range(len(first)) for b in range(a + 1, len(first))]
    apart = any(ratio.excludes(1.0) for ratio in ratios)
    return apart, not apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=10_000)
    tables = parser.parse_args().tables
    print("| arms | replicates | rounds each | false call | all cover | rounds alone: false call |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for arms in (4, 7):
        for replicates in (3, 5):
            for rounds in (2, 20):
                generator = np.random.default_rng(1000 * arms + 10 * replicates + rounds)
                found = np.array([by_replicates(session(generator, arms, replicates, rounds)) for _ in range(tables)])
                old = [by_rounds(session(generator, arms, 1, replicates * rounds))[0] for _ in range(tables // 10)]
                rates = (*found.mean(axis=0), np.mean(old))
                print(f"| {arms} | {replicates} | {rounds} | " + " | ".join(f"{rate:.4f}" for rate in rates) + " |")


if __name__ == "__main__":
    main()
