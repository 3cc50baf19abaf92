"""Table of tokenizers on a corpus: a column each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.measure.quality.tokeniser_card import Fact
from bench.report.tables.numbers import with_interval
from bench.report.tables.table import Entry, Table

NOTES = (
    "Pieces as the corpus gives them against the same pieces after the way through the tokens and back; OA compares "
    "the pooled histograms of whole pieces and is blind to order.",
    "OA of other real music: as many songs of the training side against the same test songs, before any tokens, mean "
    "and 95 % range of 200 draws: what the figure above it is to be read against.",
)


def tokeniser_table(corpus: str, cards: Mapping[str, Sequence[Fact]]) -> Table:
    """The cards of several tokenizers on one corpus, which all have the same facts."""
    rows = []
    for facts in zip(*cards.values(), strict=True):
        over = list(dict.fromkeys(fact.over for fact in facts if fact.over))
        entries = [Entry(_text(fact), fact.value, fact.low, fact.high) for fact in facts]
        rows.append((Entry(facts[0].name), *entries, Entry(facts[0].unit), Entry("; ".join(over))))
    columns = (corpus, *cards, "unit", "over")
    return Table("tokeniser", f"Tokenizers on {corpus}", columns, tuple(rows), NOTES)


def _text(fact: Fact) -> str:
    if fact.unit == "tokens" and fact.value == int(fact.value):
        return f"{fact.value:.0f}"
    return with_interval(fact.value, fact.low, fact.high, digits=4 if fact.unit == "1" else 3)
