"""False calls and coverage of the verdicts on times, simulated: equal arms, processes that keep a difference for life.

    python tools/simulate_timings.py [--tables 10000]

Log time = machine's state in the replicate + process + round, all normal. Each row is one design; the rules are those
of a report: replicates in fresh processes through the block model, and beside it what intervals over the rounds of one
process would have called.

A second table has rounds during which a CPU was slowed, by as much as on a shared machine (SLOWED): slowed rounds left
out of each arm that has others, and as `bench.measure.efficiency.throttling.keep_slowed` decides.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np

from bench.measure.efficiency.record import Record
from bench.measure.efficiency.throttling import keep_slowed
from metrics.statistics.replicates import replicates_model
from metrics.statistics.rounds import rounds_ratio
from metrics.statistics.verdict import log_margin, verdict

PROCESS, ROUND, MACHINE = 0.005, 0.01, 0.02
"""Standard deviations of logarithms: of a process, of a round, and of the machine from replicate to replicate."""
SLOWED = (1.25, 1.3, 1.6, 1.65, 2.0)
"""Times as long that rounds took on two virtual cores which at times shared a real one."""
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
    return _called([[rounds[:, None].tolist() for rounds in one] for one in times])


def with_slowed(times: Times, factors: Times, rule: bool) -> bool:
    """The first of `by_replicates` where rounds took `factors` times as long, by `keep_slowed` or each arm alone."""
    records = [Record(full_speed_probe_s=1.0) for _ in times]
    for (arm, place, number), time in np.ndenumerate(times * factors):
        probe_s = float(factors[arm, place, number])
        message = {"event": "samples", "kind": "step", "length": 1, "replicate": place}
        records[arm].take(message | {"samples_s": [float(time)], "probes_s": [probe_s]})
    if rule:
        keep_slowed(records)
    return _called([record.replicates_s("step", 1) for record in records])[0]


def _called(arms: list[list[list[list[float]]]]) -> tuple[bool, bool]:
    """The verdicts on times by arm, replicate, round and call; nothing is called where no two arms have replicates."""
    model = replicates_model({str(arm): replicates for arm, replicates in enumerate(arms)})
    if model is None:
        return False, True
    pairs = model.pairs().values()
    called = any(verdict(one, better="lower", margin=MARGIN).differs for one in pairs)
    return called, not any(one.interval.excludes(0.0) for one in pairs)


def by_rounds(times: Times) -> tuple[bool, bool]:
    """The same by the interval of each pair over the rounds of its first processes."""
    first = [[[time] for time in one[0]] for one in times]
    ratios = [rounds_ratio(first[b], first[a]) for a in range(len(first)) for b in range(a + 1, len(first))]
    apart = any(ratio.excludes(1.0) for ratio in ratios)
    return apart, not apart


def processes_table(tables: int) -> None:
    """Print the rates of equal arms whose processes keep a difference."""
    print("| arms | replicates | rounds each | false call | all cover | rounds alone: false call |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for arms, replicates, rounds in product((4, 7), (3, 5), (2, 20)):
        generator = np.random.default_rng(1000 * arms + 10 * replicates + rounds)
        found = np.array([by_replicates(session(generator, arms, replicates, rounds)) for _ in range(tables)])
        old = [by_rounds(session(generator, arms, 1, replicates * rounds))[0] for _ in range(tables // 10)]
        rates = (*found.mean(axis=0), np.mean(old))
        print(f"| {arms} | {replicates} | {rounds} | " + " | ".join(f"{rate:.4f}" for rate in rates) + " |")


def slowed_table(tables: int) -> None:
    """Print the rates of equal arms with rounds during which the machine was slow."""
    print("| arms | replicates of two rounds | at full speed | each arm alone: false call | by the rule |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for (arms, replicates), share in product(((5, 3), (22, 6)), (0.2, 0.3, 0.5, 0.8)):
        generator = np.random.default_rng(1000 * arms + int(100 * share))
        calls = []
        for _ in range(tables):
            times = session(generator, arms, replicates, 2)
            slowed = generator.choice(SLOWED, times.shape) * np.exp(generator.normal(0, 0.05, times.shape))
            factors = np.where(generator.random(times.shape) < share, 1.0, slowed)
            calls.append([with_slowed(times, factors, rule) for rule in (False, True)])
        alone, by_rule = np.mean(calls, axis=0)
        print(f"| {arms} | {replicates} | {share:.0%} | {alone:.3f} | {by_rule:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=10_000)
    tables = parser.parse_args().tables
    processes_table(tables)
    print()
    slowed_table(max(1, tables // 25))


if __name__ == "__main__":
    main()
