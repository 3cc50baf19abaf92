"""Sets of pieces drawn from a pool without replacement, by songs: what another set of the source might hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

REDRAWS: Final = 200
LARGEST_SHARE: Final = 0.9
"""Of the songs of a pool in one draw: larger draws hold nearly the same songs, so that their spread says little."""


@dataclass(frozen=True)
class Draws:
    """Draws of `chosen.shape[1]` pieces, as places in a pool: `chosen` int64 (R, N).

    Each holds `songs` of the pool's `pool_songs` songs, one piece a song before a second one.
    """

    chosen: NDArray[np.int64]
    songs: int
    pool_songs: int

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The figures of the draws as of draws that share no song: moved away from their mean.

        Draws of m out of M songs without replacement share songs, and a mean over them has 1 - m / M of the variance
        of draws from an endless source. (R,) -> (R,); NaN stays.
        """
        finite = values[np.isfinite(values)]
        if self.songs >= self.pool_songs or not len(finite):
            return values
        return finite.mean() + (values - finite.mean()) / np.sqrt(1 - self.songs / self.pool_songs)


def draw_pieces(
    songs: NDArray[np.int64],
    count: int,
    generator: np.random.Generator,
    draws: int = REDRAWS,
    largest_share: float = LARGEST_SHARE,
) -> Draws:
    """`draws` draws of `count` pieces, or as many as nine tenths (`largest_share`) of the songs have.

    `songs` (P,) numbers the song of each piece from 0. A song gives its pieces in one order in every draw: which of its
    pieces stands first is drawn once.
    """
    total = int(songs.max(initial=-1)) + 1
    taken = min(count, max(int(largest_share * total), 1))
    order = np.lexsort((generator.random(len(songs)), songs))
    first = np.searchsorted(songs[order], np.arange(total))
    place = np.empty(len(songs), np.int64)  # of a piece among those of its song
    place[order] = np.arange(len(songs)) - first[songs[order]]
    chosen = []
    for _ in range(draws if total else 0):
        rank = np.full(total, total)
        rank[generator.permutation(total)[:taken]] = np.arange(taken)
        mine = np.flatnonzero(rank[songs] < total)
        chosen.append(mine[np.lexsort((rank[songs[mine]], place[mine]))][:count])
    smallest = min(map(len, chosen), default=0)  # songs differ in how many pieces they have
    table = np.array([one[:smallest] for one in chosen], np.int64).reshape(len(chosen), smallest)
    return Draws(table, min(taken, smallest), total)


def halves(songs: NDArray[np.int64], generator: np.random.Generator, draws: int = REDRAWS) -> tuple[Draws, Draws]:
    """Draws of half the songs of a set, with all pieces of those songs, and as many pieces of the other half."""
    total = int(songs.max(initial=-1)) + 1
    sides: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for _ in range(draws if total > 1 else 0):
        inside = np.isin(songs, generator.permutation(total)[: total // 2])
        for side, mask in zip(sides, (inside, ~inside), strict=True):
            side.append(generator.permutation(np.flatnonzero(mask)))
    smallest = min((len(one) for side in sides for one in side), default=0)
    tables = (np.array([one[:smallest] for one in side], np.int64).reshape(len(side), smallest) for side in sides)
    first, second = (Draws(table, 0, total) for table in tables)
    return first, second


def weights_of_draws(chosen: NDArray[np.int64], pieces: int) -> NDArray[np.float64]:
    """How often each draw holds each of the pieces of a pool: (R, N) -> (R, P)."""
    weights = np.zeros((len(chosen), pieces))
    np.add.at(weights, (np.arange(len(chosen))[:, None], chosen), 1)
    return weights


def means_of_draws(values: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over each draw of one value a piece, those without a value left out: (P,), (R, N) -> (R,)."""
    kept = np.isfinite(values)[chosen]
    with np.errstate(invalid="ignore"):
        return np.where(kept, values[chosen], 0.0).sum(1) / kept.sum(1)
