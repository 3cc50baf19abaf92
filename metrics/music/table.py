"""Quality table: all music metrics of one set, and those of its ceiling and floors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.notes import Notes, with_notes
from metrics.music.remi import VOCABULARY, notes_of_tokens, token_counts
from metrics.quantities import Section, music_functions, quantity_of
from metrics.result import MetricResult

CEILING: Final = "real-vs-real"
FLOORS: Final = ("shuffled", "unigram-tokens", "uniform-tokens")


def quality_table(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    train: Sequence[Notes] = (),
    *,
    seed: int = 0,
    intervals: bool = True,
    limits: str = "full",
) -> list[MetricResult]:
    """Every music metric of `generated` against held-out `reference` pieces; `train` sets the outlier limits.

    Names and order are stable: sections as in `metrics.quantities.Section`. A metric that
    cannot be computed is NaN with its reason. Match the number of generated
    and reference pieces: overlap depends on it.
    """
    given = {"reference": reference, "train": train, "limits": limits, "intervals": intervals, "seed": seed}
    rows: list[MetricResult] = []
    for function, variants in music_functions().values():
        taken = signature(function).parameters
        options = {name: value for name, value in given.items() if name in taken} if variants else {}
        for variant in variants:
            found = function(generated, **options, **variant)
            rows += [found] if isinstance(found, MetricResult) else found
    sections = list(Section)
    return sorted(rows, key=lambda row: sections.index(quantity_of(row.name).section))


def reference_rows(
    reference: Sequence[Notes],
    train: Sequence[Notes] = (),
    *,
    real: Sequence[Notes] | None = None,
    count: int | None = None,
    seed: int = 0,
    intervals: bool = True,
    limits: str = "full",
    rows: Sequence[str] = (CEILING, *FLOORS),
) -> dict[str, list[MetricResult]]:
    """The quality table of ceiling and floors, each of `count` pieces (default: as many as the reference).

    `real-vs-real`: real pieces the reference does not hold, drawn from `real`, more music of the reference's own source
    (default: `train`; give it where training music is of another kind), and not counted as training music then; if
    there are fewer than half as many as wanted, one half of the reference against the other. Floors, made of the
    same pieces: `shuffled`; `unigram-tokens` and `uniform-tokens`, music of as many tokens
    drawn one by one. `rows` names those wanted; one that cannot be made is left out.
    """
    held = {piece.content_hash for piece in reference}
    others = [piece for piece in with_notes(train if real is None else real) if piece.content_hash not in held]
    generator = np.random.default_rng([seed, 4])
    wanted = len(reference) if count is None else count
    against = list(reference)
    if len(others) >= max(wanted / 2, 2):
        ceiling = [others[i] for i in generator.permutation(len(others))[:wanted]]
    else:
        order = generator.permutation(len(reference))
        half = len(order) // 2
        ceiling, against = [reference[i] for i in order[:half]], [reference[i] for i in order[half:]]
    drawn = {piece.content_hash for piece in ceiling}
    known = [piece for piece in train if piece.content_hash not in drawn]
    makers: dict[str, Callable[[], list[Notes]]] = {
        CEILING: lambda: ceiling,
        FLOORS[0]: lambda: shuffled_pieces(ceiling, seed),
        FLOORS[1]: lambda: unigram_pieces(ceiling, others or ceiling, seed),
        FLOORS[2]: lambda: uniform_pieces(ceiling, seed),
    }
    if not any(token_counts(piece).any() for piece in others or ceiling):
        del makers[FLOORS[1]]
    return {
        row: quality_table(make(), against, known, seed=seed, intervals=intervals, limits=limits)
        for row, make in makers.items()
        if row in rows
    }


def shuffled_pieces(pieces: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """Each piece with pitches, velocities, durations and steps from note to note permuted on their own.

    Kept: how often a piece uses each value. Lost: order, chords, rhythm.
    """
    generator = np.random.default_rng([seed, 1])
    shuffled = []
    for piece in pieces:
        steps = np.diff(piece.onset)
        start = piece.onset[:1]
        onset = np.concatenate([start, start + np.cumsum(generator.permutation(steps))]) if len(piece) else piece.onset
        columns = [generator.permutation(c) for c in (piece.duration, piece.pitch, piece.velocity)]
        shuffled.append(Notes.from_arrays(onset, *columns, name=piece.name, meters=piece.meters))
    return shuffled


def unigram_pieces(pieces: Sequence[Notes], train: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """Music of as many REMI tokens as each piece has, drawn one by one, each as often as in training.

    The music of the unigram baseline: frequencies of tokens without grammar, so that about one token in
    fifty sounds (only Pitch, Velocity, Duration in a row is a note).
    """
    counts = np.sum([token_counts(piece) for piece in train], axis=0)
    return _played(pieces, counts / counts.sum(), np.random.default_rng([seed, 2]))


def uniform_pieces(pieces: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """Music of as many REMI tokens as each piece has, drawn with equal chances: an untrained model."""
    return _played(pieces, np.full(VOCABULARY, 1 / VOCABULARY), np.random.default_rng([seed, 3]))


def _played(pieces: Sequence[Notes], chance: NDArray[np.float64], generator: np.random.Generator) -> list[Notes]:
    reach = np.cumsum(chance)
    tokens = [generator.random(int(token_counts(piece).sum())) for piece in pieces]
    return [
        notes_of_tokens(np.minimum(np.searchsorted(reach, drawn, "right"), VOCABULARY - 1), piece.name)
        for piece, drawn in zip(pieces, tokens, strict=True)
    ]
