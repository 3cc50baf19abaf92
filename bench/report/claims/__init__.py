"""Published claims against a study: reproduced, contradicted, inconclusive or not comparable."""

from __future__ import annotations

from bench.report.claims.paper import PAPERS_FOLDER, Claim, Paper, claims_hash, load_paper, shipped_claims
from bench.report.claims.verdict import (
    NOT_COMPARABLE,
    Judged,
    accepted_words,
    claims_table,
    figures_table,
    fixed_before,
    judge,
    save_verdicts,
    verdict_words,
)

__all__ = [
    "NOT_COMPARABLE",
    "PAPERS_FOLDER",
    "Claim",
    "Judged",
    "Paper",
    "accepted_words",
    "claims_hash",
    "claims_table",
    "figures_table",
    "fixed_before",
    "judge",
    "load_paper",
    "save_verdicts",
    "shipped_claims",
    "verdict_words",
]
