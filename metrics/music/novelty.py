"""Novelty: longest passage copied from a training piece, and distance to the nearest training piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.grid import TIME_BINS, duration_bins, snap_beats, time_bins
from metrics.music.notes import Notes, by_piece, per_piece, song_numbers, with_notes
from metrics.music.resample import mean_measured
from metrics.music.vectors import scaling, summary_table
from metrics.quantities import POSITIVE, Section, music_metric, register_each
from metrics.result import MetricResult, check_known, missing

COPIES: Final = ("longest_copy", "longest_copy_transposed")
KINDS: Final = (*COPIES, "nearest_distance")
NOVELTY: Final = {
    **register_each("novelty", COPIES, "notes", "none", bounds=POSITIVE, section=Section.NOVELTY),
    **register_each("novelty", KINDS[len(COPIES) :], "1", "none", bounds=POSITIVE, section=Section.NOVELTY),
}
MOST_NEIGHBOURS: Final = 1000  # training pieces that the nearest one is sought among, evenly picked

MULTIPLIER: Final = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
MIXER: Final = np.uint64(0xBF58476D1CE4E5B9)
FILTER_BITS: Final = 22
NO_SONG: Final = np.iinfo(np.int64).max
SINGLE_STEPS: Final = 8  # sizes up to here are tried one by one; from there each is twice as long
MOST_PAIRS: Final = 4_000_000  # (piece, training place) pairs held at once

Places = NDArray[np.int64]


@per_piece
def note_words(notes: Notes, transposed: bool = False) -> NDArray[np.uint64]:
    """One number for each note after the first: shape (N - 1,).

    Of its step in time from the note before, pitch and duration on the token grid; `transposed`: of that step and the
    interval from the note before, the same in every key.
    """
    if len(notes) < 2:
        return np.zeros(0, np.uint64)
    words = time_bins(np.diff(snap_beats(notes.onset))) * 256
    if transposed:
        words = words + (notes.pitch[1:].astype(np.int64) - notes.pitch[:-1]) + 128
    else:
        words = (words + notes.pitch[1:]) * TIME_BINS + duration_bins(notes.duration[1:])
    mixed = (words.astype(np.uint64) + np.uint64(1)) * MIXER
    return mixed ^ (mixed >> np.uint64(29))


class Passages:
    """Every run of note words of some pieces: hashes that one subtraction finds, none crossing from piece to piece."""

    def __init__(self, texts: Sequence[NDArray[np.uint64]], songs: NDArray[np.int64]) -> None:
        joined = np.concatenate([*texts, np.zeros(0, np.uint64)])
        lengths = np.array([len(text) for text in texts], np.int64)
        self.owner = np.repeat(np.arange(len(texts)), lengths)
        self.songs = songs[self.owner]  # of each place
        self.room = np.concatenate([np.arange(n, 0, -1) for n in lengths] + [np.zeros(0, np.int64)])
        sums = np.cumsum(joined * _powers(len(joined), MULTIPLIER), dtype=np.uint64)
        self._prefix = np.concatenate([np.zeros(1, np.uint64), sums])  # polynomial hash modulo 2^64
        self._inverse = _powers(len(joined), pow(MULTIPLIER, -1, 1 << 64))

    def hashes(self, start: Places, size: int | Places) -> NDArray[np.uint64]:
        """Hash of the run of `size` words from each start; there must be room for it."""
        return (self._prefix[start + size] - self._prefix[start]) * self._inverse[start]


def longest_copies(pieces: Sequence[Notes], train: Sequence[Notes], *, transposed: bool = False) -> NDArray[np.int64]:
    """Notes after the first of the longest passage of each piece that one training piece of another song holds too,
    in its key or (`transposed`) in any: shape (pieces,).

    Sizes grow for all pieces together, and only places whose run the other side holds are kept on either side. A piece
    that has none left halves the range between the last two sizes, among the places that it shared at the smaller one.
    """
    texts = [note_words(piece, transposed) for piece in (*pieces, *train)]
    songs = named_songs([*pieces, *train])
    asked = Passages(texts[: len(pieces)], songs[: len(pieces)])
    known = Passages(texts[len(pieces) :], songs[len(pieces) :])
    longest = np.zeros(len(pieces), np.int64)
    mine, theirs, size = np.arange(len(asked.owner)), np.arange(len(known.owner)), 0
    while len(mine):
        following = size + 1 if size < SINGLE_STEPS else 2 * size
        left, right = mine[asked.room[mine] >= following], theirs[known.room[theirs] >= following]
        runs = asked.hashes(left, following), known.hashes(right, following)
        here, there = _shared(runs, (asked.songs[left], known.songs[right]))
        left, right = left[here], right[there]
        ended = ~np.isin(asked.owner[mine], asked.owner[left])
        longest[asked.owner[mine[ended]]] = size
        if following > size + 1 and ended.any():
            _halve(longest, asked, known, mine[ended], theirs, (size, following - 1))
        mine, theirs, size = left, right, following
    return longest


def named_songs(pieces: Sequence[Notes]) -> NDArray[np.int64]:
    """Number of the song of each piece by its name, a piece without one its own: shape (N,).

    Unlike `song_numbers`, the same notes in another `Notes` are another song: a copy is what is sought here.
    """
    found: dict[str | int, int] = {}
    return np.array([found.setdefault(piece.song or id(piece), len(found)) for piece in pieces], np.int64)


def _shared(
    hashes: tuple[NDArray[np.uint64], NDArray[np.uint64]], songs: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of the hashes on either side the other side holds in another song."""
    shift = np.uint64(64 - FILTER_BITS)
    masks = []
    for own, other in (hashes, hashes[::-1]):
        seen = np.zeros(1 << FILTER_BITS, bool)  # most are ruled out by a few bits, without a sort
        seen[other >> shift] = True
        masks.append(seen[own >> shift])
    joined = np.concatenate([own[mask] for own, mask in zip(hashes, masks, strict=True)])
    order = np.argsort(joined)
    ordered = joined[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)])
    if not len(starts):
        return masks[0], masks[1]
    sizes = np.diff(np.append(starts, len(ordered)))
    song = np.concatenate([own[mask] for own, mask in zip(songs, masks, strict=True)])
    first = int(masks[0].sum())
    met = np.zeros(len(joined), bool)
    sides = slice(0, first), slice(first, None)
    for mine, others in (sides, sides[::-1]):
        # a run of equal hashes holds another song than its own where the lowest or the highest of the others differs
        other = np.zeros(len(joined), bool)
        other[others] = True
        lowest, highest = (
            np.repeat(bound.reduceat(np.where(other, song, none)[order], starts), sizes)
            for bound, none in ((np.minimum, NO_SONG), (np.maximum, -1))
        )
        differs = np.empty(len(joined), bool)
        differs[order] = (highest >= 0) & ((lowest != song[order]) | (highest != song[order]))
        met[mine] = differs[mine]
    masks[0][masks[0]], masks[1][masks[1]] = met[:first], met[first:]
    return masks[0], masks[1]


