"""All music metrics of one set at once, and the rows that say what those figures mean: ceiling and floors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from metrics.music.attribute import ATTRIBUTES, oa_attribute
from metrics.music.chords import KINDS as CHORD_KINDS
from metrics.music.chords import STATISTICS, chord_density
from metrics.music.copies import KINDS as NOVELTY_KINDS
from metrics.music.copies import novelty
from metrics.music.descriptors import DESCRIPTORS, describe
from metrics.music.distance import oa_distance_all
from metrics.music.floors import shuffled_pieces, uniform_pieces, unigram_pieces
from metrics.music.framewise import ATTRIBUTES as FRAMEWISE_ATTRIBUTES
from metrics.music.framewise import STATISTICS as FRAMEWISE_STATISTICS
from metrics.music.framewise import oa_framewise
from metrics.music.notes import Notes, with_notes
from metrics.music.outliers import KINDS as OUTLIER_KINDS
from metrics.music.outliers import pitch_outliers
from metrics.music.remi import token_counts
from metrics.music.slopes import MEASURES as DRIFT_MEASURES
from metrics.music.slopes import drift
from metrics.music.structure import structure_similarity_error
from metrics.music.vectors import KINDS as VECTOR_KINDS
from metrics.music.vectors import vector_distance
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

    Names and order are stable. A metric that cannot be computed is NaN with its reason. Match the number of generated
    and reference pieces: overlap depends on it.
    """
    options: dict[str, Any] = {"intervals": intervals, "seed": seed}
    rows = [oa_attribute(generated, reference, attribute, **options) for attribute in ATTRIBUTES]
    rows.append(oa_attribute(generated, reference, **options))
    rows += oa_distance_all(generated, reference, limits=limits, **options)
    rows += [
        oa_framewise(generated, reference, a, s, **options) for a in FRAMEWISE_ATTRIBUTES for s in FRAMEWISE_STATISTICS
    ]
    rows += [vector_distance(generated, reference, kind, **options) for kind in VECTOR_KINDS]
    rows += [pitch_outliers(generated, train, kind, reference=reference, **options) for kind in OUTLIER_KINDS]
    for kind in CHORD_KINDS:
        rows += [chord_density(generated, kind, s, reference=reference, **options) for s in STATISTICS]
    rows += [describe(generated, descriptor, reference=reference, **options) for descriptor in DESCRIPTORS]
    rows.append(structure_similarity_error(generated, reference, **options))
    rows += [drift(generated, reference, measure, train=train, **options) for measure in DRIFT_MEASURES]
    rows += [novelty(generated, train, kind, reference=reference, **options) for kind in NOVELTY_KINDS]
    return rows


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
    """The quality table of sets whose worth is known, each of `count` pieces (default: as many as the reference).

    `real-vs-real`: real pieces the reference does not hold, drawn from `real`, more music of the reference's own source
    (default: `train`; give it where training music is of another kind), and not counted as training music then; if
    there are fewer than half as many as wanted, one half of the reference against the other. Floors, made of the
    same pieces: `shuffled`; `unigram-tokens` and `uniform-tokens`, what plays when as many tokens are
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
