"""Structureness indicator: how well a passage of a piece returns elsewhere in it, by the fitness scape plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.notes import Notes, per_piece, song_numbers
from metrics.music.resample import mean_measured
from metrics.quantities import SHARE, Section, music_metric, register_each
from metrics.result import MetricResult, check_known, missing

BOUNDS: Final = {"short": (6, 16), "mid": (16, 30), "long": (30, 256)}
"""Shortest and longest passage in beats, one a frame: 3 to 8, 8 to 15 and 15 to 128 s at 120 beats a minute."""
STRUCTURENESS: Final = register_each("structureness", BOUNDS, "1", "nearest", bounds=SHARE, section=Section.FORM)

FRAMES_PER_BEAT: Final = 5  # before smoothing; 10 a second
SMOOTHING: Final = 21  # of these
PATH: Final = 16  # frames over which similarity is averaged along a diagonal, a power of two
TEMPI: Final = np.exp(np.linspace(np.log(0.5), np.log(2), 7))
KEPT: Final = 0.25  # share of the cells of the similarity matrix that stand for a return
PENALTY: Final = -2.0  # of every other cell
DIGITS: Final = 12  # of a similarity; cells equal but for rounding lie on one side of the threshold
SILENT: Final = 1e-3
TINY: Final = 1e-16

BLOCKS: Final = 2  # passages of like length are handled together
START: Final = 1 << 12  # units of a path's first row and of the rows covered so far, above its number of cells
COVER: Final = 1 << 24


@music_metric()
def structureness(
    generated: Sequence[Notes],
    scale: str = "short",
    *,
    reference: Sequence[Notes] = (),
    most_beats: int = 64,
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Mean over pieces of the highest fitness of a passage of 6 to 16 ("short"), 16 to 30 ("mid") or at least 30 beats
    ("long"), 0..1: 0, no such passage returns; towards 1, returns of one passage fill the piece.

    Source: Wu & Yang 2020 (arXiv 2008.01307), indicators SI_3^8, SI_8^15 and SI_15 at 120 beats a minute; fitness:
    Mueller, Jiang & Grosche 2013 (`scape_plot`), transpositions and changes of tempo included. Departures: chroma is
    that of the notes, not of audio, and of each piece the first `most_beats` are taken, in frames of one beat, since
    the time grows with their fourth power: 30 beats take 4 ms, 64 beats 60 ms. To be read beside the held-out value.
    Pieces shorter than the passage are left out. `parts`: sd (over pieces), left_out, reference.
    """
    check_known("structureness scale", scale, BOUNDS)
    name, place = STRUCTURENESS[scale], list(BOUNDS).index(scale)
    values, beside = (
        np.array([indicators(piece, most_beats)[place] for piece in pieces], np.float64)
        for pieces in (generated, reference)
    )
    kept = values[np.isfinite(values)]
    if not len(kept):
        return missing(name, 0, f"no generated piece has {BOUNDS[scale][0]} beats")
    parts = {"sd": kept.std(ddof=1) if len(kept) > 1 else np.nan, "left_out": len(values) - len(kept)}
    if np.isfinite(beside).any():
        parts["reference"] = np.nanmean(beside)
    songs = song_numbers(generated)
    return mean_measured(name, values, songs, parts, intervals=intervals, seed=seed, scale="rate")


@per_piece
def indicators(notes: Notes, most_beats: int) -> NDArray[np.float64]:
    """Highest fitness of the passages of each range of lengths: shape (3,); NaN where the piece is shorter."""
    found = np.full(len(BOUNDS), np.nan)
    frames = chroma_frames(notes)[:most_beats]
    if len(frames) >= min(BOUNDS.values())[0]:
        fitness = scape_plot(similarity_matrix(frames))
        for index, (shortest, longest) in enumerate(BOUNDS.values()):
            if len(frames) >= shortest:
                found[index] = fitness[shortest - 1 : longest].max()
    return found


def chroma_frames(notes: Notes) -> NDArray[np.float64]:
    """Share of the sounding notes of each pitch class in each beat, as vectors of length 1: shape (beats, 12).

    The notes that sound in each fifth of a beat, normalised, averaged over 21 fifths, every fifth one kept, normalised.
    """
    if not len(notes):
        return np.zeros((0, 12))
    first = np.floor(notes.onset * FRAMES_PER_BEAT + 1e-9).astype(np.int64)
    last = np.maximum(np.ceil(notes.releases * FRAMES_PER_BEAT - 1e-9).astype(np.int64), first + 1)
    steps = np.zeros((int(np.ceil(notes.end_beats - 1e-9)) * FRAMES_PER_BEAT + 1, 12))
    np.add.at(steps, (first, notes.pitch % 12), 1.0)
    np.add.at(steps, (last, notes.pitch % 12), -1.0)
    sounding = _normalised(np.cumsum(steps, axis=0)[:-1], fallback=0.0)
    reach = SMOOTHING // 2
    sums = np.cumsum(np.pad(sounding, ((reach + 1, reach), (0, 0))), axis=0)
    return _normalised((sums[SMOOTHING:] - sums[:-SMOOTHING])[::FRAMES_PER_BEAT] / SMOOTHING, fallback=12**-0.5)


def _normalised(rows: NDArray[np.float64], fallback: float) -> NDArray[np.float64]:
    length = np.sqrt((rows**2).sum(1, keepdims=True))
    return np.where(length > SILENT, rows / np.maximum(length, SILENT), fallback)