def _halve(
    longest: NDArray[np.int64], asked: Passages, known: Passages, mine: Places, theirs: Places, bounds: tuple[int, int]
) -> None:
    """Set `longest`, known to lie within `bounds`, for the pieces that own the places `mine`."""
    hashes = known.hashes(theirs, bounds[0])
    order = np.argsort(hashes)
    theirs, hashes = theirs[order], hashes[order]
    piece, wanted = asked.owner[mine], asked.hashes(mine, bounds[0])
    by_piece = np.lexsort((wanted, piece))
    piece, wanted = piece[by_piece], wanted[by_piece]
    fresh = np.append(True, (np.diff(piece) != 0) | (np.diff(wanted) != 0))
    piece, wanted = piece[fresh], wanted[fresh]
    first = np.searchsorted(hashes, wanted, "left")
    count = np.searchsorted(hashes, wanted, "right") - first
    share = np.cumsum(count) // MOST_PAIRS  # pieces are taken in shares, so that memory stays bounded
    share = np.maximum.accumulate(share)[np.searchsorted(piece, piece)]
    for part in np.unique(share):
        rows = share == part
        begins = np.cumsum(count[rows]) - count[rows]
        place = np.arange(count[rows].sum()) - np.repeat(begins - first[rows], count[rows])
        there, for_piece = theirs[place], np.repeat(piece[rows], count[rows])
        stranger = known.songs[there] != asked.songs[mine[np.searchsorted(asked.owner[mine], for_piece)]]
        there, for_piece = there[stranger], for_piece[stranger]
        own = mine[np.isin(asked.owner[mine], piece[rows])]
        low, high = longest.copy(), np.full(len(longest), bounds[1])
        low[for_piece] = bounds[0]
        for _ in range((bounds[1] - bounds[0]).bit_length()):
            middle = (low + high + 1) // 2
            left = _keyed(asked, own, asked.owner[own], middle)
            right = _keyed(known, there, for_piece, middle)
            found = np.zeros(len(longest), bool)
            found[asked.owner[own[left[1]]][np.isin(left[0], right[0])]] = True
            low, high = np.where(found, middle, low), np.where(found, high, middle - 1)
            high = np.maximum(low, high)
        longest[for_piece] = low[for_piece]


