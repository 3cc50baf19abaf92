"""Claims over many sizes: counted costs of each setting against the intervals that the claims accept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bench.errors import UserError
from bench.report.claims.paper import Claim, Paper, claims_hash
from bench.report.claims.verdict import accepted_words
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.table import Entry, Table
from metrics.cost.quantities import FORWARD_GFLOPS, PEAK_MEMORY_TRAINING

COUNTED = {
    ("ratio", FORWARD_GFLOPS): {"gflops_ratio": "GFLOPs"},
    ("ratio", PEAK_MEMORY_TRAINING): {
        "training_memory_ratio": "training memory, fused attention",
        "unfused_training_memory_ratio": "training memory, attention that keeps its scores",
    },
    ("exponent", FORWARD_GFLOPS): {"flops_exponent": "exponent of GFLOPs in length"},
}


@dataclass(frozen=True)
class Mapped:
    """A claim that can be counted without a run, and the column of the map that holds its quantity."""

    claim: Claim
    column: str
    words: str

    def holds(self, rows: pd.DataFrame) -> pd.Series:
        """Whether each setting lies within what the claim accepts."""
        return rows[self.column].between(*self.claim.accept)


def mapped_claims(paper: Paper) -> tuple[tuple[str, str], list[Mapped]]:
    """The pair (arm, baseline) that the paper's counted claims are about, and those claims.

    Raises UserError for a paper without a claim on a ratio of FLOPs or of training memory.
    """
    ratios = [c for c in paper.claims if c.quantity.kind == "ratio" and ("ratio", c.quantity.metric) in COUNTED]
    if not ratios:
        raise UserError(f"paper {paper.name}: no claim on a ratio of {FORWARD_GFLOPS} or {PEAK_MEMORY_TRAINING} to map")
    arm, baseline = ratios[0].quantity.arm, ratios[0].quantity.baseline
    found = [
        Mapped(claim, column, words)
        for claim in paper.claims
        if claim.quantity.arm == arm and claim.quantity.baseline in ("", baseline)
        for column, words in COUNTED.get((claim.quantity.kind, claim.quantity.metric), {}).items()
    ]
    return (arm, baseline), found


def map_table(paper: Paper, rows: pd.DataFrame, matchings: Mapping[str, str]) -> Table:
    """For each claim, way of matching and stride: the range of the quantity and in how many settings the claim holds.

    `rows` as of `bench.measure.claim_map`, `matchings` its ways in words.
    """
    strides = sorted(rows["stride"].unique())
    body = []
    for mapped in mapped_claims(paper)[1]:
        for matching in matchings:
            mine = rows[rows["matching"] == matching]
            places = [_place(mapped, mine[mine["stride"] == stride]) for stride in strides]
            name = f"{mapped.words}, equal {matching}" if matching != "no stem" else f"{mapped.words}, no stem"
            body.append((Entry(name), Entry(accepted_words(mapped.claim)), *places))
    each = len(rows) // (len(strides) * len(matchings))
    notes = (
        f"Range over {each} settings ({_span(rows, 'width')} wide, {_span(rows, 'layers')} mixers), and in how many "
        "the claim holds. Counted on no device: FLOPs by formula, memory of a training step by bytes kept.",
        *(f"{name}: {words}." for name, words in matchings.items()),
        f"The claims have the hash {claims_hash(paper)}. Settings of the publication that are not known to us: "
        f"{paper.not_known}.",
    )
    columns = ("quantity and matching", "accepted", *(f"stride {stride}" for stride in strides))
    return Table(f"claim_map_{paper.name}", f"Where claims of {paper.name} hold", columns, tuple(body), notes)


def _place(mapped: Mapped, rows: pd.DataFrame) -> Entry:
    values = rows[mapped.column].dropna()
    if values.empty:
        return Entry(NOTHING, reason="the arms cannot be brought to one size")
    count = int(mapped.holds(rows).sum())
    held = "none" if not count else "all" if count == len(values) else f"{count} of {len(values)}"
    return Entry(f"{number(values.min())} to {number(values.max())}: {held}", best=count > 0)


def _span(rows: pd.DataFrame, column: str) -> str:
    return f"{rows[column].min()} to {rows[column].max()}"
