"""Verdicts on published claims: the interval of a measurement against the interval that the claim accepts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.files import to_json, write_atomically
from bench.report.analysis.patterns import patterns_of
from bench.report.claims.measured import Evidence, Measured, measure
from bench.report.claims.paper import Claim, Paper, claims_hash, claims_recorded, finding_words
from bench.report.presentation import as_studied
from bench.report.rows.study import recorded_claims
from bench.report.rows.summaries import cost_summaries, quality_summaries, reference_summaries
from bench.report.tables.numbers import number
from bench.report.tables.table import Entry, Table
from metrics.statistics.differences import FEWEST_SEEDS
from metrics.statistics.planning import Needed, needed

REPRODUCED, CONTRADICTED = "reproduced", "contradicted"
INCONCLUSIVE, NOT_COMPARABLE = "inconclusive", "not comparable"
SAVED = ("value", "low", "high", "where", "cell_ids", "note", "reason")


@dataclass(frozen=True)
class Judged:
    """A claim in one setting: what was measured and the verdict. `needed`: what would decide an inconclusive one."""

    claim: Claim
    measured: Measured
    verdict: str
    needed: Needed | None = None


def judge(paper: Paper, frame: pd.DataFrame, folder: Path | None = None) -> list[Judged]:
    """Every claim of the paper, in every setting of the study that measures it.

    Interval inside the accepted one: reproduced; apart from it: contradicted; else, and where there are fewer than
    `FEWEST_SEEDS` seeds behind it, inconclusive. `above 0` does not hold 0 itself. A quantity that the study does not
    have, or may not compare (kernels), is "not comparable" with the reason.
    """
    frame = as_studied(frame)  # claims name arms as studies do, and no presentation decides on them
    evidence = Evidence(
        cost_summaries(frame), quality_summaries(frame), reference_summaries(frame), folder, patterns_of(frame)
    )
    return [_judged(claim, found) for claim in paper.claims for found in measure(claim.quantity, evidence)]


def _judged(claim: Claim, found: Measured) -> Judged:
    if found.reason or not math.isfinite(found.value):
        return Judged(claim, found, NOT_COMPARABLE)
    low, high = _closed(claim)
    few = found.difference is not None and found.difference.seeds < FEWEST_SEEDS
    if not few and low <= found.low and found.high <= high:
        return Judged(claim, found, REPRODUCED)
    if not few and (found.high < low or found.low > high):
        return Judged(claim, found, CONTRADICTED)
    return Judged(claim, found, INCONCLUSIVE, _needed(found, claim))


def _closed(claim: Claim) -> tuple[float, float]:
    """The accepted interval with its ends; the one bound of an interval open to the other side is not part of it."""
    low, high = claim.accept
    if math.isinf(high):
        return math.nextafter(low, math.inf), high
    return (low, math.nextafter(high, -math.inf)) if math.isinf(low) else (low, high)


def _needed(found: Measured, claim: Claim) -> Needed | None:
    """Seeds, or songs, at which an interval around this figure, with this spread, clears the nearest accepted bound;
    None where no number of them does."""
    difference = found.difference
    if difference is None or not math.isfinite(difference.interval.low):
        return None
    away = min(abs(found.value - bound) for bound in claim.accept if math.isfinite(bound))
    if away <= found.beside:
        return None
    parts = difference.components, difference.family, difference.seeds, difference.songs, difference.interval.level
    return needed(away - found.beside, None, *parts, more=True)


def verdict_words(judged: Judged) -> str:
    """The verdict with what would settle it: `inconclusive (9 seeds would decide)`."""
    if judged.verdict == NOT_COMPARABLE:
        return f"{NOT_COMPARABLE}: {judged.measured.reason or 'no figure'}"
    if judged.verdict != INCONCLUSIVE:
        return judged.verdict
    difference = judged.measured.difference
    if difference is not None and difference.seeds == 1:
        return f"{INCONCLUSIVE} (one seed has no interval; at least {FEWEST_SEEDS} seeds)"
    if judged.needed:
        return f"{INCONCLUSIVE} ({judged.needed.text} would decide if the figure and the spread stayed)"
    if judged.measured.beside:
        return f"{INCONCLUSIVE} (no number of seeds would decide: real pieces differ as much among themselves)"
    if not math.isfinite(judged.measured.low):
        return f"{INCONCLUSIVE} (no interval)"
    return INCONCLUSIVE


def accepted_words(claim: Claim) -> str:
    """The accepted interval: `0.6 to 0.8`, `above 0`."""
    low, high = claim.accept
    if math.isinf(high):
        return f"above {low:g}"
    return f"below {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"


def claims_table(paper: Paper, judged: list[Judged]) -> Table:
    """One row a claim and setting: text, quantity, measured interval, accepted interval, verdict."""
    rows = []
    for one in judged:
        found, quantity = one.measured, one.claim.quantity
        measured = Entry.figure(found.value, found.low, found.high, cell_ids=found.cell_ids, reason=found.reason)
        where = "; ".join(word for word in (found.where, found.note) if word)
        texts = (accepted_words(one.claim), one.claim.text, f"{quantity.kind} of {quantity.metric}", where)
        rows.append((Entry(one.claim.id), Entry(verdict_words(one)), measured, *map(Entry, texts)))
    notes = (
        "A verdict is about this study's sizes, corpus and machine. It cannot say that a published figure is wrong, "
        "for the settings behind it are not known to us.",
        f"Source: {paper.source}. Settings behind the published figures that are not known to us: {paper.not_known}.",
        f"Acceptance intervals have the hash {claims_hash(paper)}. How the words were read:",
        *(f"{claim.id}: {accepted_words(claim)}; {claim.why}." for claim in paper.claims),
    )
    columns = ("claim", "verdict", "measured", "accepted", "published", "quantity", "where")
    return Table(f"claims_{paper.name}", f"Claims of {paper.title}", columns, tuple(rows), notes)


def figures_table(paper: Paper) -> Table:
    """The published absolute figures, each with what is not known of it. They are shown, not compared."""
    rows = tuple(
        (Entry(one.what), Entry(number(one.value), one.value), Entry(one.unit), Entry(one.source), Entry(one.setting))
        for one in paper.figures
    )
    notes = (
        "Absolute figures depend on hardware, size and definition; put beside measurements they prove nothing.",
        *finding_words(paper),
    )
    columns = ("published", "value", "unit", "source", "setting not known to us")
    return Table(f"published_{paper.name}", f"Published figures of {paper.title}", columns, rows, notes)


def fixed_before(folder: Path, paper: Paper) -> str:
    """Whether the acceptance intervals are those that were recorded when the study was planned."""
    recorded = recorded_claims(folder, paper.name)
    if recorded is None:
        return "The acceptance intervals were not recorded before this run."
    if recorded == claims_hash(paper):
        return "The acceptance intervals are those recorded before the run."
    if known := claims_recorded(paper, recorded):
        added = ", ".join(claim.id for claim in paper.claims[known:])
        return f"The acceptance intervals are those recorded before the run, but for claims added since: {added}."
    return "The acceptance intervals were changed after the run was planned."


def save_verdicts(folder: Path, paper: Paper, judged: list[Judged]) -> Path:
    """Write `claims_<paper>.json` into the results folder: claim, quantity, interval, cells, verdict, hash."""
    content = {
        "paper": paper.name,
        "hash": claims_hash(paper),
        "claims": [
            {
                "id": one.claim.id,
                "verdict": one.verdict,
                "seeds_needed": one.needed.seeds if one.needed else None,
                "songs_needed": one.needed.songs if one.needed else None,
                "seeds": one.measured.difference.seeds if one.measured.difference else None,
                **{name: getattr(one.measured, name) for name in SAVED},
            }
            for one in judged
        ],
    }
    path = folder / f"claims_{paper.name}.json"
    write_atomically(path, to_json(content, indent=2))
    return path