def _keyed(
    passages: Passages, places: Places, piece: Places, sizes: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Hashes of the runs of each piece's own size, distinct by piece, and which places have room for one."""
    room = passages.room[places] >= sizes[piece]
    places, piece = places[room], piece[room]
    return passages.hashes(places, sizes[piece]) ^ (piece.astype(np.uint64) * MIXER), room


@music_metric(*({"kind": kind} for kind in KINDS), redraws="mean")
def novelty(
    generated: Sequence[Notes],
    train: Sequence[Notes],
    kind: str = "longest_copy",
    *,
    reference: Sequence[Notes] = (),
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Likeness of generated pieces to training pieces; to be read beside held-out music, `parts["reference"]`.

    `longest_copy` [notes]: mean over pieces of the longest run of notes, equal in step, pitch and duration on the
    token grid, that some training piece holds too; `longest_copy_transposed`: equal in step and in the interval from
    the note before, so that a copy in another key is found. Far above the reference: the model copies.
    `nearest_distance`: mean distance of the summary vector (`summary_vectors`, scaled by the training pieces' spread)
    to the nearest of up to 1,000 training pieces; far below the reference: copies, far above: strange music.
    A piece is never compared with itself nor with training pieces of its own song (`Notes.song`).
    `parts`: largest (copy) or smallest (distance), n_train, reference, and for copies copied_whole, the share of
    pieces of which at least 90 % is one copy.
    """
    check_known("novelty kind", kind, KINDS)
    name = NOVELTY[kind]
    gen, known, held_out = with_notes(generated), with_notes(train), with_notes(reference)
    for side, pieces in (("generated", gen), ("training", known)):
        if not pieces:
            return missing(name, len(gen), f"no {side} piece has notes")
    parts: dict[str, float] = {}
    if kind in COPIES:
        copies = longest_copies([*gen, *held_out], known, transposed=kind == COPIES[1]).astype(np.float64)
        lengths = np.array([max(len(piece) - 1, 1) for piece in gen])
        parts |= {"largest": copies[: len(gen)].max(), "copied_whole": (copies[: len(gen)] >= 0.9 * lengths).mean()}
        values, beside = by_piece(generated, copies[: len(gen)]), by_piece(reference, copies[len(gen) :])
    else:
        picked = np.unique(np.linspace(0, len(known) - 1, min(len(known), MOST_NEIGHBOURS)).astype(np.int64))
        known = [known[i] for i in picked]
        values, beside = _nearest([generated, reference], known)
        if np.isnan(values).all():
            return missing(name, len(gen), "needs 2 training pieces of other songs, with two notes each")
        parts["smallest"] = np.nanmin(values)
    parts["n_train"] = len(known)
    if np.isfinite(beside).any():
        parts["reference"] = float(np.nanmean(beside))
    return mean_measured(name, values, song_numbers(generated), parts, intervals=intervals, seed=seed)


def _nearest(sets: Sequence[Sequence[Notes]], train: Sequence[Notes]) -> list[NDArray[np.float64]]:
    """Distance of each piece to the nearest training piece of another song, NaN for a piece with fewer than two notes
    or without such a training piece."""
    from scipy.spatial.distance import cdist

    table = summary_table(train)
    kept = np.isfinite(table).all(1)
    if kept.sum() < 2:
        return [np.full(len(pieces), np.nan) for pieces in sets]
    centre, scale = scaling(table[kept])
    known = (table[kept] - centre) / scale
    found = []
    for pieces in sets:
        songs = named_songs([*pieces, *train])
        own = songs[: len(pieces), None] == songs[len(pieces) :][kept]
        distance = np.where(own, np.inf, cdist((summary_table(pieces) - centre) / scale, known)).min(1, initial=np.inf)
        found.append(np.where(np.isfinite(distance), distance, np.nan))
    return found


def _powers(count: int, base: int) -> NDArray[np.uint64]:
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)
