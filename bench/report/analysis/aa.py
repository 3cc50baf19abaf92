"""A/A test: arms that are one model under several names, and the ratio from which two times count as different."""

from __future__ import annotations

import math
from pathlib import Path

from bench.files import canonical_hash
from bench.report.rows.summaries import Summaries
from bench.store.cells import CellFolder
from metrics.statistics.intervals import Interval

AA_TOLERANCE = 0.02
"""How far from 1 the ratio of one model to itself may be: two processes of one model keep a difference of up to about
1 % for as long as they live (where their memory lies, for one), and no number of rounds makes it go away."""


def same_models(summaries: Summaries, folder: Path) -> list[list[str]]:
    """Groups of two or more arms whose cells hold one and the same model, on the same kernels asked for."""
    groups: dict[str, dict[str, None]] = {}
    for summary in summaries:
        for cell in summary.cell_ids:
            settings = (CellFolder(folder / cell).configuration() or {}).get("settings")
            if isinstance(settings, dict) and "model" in settings:
                same = canonical_hash([settings["model"], settings.get("kernels", {})])
                groups.setdefault(same, {})[summary.arm] = None
    return [list(arms) for arms in groups.values() if len(arms) > 1]


def decision(ratio: Interval) -> str:
    """The decision on two times from the interval of their ratio; a difference that one model has to itself is none."""
    if math.isnan(ratio.low):
        return "no interval"
    if ratio.low >= 1 - AA_TOLERANCE and ratio.high <= 1 + AA_TOLERANCE:
        return f"same within {AA_TOLERANCE:.0%}"
    if ratio.excludes(1.0) and abs(ratio.value - 1) > AA_TOLERANCE:
        return "slower" if ratio.value > 1 else "faster"
    return "no difference found"
