"""Tables of a listening test: systems beside their metrics, pairs of systems, listeners and their checks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from scipy import stats

from bench.errors import UserError
from bench.listen.answers import Listener
from bench.listen.key import Key
from bench.listen.samples import REAL
from bench.listen.scores import Compared, Scores, scores
from bench.report.analysis.references import CEILING, reference_summary
from bench.report.rows.summaries import Summary, quality_summaries, reference_summaries
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.table import Entry, Table
from metrics.music.attribute import OA_MEAN
from metrics.music.two_samples import KERNEL_DISTANCE
from metrics.quantities import quantity_of
from metrics.statistics.planning import MOST

BESIDE = (KERNEL_DISTANCE, OA_MEAN)
FEWEST_ARMS = 3  # whose order is compared with that of a metric


def listening_tables(
    listeners: Sequence[Listener], key: Key, frame: pd.DataFrame | None, *, without_flagged: bool = False
) -> list[Table]:
    """The tables of an analysis; `frame`: the study's result table, whose metrics stand beside the scores.

    `without_flagged`: decide without flagged listeners; else their effect is shown in a column of its own.
    """
    kept = [listener for listener in listeners if not listener.flagged]
    if without_flagged and not kept:
        raise UserError("--without-flagged: every listener is flagged; nothing is left to decide by")
    chosen = kept if without_flagged else list(listeners)
    found = scores(chosen, key)
    others = scores(kept, key) if kept and len(kept) < len(chosen) else None
    beside = {} if frame is None else _metrics(frame, key)
    return [_systems(found, others, key, beside), _pairs(found, key), _listeners(listeners, without_flagged)]


def _systems(found: Scores, others: Scores | None, key: Key, beside: dict[str, dict[str, Summary]]) -> Table:
    score = "strength (log odds)" if key.kind == "pairs" else "mean rating (1 to 5)"
    headings = [quantity_of(name).heading for name in beside]
    columns = ["system", score, *(["without flagged"] if others else []), *headings]
    order = sorted(range(len(key.systems)), key=lambda place: -found.systems[place].value)
    rows = []
    for place in order:
        name = key.systems[place]
        cells = [Entry.interval(found.systems[place])]
        cells += [Entry.interval(others.systems[place])] if others else []
        summaries = [metric.get(name) for metric in beside.values()]
        cells += [Entry.figure(one.value, one.low, one.high) if one else Entry(NOTHING) for one in summaries]
        rows.append((Entry(name), *cells))
    words = "against the mean of all systems" if key.kind == "pairs" else "mean over listeners"
    measure = "Kendall's u" if key.kind == "pairs" else "Krippendorff's alpha"
    notes = [
        f"{found.answers} answers, listeners: {found.listeners}, checks left out; score: {words}; brackets: 95 %",
        f"agreement of listeners: {measure} {number(found.agreement)} (1: all agree, 0: as by chance)",
        *_orders(found, key, beside),
    ]
    return Table("listening_systems", "Listening test: systems", tuple(columns), tuple(rows), tuple(notes))


def _orders(found: Scores, key: Key, beside: dict[str, dict[str, Summary]]) -> list[str]:
    """How far each metric puts the arms in the order of the listeners."""
    notes = []
    for name, metric in beside.items():
        sign = {"lower": -1.0, "higher": 1.0}.get(quantity_of(name).better)
        arms = [arm for arm in key.systems if arm != REAL and arm in metric]
        if sign is not None and len(arms) >= FEWEST_ARMS:
            ours = [found.systems[key.systems.index(arm)].value for arm in arms]
            tau = float(stats.kendalltau(ours, [sign * metric[arm].value for arm in arms]).statistic)
            order = f"order of the {len(arms)} arms by {quantity_of(name).label} against the listeners'"
            notes.append(f"{order}: Kendall's tau {number(tau)} (1: the same, 0: unrelated, -1: the reverse)")
    return notes


def _pairs(found: Scores, key: Key) -> Table:
    rows = []
    for one in found.pairs:
        names = key.systems[one.first], key.systems[one.second]
        figures = (Entry.interval(one.value), _p(one.p), _p(one.p_holm))
        rows.append((*map(Entry, names), *figures, Entry(_verdict(one, names, key))))
    if key.kind == "pairs":
        heading, what = "first preferred (share)", "Bradley-Terry model, listeners and samples random"
    else:
        heading, what = (
            "first - second (points)",
            "Wilcoxon's test over listeners, wider where samples differ",
        )
    notes = (
        f"{what}; brackets: 95 % of each pair on its own; verdicts: p by Holm over {len(rows)} pairs, at 5 % together",
        "open: in brackets the listeners that decide with chance 0.8 if difference and samples stayed as they are",
    )
    columns = ("first", "second", heading, "p", "p (Holm)", "verdict")
    return Table("listening_pairs", "Listening test: pairs of systems", columns, tuple(rows), notes)


def _p(value: float) -> Entry:
    text = NOTHING if math.isnan(value) else "< 0.0001" if value < 1e-4 else f"{value:.4f}"
    return Entry(text, value)


def _verdict(one: Compared, names: tuple[str, str], key: Key) -> str:
    middle = 0.5 if key.kind == "pairs" else 0.0
    if one.decided and one.value.value != middle:  # ratings: the test leaves out ties, which the median holds
        return f"{names[0] if one.value.value > middle else names[1]} better"
    if math.isnan(one.value.low):
        return f"open ({one.value.reason})"
    return f"open ({one.needed} listeners)" if one.needed < MOST else f"open (over {MOST:,} listeners)"


def _listeners(listeners: Sequence[Listener], without_flagged: bool) -> Table:
    rows = [
        (
            Entry(one.name),
            Entry.count(len(one.answers)),
            Entry(f"{one.right} of {one.checks}"),
            _p(one.guess_chance),
            Entry("flagged" if one.flagged else ""),
        )
        for one in listeners
    ]
    flagged = sum(one.flagged for one in listeners)
    words = "left out of the scores" if without_flagged else "kept in the scores; --without-flagged leaves them out"
    notes = ["checks: real against shuffled music; p: chance of as many right by guessing, exact binomial test"]
    notes += [f"flagged at 5 %: {flagged} of {len(listeners)}, {words}"] if flagged else []
    columns = ("listener", "trials", "checks right", "p (guessing)", "flag")
    return Table("listening_listeners", "Listening test: listeners", columns, tuple(rows), tuple(notes))


def _metrics(frame: pd.DataFrame, key: Key) -> dict[str, dict[str, Summary]]:
    """Metric -> system -> its summary in the test's setting."""
    corpus, length, sampler, steps = key.setting
    setting = {"corpus": corpus, "length": length, "sampler": sampler, "sample_steps": steps}
    arms, references = quality_summaries(frame).where(**setting).measured(), reference_summaries(frame)
    found = {}
    for metric in BESIDE:
        of_systems = {one.arm: one for one in arms.where(metric=metric)}
        real = reference_summary(references, CEILING, metric, corpus, length)
        if of_systems:
            found[metric] = of_systems | ({REAL: real} if real else {})
    return found
