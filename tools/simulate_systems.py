"""Simulation of the verdict of `metrics A B --reference R`: false calls of equal systems, and what it can decide.

    python tools/simulate_systems.py maestro pop909 -o results/reference/comparisons   # 2,000 draws a setting, minutes

Every draw takes the pieces of two or three systems and of the reference from pools without replacement: real songs of
the first corpus (an excerpt each), those of another corpus, and floors made of the first. Systems of one pool are
equal, so that better and worse are false calls. A mixture holds pieces of the floor with a given chance.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data import corpus_notes, load_corpus
from metrics import Notes
from metrics.comparisons import judged
from metrics.music.excerpts import excerpts, on_grid
from metrics.music.floors import FLOORS
from metrics.music.profile import yardstick
from metrics.music.resample import left_out_in_turn
from metrics.music.two_samples import KERNEL_DISTANCE, discrepancy, kernel_of
from metrics.statistics.sets import SetFigure, set_pairs

NOTES, STEPS = 268, 8  # of an excerpt; steps a beat
REAL, MIXED = "real", "pitches-shuffled"
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Setting:
    """Systems, each a pool or (share, pool): real music in which each piece is of that pool with this chance."""

    songs: int
    systems: tuple[str | tuple[float, str], ...]

    @property
    def equal(self) -> bool:
        """Whether every call is false."""
        return len(set(self.systems)) == 1

    @property
    def words(self) -> str:
        """For the table."""
        return " / ".join(one if isinstance(one, str) else f"real, {one[0]:.0%} {one[1]}" for one in self.systems)


def pools_of(corpus: str, other: str) -> tuple[dict[str, list[Notes]], list[Notes]]:
    """Pools of pieces by name, and training pieces from other parts of the songs."""
    whole = [piece for piece in corpus_notes(load_corpus(corpus)) if len(piece) >= 2 * NOTES]
    parts = [[on_grid(part, STEPS) for part in excerpts(piece, NOTES)[:2]] for piece in whole]
    real, train = [first for first, _ in parts], [second for _, second in parts]
    foreign = [piece for piece in corpus_notes(load_corpus(other)) if len(piece) >= NOTES][: len(real)]
    beside = {other: [replace(on_grid(excerpts(piece, NOTES)[0], STEPS), song=piece.name) for piece in foreign]}
    return {REAL: real, **{name: make(real, train, 0) for name, make in FLOORS.items()}, **beside}, train


class Simulation:
    """The kernel of all pieces of all pools, made once."""

    def __init__(self, pools: Mapping[str, Sequence[Notes]], train: Sequence[Notes]) -> None:
        from scipy.spatial.distance import cdist

        unit = yardstick(train)
        assert unit is not None
        tables = [unit.standardised(pieces)[0] for pieces in pools.values()]
        ends = np.cumsum([0, *map(len, tables)])
        self.rows = {name: np.arange(*ends[i : i + 2]) for i, name in enumerate(pools)}
        points = np.concatenate(tables)
        self.kernel = kernel_of(cdist(points, points), unit.width)
        np.fill_diagonal(self.kernel, 0.0)

    def figure(self, own: Rows, reference: Rows) -> SetFigure:
        """The kernel distance of a set, and without each song: as `kernel_distance` makes it."""
        n, m = len(own), len(reference)
        left = np.concatenate([np.ones((1, n)), left_out_in_turn(n), np.ones((m, n))])
        right = np.concatenate([np.ones((1 + n, m)), left_out_in_turn(m)])
        rows = np.concatenate([own, reference])
        values = discrepancy(self.kernel[np.ix_(rows, rows)], left, right)
        return SetFigure(float(values[0]), (values[1 : 1 + n], values[1 + n :]))

    def words(self, setting: Setting, generator: np.random.Generator) -> tuple[list[str], list[float], float]:
        """Words of all pairs in one draw, half widths, and the first difference."""
        orders = {name: list(generator.permutation(rows)) for name, rows in self.rows.items()}
        reference = np.array([orders[REAL].pop() for _ in range(setting.songs)])
        figures = {}
        for place, system in enumerate(setting.systems):
            share, pool = (1.0, system) if isinstance(system, str) else system
            names = [pool if generator.random() < share else REAL for _ in range(setting.songs)]
            figures[str(place)] = self.figure(np.array([orders[name].pop() for name in names]), reference)
        found = set_pairs(figures)
        words = [judged(KERNEL_DISTANCE, one, one.value) for one in found.values()]
        halves = [one.interval.half_width for one in found.values()]
        return [one.word for one in words if one], halves, next(iter(found.values())).value


def settings_of(other: str) -> list[Setting]:
    """Equal systems, then unequal ones."""
    pools = [REAL, other, "bigram-tokens", "unigram-notes", "shuffled", MIXED]
    equal = [Setting(n, (pool,) * 2) for n in (10, 20, 50) for pool in pools]
    equal += [Setting(n, (pool,) * 3) for n in (10, 50) for pool in (REAL, other, MIXED)]
    unequal = [Setting(n, (REAL, (share, MIXED))) for n in (10, 20, 50) for share in (0.25, 0.5, 1.0)]
    return equal + unequal + [Setting(n, (REAL, other)) for n in (10, 20, 50)]


def simulate(simulation: Simulation, settings: Sequence[Setting], draws: int) -> list[dict[str, object]]:
    """Share of the draws in which any pair is called, the first is called the same, and none is left open."""
    rows: list[dict[str, object]] = []
    for number, setting in enumerate(settings):
        generator = np.random.default_rng([number, 11])
        found = [simulation.words(setting, generator) for _ in range(draws)]
        words = [one for one, _, _ in found]
        rows.append(
            {
                "systems": setting.words,
                "songs": setting.songs,
                "pairs": len(list(combinations(setting.systems, 2))),
                "equal": setting.equal,
                "draws": draws,
                "called": np.mean([any(word in ("better", "worse") for word in one) for one in words]),
                "same": np.mean([one[0] == "same" for one in words]),
                "open": np.mean([one[0] == "open" for one in words]),
                "mean_difference": np.mean([first for _, _, first in found]),
                "half_width": np.median([halves[0] for _, halves, _ in found]),
            }
        )
        print(" ".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in rows[-1].values()))
    return rows


def main() -> None:
    """Simulate and write `systems.csv`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("other", help="another corpus: two systems that are equal and far from the reference")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    rows = simulate(Simulation(*pools_of(asked.corpus, asked.other)), settings_of(asked.other), asked.draws)
    asked.output.mkdir(parents=True, exist_ok=True)
    with (asked.output / "systems.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


if __name__ == "__main__":
    main()
