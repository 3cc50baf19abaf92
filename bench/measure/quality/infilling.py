"""Infilling: bars of test songs are hidden, the arm draws them, and they are compared with what was there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bench.errors import UserError
from bench.measure.quality.drawing import Emit, fill_rows
from bench.measure.quality.extent import beat_of_token
from bench.measure.quality.music import REFERENCE_SEED, full_windows, song_by_song
from bench.measure.quality.process import token_language
from bench.measure.rows import metric_row, missing, row
from bench.store.vectors import Vector
from metrics.music.infilling import INFILLING, OTHER_SONG, REPEATED_BARS, infilling_results
from metrics.music.table import CEILING

if TYPE_CHECKING:
    import torch

    from bench.data import TokenCorpus
    from bench.diffusion import AbsorbingDiffusion
    from bench.diffusion.constraints import TokenLanguage
    from metrics import MetricResult, Notes

NO_INFILLING: Final = "an autoregressive process sees nothing of what follows the hidden bars"
CONTEXT_BARS: Final = 2  # at least one bar before what is hidden, and one after it


@dataclass(frozen=True)
class Excerpt:
    """A window of a test song, int64 (L,), and its bars `first` to `end` - 1, whose tokens `hidden` (L,) marks."""

    tokens: np.ndarray
    hidden: np.ndarray
    first: int
    end: int
    song: str


def choose_excerpts(tokens: TokenCorpus, length: int, bars: int, pieces: int) -> list[Excerpt]:
    """One excerpt of `length` tokens from each of `pieces` test songs, the same for all arms and seeds.

    Songs come in the order of `held_out_windows`. Of each song the first window is taken that holds `bars` bars with
    a note in them and a bar before and after; where the hidden ones begin is drawn.
    Raises UserError where fewer songs have such a window.
    """
    full, language = full_windows(tokens, "test", length), token_language(tokens)
    if "Rest" in language.types:
        raise UserError("infilling: Rest tokens move the time of what follows; allowed: a tokenizer without rests")
    known = [piece.id for piece in tokens.stream("test").pieces]
    found: dict[str, Excerpt] = {}
    for index in song_by_song(full.songs, known):
        song = full.songs[index]
        if song not in found and len(found) < pieces:
            window = np.asarray(full.tokens[index]).astype(np.int64)
            chosen = _excerpt(tokens, language, window, bars, song, [REFERENCE_SEED, known.index(song), 7])
            if chosen is not None:
                found[song] = chosen
    if len(found) < pieces:
        raise UserError(
            f"infilling: {len(found)} test songs of {tokens.corpus.label} have a window of {length} tokens with "
            f"{bars + CONTEXT_BARS} bars, {pieces} are wanted: lower measure.infilling.bars or pieces, or raise length"
        )
    return list(found.values())


def measure_infilling(
    backbone: torch.nn.Module,
    diffusion: AbsorbingDiffusion,
    tokens: TokenCorpus,
    settings: dict[str, Any],
    emit: Emit,
) -> tuple[list[dict[str, Any]], list[Vector]]:
    """Rows of a quality cell's infilling and the values of each piece: its sampler draws the hidden bars.

    The number of tokens in each bar and the Bar tokens are given; the sampler takes the share of its steps that the
    hidden tokens have of the window, as `generate --infill` does. A process by blocks sees what follows within a block
    alone, which its rows note; an autoregressive one does not infill, and its rows say so.
    """
    import torch

    from bench.diffusion.objectives import AUTOREGRESSIVE

    if diffusion.objective == AUTOREGRESSIVE:
        return [missing(metric, NO_INFILLING) for metric in INFILLING], []
    length = int(settings["length"])
    excerpts = choose_excerpts(tokens, length, **settings["infilling"])
    clean_NL, hidden_NL = (np.stack([getattr(one, name) for one in excerpts]) for name in ("tokens", "hidden"))
    sample, _, _ = fill_rows(
        backbone,
        diffusion,
        tokens,
        settings,
        torch.from_numpy(np.where(hidden_NL, tokens.mask_id, clean_NL)),
        emit,
        purpose="infill",
        forbidden_ids=token_language(tokens).time_ids.tolist(),
    )
    drawn_NL = sample.tokens_BL.cpu().numpy()
    infilled = [bars_of(tokens, row_L, one) for row_L, one in zip(drawn_NL, excerpts, strict=True)]
    results = infilling_results(infilled, [bars_of(tokens, one.tokens, one) for one in excerpts])
    one_sided = diffusion.block is not None and diffusion.block < length
    note = {"note": f"what follows is seen within blocks of {diffusion.block} tokens alone"} if one_sided else {}
    return [metric_row(result) | note for result in results], _vectors(results, excerpts, length)


def infilling_references(tokens: TokenCorpus, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the same excerpts filled without a network: the hidden bars of the next excerpt's song, and the bars
    before the hidden ones once more. The hidden bars themselves are the ceiling, 1 by definition."""
    length = int(settings["length"])
    excerpts = choose_excerpts(tokens, length, **settings["infilling"])
    hidden = [bars_of(tokens, one.tokens, one) for one in excerpts]
    fillers: dict[str, Callable[[], Sequence[Notes]]] = {
        OTHER_SONG: lambda: hidden[1:] + hidden[:1],
        REPEATED_BARS: lambda: [repeated_bars(tokens, one) for one in excerpts],
    }
    rows = [row(metric, 1.0, arm=CEILING, n=len(excerpts), songs=len(excerpts)) for metric in INFILLING]
    for arm, make in fillers.items():
        rows += [metric_row(result) | {"arm": arm} for result in infilling_results(make(), hidden)]
    return rows


