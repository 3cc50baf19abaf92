"""A/A test: arms that are one model under several names."""

from __future__ import annotations

from pathlib import Path

from bench.files import canonical_hash
from bench.report.rows.summaries import Summaries
from bench.store.cells import CellFolder


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
