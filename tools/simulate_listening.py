"""Simulation of listening tests: coverage of intervals, false calls of a Holm family, and the planned power.

    python tools/simulate_listening.py 1000        # tests a setting; prints a Markdown table, some minutes

Listeners and samples differ: each listener and each sample has its own deviation of every system, of these standard
deviations, in log odds or points.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import optimize, special

from bench.listen.design import draw_plans
from metrics.statistics.preferences import Preferences, fit_strengths, listeners_planned
from metrics.statistics.ratings import Ratings, holm

TRIALS = 24
SAMPLES = 48
NOISE = 1.0  # points, of one rating
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
WEIGHTS = WEIGHTS / WEIGHTS.sum()  # of a mean over a standard normal deviation


@dataclass(frozen=True)
class Setting:
    """Tests of `listeners` and of systems with these true strengths (log odds) or ratings (points from the middle)."""

    kind: str
    listeners: int
    systems: tuple[float, ...]
    by_listener: float = 0.0
    by_sample: float = 0.0
    samples: int = SAMPLES


def trials_of(setting: Setting, generator: np.random.Generator) -> np.ndarray:
    """Listener, left and right sample of the trials that are no checks; sample = system * samples + number."""
    count = len(setting.systems)
    numbers = [range(place * setting.samples, (place + 1) * setting.samples) for place in range(count)]
    check = (count * setting.samples, count * setting.samples + 1)
    plans = draw_plans(numbers, [check], TRIALS, generator, plans=setting.listeners)
    rows = [(row, *trial) for row, plan in enumerate(plans) for trial in plan if max(trial) < check[0]]
    return np.array(rows, np.int64)


def levels(setting: Setting, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """True level of the left and right sample of each row, for its listener: (rows, 2)."""
    by_listener = generator.normal(0, setting.by_listener, (setting.listeners, len(setting.systems)))
    by_sample = generator.normal(0, setting.by_sample, len(setting.systems) * setting.samples)
    system = rows[:, 1:] // setting.samples
    return np.array(setting.systems)[system] + by_listener[rows[:, :1], system] + by_sample[rows[:, 1:]]


def preferences(setting: Setting, generator: np.random.Generator) -> Preferences:
    """Answers of one test of pairs."""
    rows = trials_of(setting, generator)
    level = levels(setting, rows, generator)
    left = generator.random(len(rows)) < special.expit(level[:, 0] - level[:, 1])
    chosen = np.where(left[:, None], rows[:, 1:], rows[:, :0:-1])
    system = chosen // setting.samples
    return Preferences(len(setting.systems), system[:, 0], system[:, 1], rows[:, 0], chosen)


def ratings(setting: Setting, generator: np.random.Generator) -> Ratings:
    """Answers of one test of ratings."""
    rows = trials_of(setting, generator)
    level = levels(setting, rows, generator) + generator.normal(0, NOISE, (len(rows), 2))
    rating, sample = np.clip(np.rint(3 + level), 1, 5).ravel(), rows[:, 1:].ravel()
    return Ratings(len(setting.systems), rating, rows[:, 0].repeat(2), sample // setting.samples, sample)


def true_differences(setting: Setting) -> dict[tuple[int, int], float]:
    """Of each pair of systems, over listeners and samples: log odds of the Bradley-Terry model, or mean points."""
    values = np.array(setting.systems)
    pairs = list(combinations(range(len(values)), 2))
    spread = np.hypot(setting.by_listener, setting.by_sample)
    if setting.kind == "pairs":
        apart = (values[:, None] - values)[..., None] + np.sqrt(2) * spread * NODES
        wins = special.expit(apart) @ WEIGHTS * (1 - np.eye(len(values)))
        found = fit_strengths(1e9 * wins[None])[0]
    else:
        edges = np.array([1.5, 2.5, 3.5, 4.5])  # a rating is 1 and one more for each edge below it
        found = 1 + special.ndtr((3 + values[:, None] - edges) / np.hypot(spread, NOISE)).sum(1)
    return {(first, second): float(found[first] - found[second]) for first, second in pairs}


def one_test(setting: Setting, generator: np.random.Generator) -> Iterator[tuple[float, float, float]]:
    """Low and high end and p value of each pair."""
    if setting.kind == "pairs":
        answers = preferences(setting, generator)
        for pair in combinations(range(len(setting.systems)), 2):
            interval = answers.interval(*pair)
            yield interval.low, interval.high, answers.p_value(*pair)
    else:
        given = ratings(setting, generator)
        for pair in combinations(range(len(setting.systems)), 2):
            interval, p = given.compare(*pair)
            yield interval.low, interval.high, p


def simulate(setting: Setting, tests: int, seed: int = 0) -> tuple[float, float, float]:
    """Share of intervals that cover, share of tests with any false call by Holm, and share in which the first pair is
    called."""
    generator = np.random.default_rng([seed, 13])
    truth = np.array(list(true_differences(setting).values()))
    covered, false, called = [], [], []
    for _ in range(tests):
        low, high, p = np.array(list(one_test(setting, generator))).T
        covered.append(np.mean((low <= truth + 1e-9) & (truth - 1e-9 <= high)))
        decided = np.array(holm(p.tolist())) <= 0.05
        false.append(bool((decided & (np.abs(truth) < 1e-9)).any()))
        called.append(bool(decided[0]))
    return float(np.mean(covered)), float(np.mean(false)), float(np.mean(called))


def settings() -> Iterator[Setting]:
    """All that is simulated: equal systems, systems that differ, and 70:30 at the planned number of listeners."""
    spreads = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (1.0, 0.5))
    for kind in ("pairs", "ratings"):
        for systems in ((0.0,) * 2, (0.0,) * 5, (0.0, 0.0, 0.4, 0.8, 1.2)):
            for listeners in (6, 12, 24):
                yield from (Setting(kind, listeners, systems, *spread) for spread in spreads)
    for count in (2, 3, 5):
        planned = listeners_planned(7 / 3, count, TRIALS - TRIALS // 3, count * (count - 1) // 2)
        for spread in spreads[:3]:
            half = odds_of_share(0.7, *spread) / 2
            yield Setting("pairs", planned, (half, -half, *(0.0,) * (count - 2)), *spread)


def odds_of_share(share: float, by_listener: float, by_sample: float) -> float:
    """Difference in log odds at which the first of two systems is preferred in this share of all choices."""
    spread = np.sqrt(2) * np.hypot(by_listener, by_sample)
    return float(optimize.brentq(lambda odds: special.expit(odds + spread * NODES) @ WEIGHTS - share, 0, 9))


def main() -> None:
    """Print one row a setting."""
    tests = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    columns = ("kind", "listeners", "systems", "sd of listeners", "sd of samples", "coverage", "any false call")
    print("| " + " | ".join((*columns, "first pair called")) + " |")
    print("|" + " --- |" * (len(columns) + 1))
    for setting in settings():
        names = " ".join(f"{value:.2g}" for value in setting.systems)
        figures = " | ".join(f"{value:.3f}" for value in simulate(setting, tests))
        spread = f"{setting.by_listener} | {setting.by_sample}"
        print(f"| {setting.kind} | {setting.listeners} | {names} | {spread} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