def similarity_matrix(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Enhanced self-similarity of frames (N, 12): shape (N, N), 0..1 in the quarter of the cells that are most alike
    and -2 in the others, 1 on the diagonal.

    Cosine similarity with the frames in each of twelve keys, averaged over 16 frames along paths of seven tempi
    between half and double, forwards and backwards; the highest of all.
    """
    count = len(frames)
    keys = np.stack([np.roll(frames, key, axis=1) for key in range(12)])
    similarity = keys @ frames.T  # 12 N N, row: moved frame
    best = np.zeros((count, count))
    for tempo in TEMPI:
        wide = int(np.ceil(count / tempo))
        there = np.maximum(np.rint(np.arange(1, wide + 1) / wide * count) - 1, 0).astype(np.int64)
        back = np.maximum(np.rint(np.arange(1, count + 1) / count * wide) - 1, 0).astype(np.int64)
        stretched = similarity[:, :, there]
        for step in (1, -1):
            best = np.maximum(best, _along(stretched, step).max(0)[:, back] / PATH)
    return _enhanced(np.round(best, DIGITS))


def _along(table: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Sum of 16 cells along the diagonal from each cell, onwards (1) or backwards (-1), 0 beyond the edge."""
    total, size = table, 1
    while size < PATH:
        moved = np.zeros_like(total)
        if size < min(total.shape[1:]):
            here, there = slice(None, -size), slice(size, None)
            if step > 0:
                moved[:, here, here] = total[:, there, there]
            else:
                moved[:, there, there] = total[:, here, here]
        total, size = total + moved, 2 * size
    return total


def _enhanced(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(similarity, axis=None)
    edge = ordered[min(int(np.round(ordered.size * (1 - KEPT))), ordered.size - 1)]
    kept = (similarity >= edge) & (similarity > 0)
    low, high = (similarity[kept].min(), similarity.max()) if kept.any() else (0.0, 0.0)
    scaled = (similarity - low) / (high - low) if high > low else np.zeros_like(similarity)
    table = np.where(kept, scaled, PENALTY)
    np.fill_diagonal(table, 1.0)
    return table


def scape_plot(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fitness of every passage of a piece: shape (N, N), row: length - 1, column: first frame; 0 beyond the end.

    `similarity` (N, N) is at most 1, and 1 on the diagonal. A passage's fitness is the harmonic mean of two shares,
    neither of which counts the passage itself: the mean similarity along the paths by which it returns, and the part
    of the piece that its returns cover (Mueller, Jiang & Grosche 2013, doi 10.1109/TASL.2012.2227732). The family of
    paths is the one of highest score, steps (1, 1), (1, 2) and (2, 1).
    """
    count = len(similarity)
    fitness = np.zeros((count, count))
    lengths = np.arange(1, count + 1)
    for block in np.array_split(lengths, min(BLOCKS, count)):
        length = np.repeat(block, count - block + 1)
        start = np.concatenate([np.arange(count - one + 1) for one in block])
        fitness[length - 1, start] = _fitness(similarity, start, length)
    return fitness


def _fitness(
    similarity: NDArray[np.float64], start: NDArray[np.int64], length: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Fitness of the passages from frame `start` of `length` frames: shape (P,), as both.

    Scores of the best family of paths up to each row, by column of the passage; column 0 lies between two paths. Of
    the best family its cells, the first row of its open path and the rows that its closed ones cover are carried along
    in one number, cells + START x first row + COVER x rows, so that no path needs to be traced back.
    """
    count, longest = len(similarity), int(length.max())
    column = np.minimum(np.arange(longest)[:, None] + start, count - 1)  # M P
    cells = similarity[:, column]  # N M P
    end = length, np.arange(len(start))  # of each passage, its last column
    score, older, fresh = (np.full((longest + 1, len(start)), -np.inf) for _ in range(3))
    carried, older_carried, fresh_carried = (np.zeros(score.shape, np.int64) for _ in range(3))
    score[0], score[1], carried[1] = 0.0, cells[0, 0], 1
    better = np.empty((longest - 1, len(start)), bool)
    best = np.empty(better.shape)
    for row in range(1, count):
        straight, flat, steep = score[1:-1], score[:-2], older[1:-1]
        ended, chosen = score[end], fresh_carried[2:]
        np.maximum(score[0], ended, out=fresh[0])
        fresh_carried[0] = np.where(ended > score[0], _closed(carried[end], row - 1), carried[0])
        np.add(fresh[0], cells[row, 0], out=fresh[1])
        np.add(fresh_carried[0], START * row + 1, out=fresh_carried[1])
        np.copyto(chosen, carried[1:-1])
        np.copyto(best, straight)
        if row > 2:
            np.greater(steep, straight, out=better)
            np.copyto(chosen, older_carried[1:-1], where=better)
            np.maximum(best, steep, out=best)
        np.greater(flat, best, out=better)
        better[:1] = False  # a path that begins does not skip its first column
        np.copyto(chosen, carried[:-2], where=better)
        chosen += 1
        np.maximum(best, flat, out=best)
        if row <= 2:
            np.maximum(best, steep, out=best)
        np.add(best, cells[row, 1:], out=fresh[2:])
        older, score, fresh = score, fresh, older
        older_carried, carried, fresh_carried = carried, fresh_carried, older_carried
    ended = score[end]
    total = np.maximum(score[0], ended)
    family = np.where(ended < score[0], carried[0], _closed(carried[end], count - 1))
    share = (total - length) / (family % START + TINY)
    cover = (family // COVER - length) / (count + TINY)
    return 2 * share * cover / (share + cover + TINY)


def _closed(carried: NDArray[np.int64], row: int) -> NDArray[np.int64]:
    """The number carried by a path that ends in a row, as one that is closed."""
    first = carried // START % (COVER // START)
    return carried - START * first + COVER * (row - first + 1)
