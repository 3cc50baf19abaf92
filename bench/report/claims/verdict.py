"""Verdicts on published claims: the interval of a measurement against the interval that the claim accepts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.files import to_json, write_atomically
from bench.report.analysis.patterns import patterns_of
from bench.report.claims.measured import Evidence, Measured, measure
from bench.report.claims.paper import Claim, Paper, claims_hash, claims_recorded
from bench.report.rows.study import recorded_claims
from bench.report.rows.summaries import cost_summaries, quality_summaries, reference_summaries
from bench.report.tables.numbers import number
from bench.report.tables.table import Entry, Table

REPRODUCED, CONTRADICTED = "reproduced", "contradicted"
INCONCLUSIVE, NOT_COMPARABLE = "inconclusive", "not comparable"
MOST_SEEDS = 200


@dataclass(frozen=True)
class Judged:
    """A claim in one setting: what was measured and the verdict. `seeds_needed` is 0 where more seeds are no answer."""

    claim: Claim
    measured: Measured
    verdict: str
    seeds_needed: int = 0


def judge(paper: Paper, frame: pd.DataFrame, folder: Path | None = None) -> list[Judged]:
    """Every claim of the paper, in every setting of the study that measures it.

    Interval inside the accepted one: reproduced; apart from it: contradicted; else inconclusive. A quantity that
    the study does not have, or may not compare (kernels), is "not comparable" with the reason.
    """
    evidence = Evidence(
        cost_summaries(frame), quality_summaries(frame), reference_summaries(frame), folder, patterns_of(frame)
    )
    return [_judged(claim, found) for claim in paper.claims for found in measure(claim.quantity, evidence)]


def _judged(claim: Claim, found: Measured) -> Judged:
    if found.reason or not math.isfinite(found.value):
        return Judged(claim, found, NOT_COMPARABLE)
    low, high = claim.accept
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return Judged(claim, found, INCONCLUSIVE, _seeds_needed(found, claim))
    if low <= found.low and found.high <= high:
        return Judged(claim, found, REPRODUCED)
    if found.high < low or found.low > high:
        return Judged(claim, found, CONTRADICTED)
    return Judged(claim, found, INCONCLUSIVE, _seeds_needed(found, claim))


def _seeds_needed(found: Measured, claim: Claim) -> int:
    """Fewest seeds at which an interval around this mean, with this spread, clears the nearest accepted bound."""
    if len(found.values) < 2:
        return 0
    from scipy.stats import t

    spread = float(np.std(found.values, ddof=1))
    distance = min(abs(found.value - bound) for bound in claim.accept if math.isfinite(bound))
    for seeds in range(len(found.values) + 1, MOST_SEEDS + 1):
        if float(t.ppf(0.975, seeds - 1)) * spread / math.sqrt(seeds) < distance:
            return seeds
    return MOST_SEEDS


def verdict_words(judged: Judged) -> str:
    """The verdict with what would settle it: `inconclusive (about 9 seeds would settle it)`."""
    if judged.verdict == NOT_COMPARABLE:
        return f"{NOT_COMPARABLE}: {judged.measured.reason or 'no figure'}"
    if judged.verdict != INCONCLUSIVE:
        return judged.verdict
    if judged.seeds_needed >= MOST_SEEDS:
        return f"{INCONCLUSIVE} ({MOST_SEEDS} seeds or more would be needed if the mean and spread stayed as they are)"
    if judged.seeds_needed:
        return f"{INCONCLUSIVE} (about {judged.seeds_needed} seeds would settle it if the mean and spread stayed)"
    if len(judged.measured.values) == 1:
        return f"{INCONCLUSIVE} (one seed has no interval)"
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
    note = "Absolute figures depend on hardware, size and definition; put beside measurements they prove nothing."
    columns = ("published", "value", "unit", "source", "setting not known to us")
    return Table(f"published_{paper.name}", f"Published figures of {paper.title}", columns, rows, (note,))


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
                "seeds_needed": one.seeds_needed or None,
                **asdict(one.measured),
            }
            for one in judged
        ],
    }
    path = folder / f"claims_{paper.name}.json"
    write_atomically(path, to_json(content, indent=2))
    return path
