"""Claims on the FLOPs of a piece over sizes, strides and lengths that are counted, not run: where each would hold."""

from __future__ import annotations

import math
from itertools import pairwise

import pandas as pd

from bench.report.claims.paper import Claim, Paper, claims_hash
from bench.report.claims.verdict import accepted_words
from bench.report.tables.numbers import number
from bench.report.tables.table import Entry, Table
from metrics.cost.quantities import SAMPLE_GFLOPS
from metrics.statistics.scaling import growth_exponent

FIT = (4096, 65536)
"""Shortest and longest length behind an exponent."""


def piece_claims(paper: Paper) -> list[Claim]:
    """The paper's claims on a ratio or an exponent of the FLOPs of a piece."""
    return [
        one
        for one in paper.claims
        if one.quantity.metric == SAMPLE_GFLOPS and one.quantity.kind in ("ratio", "exponent")
    ]


def piece_table(paper: Paper, rows: pd.DataFrame) -> Table:
    """For each claim, size and stride the quantity, whether it is accepted, and of a ratio the length from which.

    `rows` as of `bench.measure.piece_map`.
    """
    settings = list(rows[["size", "stride"]].drop_duplicates().itertuples(index=False, name=None))
    body = []
    for claim in piece_claims(paper):
        places = [_place(claim, rows[(rows["size"] == size) & (rows["stride"] == stride)]) for size, stride in settings]
        quantity = claim.quantity
        about = f"{quantity.arm} / {quantity.baseline}" if quantity.kind == "ratio" else f"exponent of {quantity.arm}"
        body.append((Entry(claim.id), Entry(about), Entry(accepted_words(claim)), *places))
    longest = rows["length"].max()
    notes = (
        "FLOPs of a piece by formula, counted on no device; a ratio at its claim's length, and the length from which "
        f"it is accepted, linear between counted lengths up to {longest} tokens; exponents from {FIT[0]} to {FIT[1]}.",
        *(f"{claim.id}: {claim.text} {claim.why}." for claim in piece_claims(paper)),
        f"The claims have the hash {claims_hash(paper)}. Settings of the publication that are not known to us: "
        f"{paper.not_known}.",
    )
    columns = ("claim", "FLOPs of a piece", "accepted", *(f"{size}, stride {stride}" for size, stride in settings))
    return Table(f"claim_map_{paper.name}", f"Where claims of {paper.name} hold", columns, tuple(body), notes)


def exponent(rows: pd.DataFrame, column: str = "gflops") -> float:
    """Exponent in length of one name's rows of a size and stride, between the lengths of `FIT`; NaN without two."""
    kept = rows[rows["length"].between(*FIT)]
    return growth_exponent(list(kept["length"]), [list(kept[column])]).value if len(kept) > 1 else math.nan


def accepted_from(claim: Claim, lengths: list[int], ratios: list[float]) -> float:
    """The length from which a ratio that falls with length is at most what the claim accepts, linear in length between
    the inverse ratios; NaN where it is never."""
    most = claim.accept[1]
    if ratios and ratios[0] <= most:
        return float(lengths[0])
    for (left, above), (right, below) in pairwise(zip(lengths, ratios, strict=True)):
        if below <= most:
            share = (1 / most - 1 / above) / (1 / below - 1 / above)
            return left + share * (right - left)
    return math.nan


def _place(claim: Claim, rows: pd.DataFrame) -> Entry:
    quantity = claim.quantity
    mine = rows[rows["name"] == quantity.arm]
    if quantity.kind == "exponent":
        value = exponent(mine)
        return _entry(claim, value, "")
    both = mine.merge(rows[rows["name"] == quantity.baseline], on="length", suffixes=("", "_base")).sort_values(
        "length"
    )
    ratios = dict(zip(both["length"], both["gflops"] / both["gflops_base"], strict=True))
    start = accepted_from(claim, list(ratios), list(ratios.values()))
    words = "never" if math.isnan(start) else f"from {start:.0f} tokens"
    return _entry(claim, ratios.get(quantity.length or max(ratios), math.nan), f" ({words})")


def _entry(claim: Claim, value: float, words: str) -> Entry:
    if math.isnan(value):
        return Entry("n/a", reason="needs stride 1")
    low, high = claim.accept
    held = low <= value <= high
    return Entry(f"{number(value)}: {'yes' if held else 'no'}{words}", best=held)
