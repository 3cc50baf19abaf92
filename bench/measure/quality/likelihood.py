"""Likelihood of held-out windows: bits/token with its interval over songs, and the nats of each window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bench.measure.quality.extent import Extent, window_extent
from bench.measure.rows import missing, row
from bench.store.vectors import NATS, Vector
from metrics.cost.quantities import BITS, BITS_PER_BEAT, BITS_PER_NOTE
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


def music_bits_rows(bits: BitsPerToken, songs: Sequence[str], extent: Extent) -> list[dict[str, Any]]:
    """Bits of the scored windows for each of their notes and beats, with intervals over songs.

    Unlike bits/token they can be compared across tokenizers. `extent` is that of the scored windows, in their order.
    """
    scored = [songs[window] for window in bits.windows]
    rows = []
    for metric, counts in ((BITS_PER_NOTE, extent.notes), (BITS_PER_BEAT, extent.beats)):
        found = ratio_interval(bits.nats, counts * math.log(2), scored)
        if math.isnan(found.value):
            rows.append(missing(metric, "the scored windows hold no note and no beat"))
            continue
        more = {"n": bits.n_windows, "songs": found.n, "definition": quantity_of(metric).definition}
        rows.append(row(metric, found.value, low=found.low, high=found.high, **more))
    return rows


def baseline_rows(tokens: TokenCorpus, length: int, baselines: Mapping[str, tuple[float, str]]) -> list[dict[str, Any]]:
    """Rows of token baselines: name -> bits/token of all validation windows, and the definition; per note and beat
    too."""
    extent, count = window_extent(tokens, SIDE, length), int(tokens.windows(SIDE, length).count.sum())
    totals = {BITS: float(count), BITS_PER_NOTE: extent.notes.sum(), BITS_PER_BEAT: extent.beats.sum()}
    return [
        row(metric, bits * count / total, arm=name, definition=definition)
        for name, (bits, definition) in baselines.items()
        for metric, total in totals.items()
        if total
    ]


def nats_vectors(bits: BitsPerToken, songs: Sequence[str], length: int, metric: str = NATS) -> list[Vector]:
    """Nats of each scored window; `piece` is its place among all windows of the side."""
    return [
        Vector(metric, SIDE, window, songs[window], length, nats, float(count))
        for window, nats, count in zip(bits.windows, bits.nats, bits.tokens, strict=True)
    ]
