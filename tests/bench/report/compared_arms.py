"""Made-up studies of four arms, their verdicts and what compares their bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.report.analysis.comparisons import Compared, compared
from bench.report.rows.frame import as_frame
from metrics.headlines import PRIMARY

ARMS = ("transformer", "smdim", "mamba", "fam")


def study_of(values: np.ndarray) -> pd.DataFrame:
    """A table of quality rows from values (metric, arm, seed)."""
    rows = [
        {"cell_id": f"{arm}-{seed}", "kind": "quality", "arm": arm, "metric": metric, "seed": seed, "value": value}
        for metric, arms in zip(PRIMARY, values, strict=True)
        for arm, seeds in zip(ARMS, arms, strict=True)
        for seed, value in enumerate(seeds)
    ]
    return as_frame(pd.DataFrame(rows))


def shared_seeds(generator: np.random.Generator, seeds: int) -> np.ndarray:
    """Equal arms whose seeds share data and noise: a seed effect of sd 1 plus noise of sd 1 an arm."""
    effect = generator.normal(size=(len(PRIMARY), 1, seeds))
    return effect + generator.normal(size=(len(PRIMARY), len(ARMS), seeds))


def bits_of(frame: pd.DataFrame, folder: Path | None = None) -> Compared:
    return next(one for one in compared(frame, folder) if one.quantity.name == PRIMARY[0])


def verdicts(frame: pd.DataFrame, folder: Path | None = None) -> dict[str, str]:
    """Arm -> verdict on the first primary metric against the transformer."""
    return {one.arm: one.words for one in bits_of(frame, folder).against("transformer")}


def fixed(*rows: tuple[float, ...]) -> pd.DataFrame:
    """A study whose first primary metric has these figures by arm and seed, and whose others are constant."""
    values = np.zeros((len(PRIMARY), len(ARMS), len(rows[0])))
    values[0] = rows
    return study_of(values)
