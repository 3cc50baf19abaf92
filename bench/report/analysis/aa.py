"""A/A test: arms that are one model under several names."""

from __future__ import annotations

from pathlib import Path

from bench.report.rows.study import recorded_models
from bench.report.rows.summaries import Summaries
from bench.store.cells import CellFolder


def same_models(summaries: Summaries, folder: Path) -> list[list[str]]:
    """Groups of two or more arms whose cells hold one and the same model, on the same kernels asked for."""
    groups: dict[str, dict[str, None]] = {}
    recorded = recorded_models(folder)
    for summary in summaries:
        for cell in summary.cell_ids:
            if same := CellFolder(folder / cell).model_hash() or recorded.get(cell):
                groups.setdefault(same, {})[summary.arm] = None
    return [list(arms) for arms in groups.values() if len(arms) > 1]
