"""Likelihood of held-out windows: bits/token with its interval over songs, and the nats of each window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bench.measure.quality.extent import Extent, window_extent
from bench.measure.quality.music import SongWindows
from bench.measure.rows import missing, row
from bench.store.vectors import NATS, Side, Vector
from metrics.cost.quantities import (
    BITS,
    BITS_PER_BEAT,
    BITS_PER_NOTE,
    COUNT_FORM,
    ENDINGS_GAP,
    VALIDATION_BITS,
    likelihood_definition,
)
from metrics.quantities import quantity_of
from metrics.statistics.ratio import ratio_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from bench.data import TokenBaselines, TokenCorpus
    from bench.diffusion import AbsorbingDiffusion
    from bench.diffusion.evaluation import BitsPerToken
    from bench.training import PartialTrainSettings

TEST: Final = "test"
"""Side of the windows behind every figure that a report compares."""
VALIDATION: Final = "validation"
"""Side of the windows behind the learning curve and every choice."""
MONTE_CARLO = "half_width_over_masks"
"""Part of a row: half the 95 % interval of the estimate over masks alone, for these windows."""


def windows_of(tokens: TokenCorpus, side: str, length: int) -> SongWindows:
    """All windows of a side, those with PAD too, and the song that each lies in, by the id of its piece."""
    pieces, windows = tokens.stream(side).pieces, tokens.windows(side, length)
    return SongWindows(windows.tokens, tuple(pieces[index].id for index in windows.piece))


def held_out_bits(
    network: nn.Module,
    diffusion: AbsorbingDiffusion,
    windows: SongWindows,
    settings: PartialTrainSettings,
    *,
    device: torch.device | str = "cpu",
    each: Callable[[int, int], None] | None = None,
) -> BitsPerToken:
    """Bits/token of a network, trained or loaded, on the grid of windows and masks that follows a training.

    Of `settings` the two of the final evaluation, the batch and the precision are read; `each(done, of)` is called
    after every call, with counts of masked windows. Raises DiffusionError as `bits_per_token` does.
    """
    from bench.diffusion.sampling_step import SamplingStep

    return diffusion.bits_per_token(
        SamplingStep(diffusion.as_called(network), precision=settings.evaluation_precision),
        windows.tokens,
        draws=settings.final_validation_draws,
        max_windows=settings.final_validation_windows,
        batch=settings.batch,
        device=device,
        each=each,
    )


def bits_row(
    metric: str, bits: BitsPerToken, songs: Sequence[str], *, estimate: str = COUNT_FORM, **words: str
) -> dict[str, Any]:
    """The row of bits/token with its interval over songs; `estimate` (what the figure is, see `likelihood_kind`) and
    `words` complete the metric's definition.

    `songs` names the song of every window that could have been scored (`windows_of`).
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
        definition=likelihood_definition(metric, estimate, **words),
        parts={MONTE_CARLO: (bits.high - bits.low) / 2},
    )


def music_bits_rows(
    bits: BitsPerToken, songs: Sequence[str], extent: Extent, estimate: str = COUNT_FORM
) -> list[dict[str, Any]]:
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
        definition = likelihood_definition(metric, estimate)
        more = {"n": bits.n_windows, "songs": found.n, "definition": definition}
        rows.append(row(metric, found.value, low=found.low, high=found.high, **more))
    return rows


def baseline_rows(
    tokens: TokenCorpus, length: int, baselines: Mapping[str, tuple[float, str]], side: str = TEST
) -> list[dict[str, Any]]:
    """Rows of token baselines: name -> bits/token of all windows of a side, and the definition; per note and beat too
    where it is the test side."""
    count = int(tokens.windows(side, length).count.sum())
    totals = {VALIDATION_BITS: float(count)}
    if side == TEST:
        extent = window_extent(tokens, side, length)
        totals = {BITS: float(count), BITS_PER_NOTE: extent.notes.sum(), BITS_PER_BEAT: extent.beats.sum()}
    return [
        row(metric, bits * count / total, arm=name, definition=definition)
        for name, (bits, definition) in baselines.items()
        for metric, total in totals.items()
        if total
    ]


def endings_row(bits: BitsPerToken, length: int) -> dict[str, Any]:
    """How much more a token costs in windows of `length` that end in PAD than in full ones."""
    at_end = [count < length for count in bits.tokens]
    if all(at_end) or not any(at_end):
        return missing(ENDINGS_GAP, "no scored window ends in PAD, or all do")

    def cost(chosen: bool) -> float:
        places = [place for place, short in enumerate(at_end) if short is chosen]
        return sum(bits.nats[i] for i in places) / sum(bits.tokens[i] for i in places) / math.log(2)

    return row(ENDINGS_GAP, cost(True) - cost(False), n=sum(at_end), definition=quantity_of(ENDINGS_GAP).definition)


def endings_rows_of_baselines(tokens: TokenCorpus, length: int, baselines: TokenBaselines) -> list[dict[str, Any]]:
    """The same of the token baselines, over all windows of the test side: the corpus's own difference."""
    at_end = tokens.windows(TEST, length).count < length
    if at_end.all() or not at_end.any():
        return []
    last, others = (baselines.bits(TEST, chosen) for chosen in (at_end, ~at_end))
    more = {"n": int(at_end.sum()), "definition": quantity_of(ENDINGS_GAP).definition}
    return [row(ENDINGS_GAP, last[name] - others[name], arm=name, **more) for name in last]


def nats_vectors(
    bits: BitsPerToken, songs: Sequence[str], length: int, metric: str = NATS, side: Side = TEST
) -> list[Vector]:
    """Nats of each scored window; `piece` is its place among all windows of the side."""
    return [
        Vector(metric, side, window, songs[window], length, nats, float(count))
        for window, nats, count in zip(bits.windows, bits.nats, bits.tokens, strict=True)
    ]
