"""Quality table: all music metrics of one set, and those of its ceiling and floors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.draws import REDRAWS, Draws, draw_pieces, halves, means_of_draws
from metrics.music.floors import FLOORS
from metrics.music.notes import Notes, song_numbers, with_notes
from metrics.quantities import Section, music_functions, quantity_of, redraws_of
from metrics.result import MetricResult
from metrics.statistics.redraws import separation

CEILING: Final = "real-vs-real"
REFERENCE_SETS: Final = (CEILING, *FLOORS)
"""The rows of `reference_rows`, in the order in which they are shown."""
MOST_SONGS: Final = 1000  # of the pool that ceilings are drawn from, unless more pieces are wanted
FLOOR_REDRAWS: Final = 50
HALVINGS: Final = 20  # of a reference that has no more music beside it: each is measured on its own
MOST_REDRAWN: Final = 100  # pieces up to which floors are redrawn; larger ones are drawn once
RANGE: Final = (0.025, 0.975)
FLOOR_POOL: Final = (4, 100)  # a floor's pool: so many times the pieces of a draw, and at least so many

Options = Mapping[str, Any]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Redrawn:
    """Draws from a pool of pieces, each against the reference, or against the draw `against` of the pieces `others`."""

    pool: Sequence[Notes]
    draws: Draws
    against: Draws | None = None
    others: Sequence[Notes] = ()

    def values(self, function: Callable[..., Any], options: Options) -> list[tuple[MetricResult, Values]]:
        """The results of a metric for the first draw, and the values of every draw (R,)."""
        first = self._called(function, options, 0)
        if len(self.draws.chosen) == 1:
            return [(result, np.array([result.value])) for result in first]
        batch = redraws_of(function) if self.against is None else None
        if batch == "mean":
            whole = function(self.pool, **options)
            pieces = np.array(whole.values) if whole.measured else np.full(len(self.pool), np.nan)
            shift = whole.value - np.nanmean(pieces) if whole.measured else 0.0
            return [(first[0], means_of_draws(pieces, self.draws.chosen) + shift)]
        if batch is not None:
            taken = signature(batch).parameters
            values = batch(self.pool, self.draws.chosen, **{name: options[name] for name in options if name in taken})
            return list(zip(first, values if isinstance(values, list) else [values], strict=True))
        others = (self._called(function, options, draw) for draw in range(1, len(self.draws.chosen)))
        table = np.array([[result.value for result in found] for found in (first, *others)])  # R results
        return list(zip(first, table.T, strict=True))

    def _called(self, function: Callable[..., Any], options: Options, draw: int) -> list[MetricResult]:
        pieces = [self.pool[place] for place in self.draws.chosen[draw]]
        if self.against is not None and "reference" in options:
            options = {**options, "reference": [self.others[place] for place in self.against.chosen[draw]]}
        return _results(function(pieces, **options))


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
    return _by_section(row for function, options in _calls(given) for row in _results(function(generated, **options)))


def reference_rows(
    reference: Sequence[Notes],
    train: Sequence[Notes] = (),
    *,
    real: Sequence[Notes] | None = None,
    count: int | None = None,
    seed: int = 0,
    limits: str = "full",
    rows: Sequence[str] = REFERENCE_SETS,
    draws: int = REDRAWS,
    threads: int = 1,
) -> dict[str, list[MetricResult]]:
    """The quality table of ceiling and floors, each of `count` pieces (default: as many as the reference).

    `real-vs-real`: the metrics of `draws` sets of real pieces that the reference does not hold, drawn from `real`, more
    music of the reference's own source (default: `train`; give it where training music is of another kind), one piece
    a song first; where there are fewer than half as many pieces as wanted, 20 halves of the reference, each against the
    other half. Floors, `metrics.music.floors`: made of the same pieces and measured alike, 50 draws from a pool of
    their own, one draw above 100 pieces. `rows` names those wanted; one that cannot be made is left out.

    A value is the mean over the draws, `low` and `high` their 2.5th and 97.5th percentile (`Draws.spread`). `parts`: sd
    of the draws, draws, n (pieces in a draw), and for floors auc: the chance that a set of real pieces is rated better
    than the floor (0.5: the metric cannot separate them), NaN where no way is better.
    """
    given = {"reference": reference, "train": train, "limits": limits, "intervals": False, "seed": seed}
    wanted = len(reference) if count is None else count
    generator = np.random.default_rng([seed, 4])
    sets = _redrawn_sets(reference, train if real is None else real, wanted, rows, draws, generator, seed)
    calls = [(name, function, options) for name in sets for function, options in _calls(given)]
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda call: (call[0], sets[call[0]].values(*call[1:])), calls)
        values: dict[str, list[tuple[MetricResult, Values]]] = {}
        for name, results in found:
            values.setdefault(name, []).extend(results)
    real_sets = {first.name: sets[CEILING].draws.spread(one) for first, one in values.get(CEILING, [])}
    return {
        name: _by_section(
            _summary(first, one, sets[name], wanted, {} if name == CEILING else real_sets)
            for first, one in values[name]
        )
        for name in rows
        if name in values
    }


def _redrawn_sets(
    reference: Sequence[Notes],
    real: Sequence[Notes],
    wanted: int,
    rows: Sequence[str],
    draws: int,
    generator: np.random.Generator,
    seed: int,
) -> dict[str, Redrawn]:
    """The ceiling, whether wanted or not, since floors are compared with it, and the floors wanted."""
    held = {piece.content_hash for piece in reference}
    pool = [piece for piece in with_notes(real) if piece.content_hash not in held]
    source = pool or with_notes(reference)
    songs = song_numbers(pool)
    kept = generator.permutation(int(songs.max(initial=-1)) + 1)[: max(MOST_SONGS, 2 * wanted)]
    pool = [pool[place] for place in np.flatnonzero(np.isin(songs, kept))]
    ceiling = Redrawn(*_compact(pool, draw_pieces(song_numbers(pool), wanted, generator, draws)))
    if ceiling.draws.chosen.shape[1] < max(wanted / 2, 2):
        pool = with_notes(reference)
        first, second = halves(song_numbers(pool), generator, min(draws, HALVINGS))
        ceiling = Redrawn(pool, first, second, pool)
    sets = {CEILING: ceiling}
    size = ceiling.draws.chosen.shape[1]
    if size:
        base = [ceiling.pool[place] for place in ceiling.draws.chosen[0]]
        if ceiling.against is not None:
            base = list(ceiling.pool)
        elif size <= MOST_REDRAWN:
            order = generator.permutation(len(ceiling.pool))[: max(FLOOR_POOL[0] * size, FLOOR_POOL[1])]
            base = [ceiling.pool[place] for place in order]
        for name in rows:
            if name in FLOORS:
                made = FLOORS[name](base, source, seed)
                sets[name] = _floor(made, ceiling, size, generator)
    return {name: one for name, one in sets.items() if one.draws.chosen.size}


def _floor(made: Sequence[Notes], ceiling: Redrawn, size: int, generator: np.random.Generator) -> Redrawn:
    """Draws of a floor's pieces, measured against what the ceiling is measured against."""
    if ceiling.against is not None:
        return replace(ceiling, pool=made)
    if len(made) == size:
        return Redrawn(made, Draws(np.arange(size)[None], 0, 0))
    return Redrawn(*_compact(made, draw_pieces(song_numbers(made), size, generator, FLOOR_REDRAWS)))