def bars_of(tokens: TokenCorpus, row_L: np.ndarray, excerpt: Excerpt) -> Notes:
    """The notes that begin in the hidden bars, as a token row (L,) has them; beats from the first of these bars."""
    edges = _bar_edges(tokens, excerpt)
    return _between(_notes(tokens, row_L), edges[excerpt.first : excerpt.end + 1], excerpt.song)


def repeated_bars(tokens: TokenCorpus, excerpt: Excerpt) -> Notes:
    """In place of the hidden bars as many of those before them, in their order; where there are fewer, again from
    the first of these."""
    from metrics import Notes

    edges, notes = _bar_edges(tokens, excerpt), _notes(tokens, excerpt.tokens)
    count = excerpt.end - excerpt.first
    there = min(count, excerpt.first)
    parts = []
    for bar in range(count):
        source = excerpt.first - there + bar % there
        one = _between(notes, edges[source : source + 2], "")
        parts.append(replace(one, onset=one.onset + edges[excerpt.first + bar] - edges[excerpt.first]))
    columns = [np.concatenate([getattr(one, name) for one in parts]) for name in ("onset", "duration", "pitch")]
    meters = _meters(edges[excerpt.first : excerpt.end + 1])
    return replace(Notes.from_arrays(*columns, meters=meters), song=excerpt.song)


def _excerpt(
    tokens: TokenCorpus, language: TokenLanguage, window: np.ndarray, bars: int, song: str, seed: list[int]
) -> Excerpt | None:
    """The window with its hidden bars; None where there is no place for them."""
    count = int((window == tokens.bar_id).sum())
    starts = np.arange(1, count - bars)
    for first in np.random.default_rng(seed).permutation(starts).tolist():
        hidden = language.hidden_in_bars(window, first, first + bars)
        chosen = Excerpt(window, hidden, first, first + bars, song)
        if len(bars_of(tokens, window, chosen)):
            return chosen
    return None


def _vectors(results: Sequence[MetricResult], excerpts: Sequence[Excerpt], length: int) -> list[Vector]:
    return [
        Vector(result.name, "test", piece, excerpts[piece].song, length, value)
        for result in results
        for piece, value in enumerate(result.values)
    ]


def _bar_edges(tokens: TokenCorpus, excerpt: Excerpt) -> np.ndarray:
    """Beat at which each bar of the excerpt begins, and last the end of its final bar, as if it were complete."""
    row_L = np.append(excerpt.tokens, tokens.bar_id)
    return beat_of_token(tokens, row_L)[row_L == tokens.bar_id]


def _notes(tokens: TokenCorpus, row_L: np.ndarray) -> Notes:
    from metrics import read_notes

    return read_notes(tokens.decode(row_L))


def _between(notes: Notes, edges: np.ndarray, song: str) -> Notes:
    """The notes that begin in the bars between these edges, in beats from the first."""
    from metrics import Notes

    inside = (notes.onset >= edges[0] - 1e-6) & (notes.onset < edges[-1] - 1e-6)
    columns = (notes.onset[inside] - edges[0], notes.duration[inside], notes.pitch[inside], notes.velocity[inside])
    return replace(Notes.from_arrays(*columns, meters=_meters(edges)), song=song)


def _meters(edges: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((float(start - edges[0]), float(end - start)) for start, end in pairwise(edges))
