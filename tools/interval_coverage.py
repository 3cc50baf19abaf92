"""Coverage of the intervals of all music metrics in simulated studies on a corpus.

Both sides of a study are excerpts of different songs, drawn from all songs of the corpus without replacement. The value
that an interval should hold is the mean over the studies: the expected value of the metric at this number of pieces.

    python tools/interval_coverage.py pop909 --songs 16 --excerpts 4 --studies 200
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from bench.data.pieces import SPLITS
from bench.measure.quality.music import full_windows, load_tokens, to_notes
from metrics import MetricResult, Notes, quality_table

TRAINING_PIECES = 300


def excerpts_by_song(corpus: str, length: int, count: int) -> dict[str, list[Notes]]:
    """The first `count` full windows of each song that has as many, of all sides of the split."""
    tokens = load_tokens(corpus, {})
    songs: dict[str, list[Notes]] = {}
    for split in SPLITS:
        for piece in to_notes(tokens, full_windows(tokens, split, length), split):
            songs.setdefault(piece.song, []).append(piece)
    return {song: pieces[:count] for song, pieces in songs.items() if len(pieces) >= count}


def simulated(pool: Sequence[list[Notes]], songs: int, studies: int, seed: int) -> dict[str, list[MetricResult]]:
    """Results of every metric in each study, by name."""
    everything = [piece for pieces in pool for piece in pieces]
    train = everything[:: max(len(everything) // TRAINING_PIECES, 1)]
    generator = np.random.default_rng(seed)
    found: dict[str, list[MetricResult]] = {}
    for study in range(studies):
        order = generator.permutation(len(pool))
        sides = [[piece for song in part for piece in pool[song]] for part in (order[:songs], order[songs : 2 * songs])]
        for result in quality_table(*sides, train, seed=study):
            found.setdefault(result.name, []).append(result)
    return found


def coverage(results: Sequence[MetricResult]) -> tuple[float, float, int]:
    """Share of the intervals that hold the mean value, their median width, and how many there are."""
    truth = np.nanmean([result.value for result in results])
    ends = np.array([(result.low, result.high) for result in results if np.isfinite(result.low)]).reshape(-1, 2)
    held = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    return (float(held.mean()), float(np.median(np.ptp(ends, axis=1))), len(ends)) if len(ends) else (np.nan, np.nan, 0)


def main() -> None:
    """Print one line a metric as Markdown: coverage, median width, intervals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    for name, default in (("songs", 16), ("excerpts", 1), ("studies", 200), ("length", 512), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    pool = list(excerpts_by_song(asked.corpus, asked.length, asked.excerpts).values())
    if len(pool) < 2 * asked.songs:
        parser.error(f"{asked.corpus} has {len(pool)} songs of {asked.excerpts} excerpts, {2 * asked.songs} are needed")
    print("| metric | coverage | median width | intervals |\n| --- | ---: | ---: | ---: |")
    for name, results in simulated(pool, asked.songs, asked.studies, asked.seed).items():
        share, width, count = coverage(results)
        print(f"| `{name}` | {share:.3f} | {width:.3g} | {count} |")


if __name__ == "__main__":
    main()
