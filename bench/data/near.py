"""Near-duplicates: pieces that share many passages, in whatever key.

A passage is eight steps from note to note, each an interval and a time between onsets. Of two pieces the share is that
of the distinct passages of the one with fewer that the other holds too. From 0.4 on they are near-duplicates: of the
demo's Irish tunes seven pairs are (seven from 0.35 on, six from 0.45), one of its lieder and one of POP909, where no
other pair shares more than a twentieth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np

from bench.data.cache import CacheError, read_json, write_json
from bench.data.pieces import Piece, Source
from bench.data.reading import READER_VERSION, NoteArrays
from bench.data.worker import Job
from bench.data.workers import ProgressCallback, read_all
from bench.files import canonical_hash
from bench.paths import cache_folder

NEAR_VERSION = 1
STEPS = 8
THRESHOLD = 0.4
LEAST_PASSAGES = 16
"""A piece with fewer distinct passages is too short, or too plain, to be distinguished from another."""
MOST_PIECES = 5_000
"""A larger corpus is not searched: all pairs of pieces are compared."""
GRID = 24
LONGEST_STEP = 4 * GRID
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class NearPair:
    """Two pieces by id, the share of passages they have in common, and by how many semitones the second is higher."""

    first: str
    second: str
    share: float
    semitones: int


def passages(notes: NoteArrays) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the distinct passages of a piece, uint64 ascending, and the pitch at which each first begins."""
    order = np.lexsort((notes.pitch, notes.onset))
    onset = np.rint(notes.onset[order] * GRID).astype(np.int64)
    pitch = notes.pitch[order].astype(np.int64)
    other = np.ones(len(onset), dtype=bool)  # doubled notes are one
    other[1:] = (np.diff(onset) > 0) | (np.diff(pitch) != 0)
    onset, pitch = onset[other], pitch[other]
    steps = (np.minimum(np.diff(onset), LONGEST_STEP) * 256 + np.diff(pitch) + 128).astype(np.uint64) + np.uint64(1)
    count = max(len(steps) - STEPS + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for place in range(STEPS):  # modulo 2^64
        hashes = (hashes + steps[place : place + count]) * MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    distinct, first = np.unique(hashes, return_index=True)
    return distinct, pitch[first]


def compare_all(pieces: Mapping[str, NoteArrays], least: float = THRESHOLD) -> list[NearPair]:
    """Pairs of pieces whose share of passages is `least` or more, in order of id."""
    from scipy import sparse

    found = {name: passages(pieces[name]) for name in sorted(pieces)}
    kept = {name: one for name, one in found.items() if len(one[0]) >= LEAST_PASSAGES}
    if len(kept) < 2:
        return []
    names = list(kept)
    sizes = np.array([len(hashes) for hashes, _ in kept.values()])
    _, column, holders = np.unique(
        np.concatenate([hashes for hashes, _ in kept.values()]), return_inverse=True, return_counts=True
    )
    shared = holders[column] > 1
    rows, columns = np.repeat(np.arange(len(names)), sizes)[shared], column[shared]
    held = sparse.csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(names), len(holders)))
    common = sparse.coo_matrix(sparse.triu(held @ held.T, 1))
    shares = common.data / np.minimum(sizes[common.row], sizes[common.col])
    near = np.flatnonzero(shares >= least)
    pairs = [
        NearPair(first, second, round(float(shares[at]), 3), _semitones(kept[first], kept[second]))
        for at in near
        for first, second in [(names[common.row[at]], names[common.col[at]])]
    ]
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _semitones(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> int:
    """The commonest distance in pitch of the passages of both."""
    _, mine, theirs = np.intersect1d(one[0], other[0], return_indices=True)
    distances, counts = np.unique(other[1][theirs] - one[1][mine], return_counts=True)
    return int(distances[np.argmax(counts)])


def too_many(contents: Iterable[str]) -> bool:
    """Whether so many pieces of different notes are too many to be compared with each other."""
    return len(set(contents)) > MOST_PIECES


def near_duplicates(
    pieces: Sequence[Piece | Source], contents: Mapping[str, str], progress: ProgressCallback | None = None
) -> list[NearPair]:
    """Near-duplicates among pieces, cached by `contents`, the hash of each piece's notes by its id.

    Of pieces with the same notes the first by id is compared. Empty where there are `too_many`.
    """
    by_content: dict[str, Piece | Source] = {}
    for piece in sorted(pieces, key=lambda piece: piece.id, reverse=True):
        by_content[contents[piece.id]] = piece
    if len(by_content) < 2 or too_many(by_content):
        return []
    ordered = sorted(by_content)
    versions = [NEAR_VERSION, READER_VERSION, version("symusic")]
    path = cache_folder() / "near" / f"{canonical_hash([versions, ordered], 32)}.json"
    kept = read_json(path)
    if kept is None:
        answers = read_all([Job.of(by_content[one], notes=True) for one in ordered], progress=progress)
        read = {one: answer.notes for one, answer in zip(ordered, answers, strict=True) if answer.notes is not None}
        kept = [asdict(pair) for pair in compare_all(read)]
        if not any(answer.transient for answer in answers):
            with suppress(CacheError):  # comparing again is slower, not wrong
                write_json(path, kept)
    pairs = [NearPair(**record) for record in kept]
    return sorted((_named(pair, by_content) for pair in pairs), key=lambda pair: (pair.first, pair.second))


def _named(pair: NearPair, by_content: Mapping[str, Piece | Source]) -> NearPair:
    first, second, semitones = by_content[pair.first].id, by_content[pair.second].id, pair.semitones
    if first > second:
        first, second, semitones = second, first, -semitones
    return NearPair(first, second, pair.share, semitones)
