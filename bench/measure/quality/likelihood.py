"""Likelihood of held-out windows: bits/token with its interval over songs, and the nats of each window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from bench.measure.rows import row
from bench.store.vectors import NATS, Vector
from metrics.quantities import quantity_of
from metrics.statistics.ratio import ratio_interval

if TYPE_CHECKING:
    from bench.data import TokenCorpus
    from bench.diffusion.evaluation import BitsPerToken

SIDE: Final = "validation"
MONTE_CARLO = "half_width_over_masks"
"""Part of a row: half the 95 % interval of the estimate over masks alone, for these windows."""


def songs_of_windows(tokens: TokenCorpus, split: str, length: int) -> tuple[str, ...]:
    """The song that each window of a side lies in, by the id of its piece."""
    pieces = tokens.stream(split).pieces
    return tuple(pieces[index].id for index in tokens.windows(split, length).piece)


def bits_row(metric: str, bits: BitsPerToken, songs: Sequence[str], **words: str) -> dict[str, Any]:
    """The row of bits/token with its interval over songs; `words` complete the metric's definition.

    `songs` names the song of every window that could have been scored (`songs_of_windows`).
    """
    scored = [songs[window] for window in bits.windows]
    over_songs = ratio_interval(bits.nats, [count * math.log(2) for count in bits.tokens], scored)
    return row(
        metric,
        bits.value,
        low=over_songs.low,
        high=over_songs.high,
        n=bits.n_windows,
        songs=over_songs.n,
        definition=quantity_of(metric).definition.format(**words),
        parts={MONTE_CARLO: (bits.high - bits.low) / 2},
    )


def nats_vectors(bits: BitsPerToken, songs: Sequence[str], length: int, metric: str = NATS) -> list[Vector]:
    """Nats of each scored window; `piece` is its place among all windows of the side."""
    return [
        Vector(metric, SIDE, window, songs[window], length, nats, float(count))
        for window, nats, count in zip(bits.windows, bits.nats, bits.tokens, strict=True)
    ]