def _compact(pool: Sequence[Notes], draws: Draws) -> tuple[Sequence[Notes], Draws]:
    """The pool without the pieces that no draw holds."""
    used, places = np.unique(draws.chosen, return_inverse=True)
    return [pool[place] for place in used], replace(draws, chosen=places.reshape(draws.chosen.shape))


def _summary(
    first: MetricResult, values: Values, redrawn: Redrawn, wanted: int, real: Mapping[str, Values]
) -> MetricResult:
    """The results of the draws as one: mean and range, and how well the metric separates them from `real` draws.

    Halves have no sd: they are compared with half the reference, so that no figure has a place among them.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return first
    quantity, draws, several = quantity_of(first.name), redrawn.draws, len(known) > 1
    spread, placed = draws.spread(known), several and redrawn.against is None
    low, high = np.clip(np.quantile(spread, RANGE), *quantity.bounds) if several else (np.nan, np.nan)
    parts = {"sd": float(spread.std(ddof=1)) if placed else np.nan, "draws": len(known), "n": first.n}
    if first.name in real:
        middle = float(np.nanmean(real[first.name]))
        losses = (np.array([quantity.loss(value, middle) for value in side]) for side in (real[first.name], spread))
        parts["auc"] = separation(*losses)
    size = draws.chosen.shape[1]
    words = f"mean of {len(known)} draws" if several else "one draw"
    words += "" if redrawn.against is None else " of halves"
    few = f" of {size} pieces, {wanted} wanted: the songs run out" if size < wanted else ""
    return replace(
        first,
        value=float(known.mean()),
        reason="",
        low=float(low),
        high=float(high),
        parts=parts,
        definition=f"{first.definition}, {words}{few}",
        songs=draws.songs,
        values=(),
    )


def _calls(given: Options) -> Iterator[tuple[Callable[..., Any], Options]]:
    """Every function of music metrics with the options of each of its rows in the table."""
    for function, variants in music_functions().values():
        taken = signature(function).parameters
        for variant in variants:
            yield function, {name: value for name, value in given.items() if name in taken} | dict(variant)


def _results(found: MetricResult | list[MetricResult]) -> list[MetricResult]:
    return [found] if isinstance(found, MetricResult) else found


def _by_section(rows: Iterable[MetricResult]) -> list[MetricResult]:
    sections = list(Section)
    return sorted(rows, key=lambda row: sections.index(quantity_of(row.name).section))
