"""What study.json says to a report: the baseline arm, and whether kernels may be ranked together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.files import read_json
from bench.report.rows.arms import arm_order

STUDY_FILE = "study.json"


def baseline_arm(folder: Path, frame: pd.DataFrame) -> str:
    """The arm that others are compared with: the study's baseline where it is among the rows, else `transformer`,
    else the first."""
    study = (read_json(folder / STUDY_FILE) or {}).get("study")
    baseline = study.get("baseline") if isinstance(study, dict) else None
    wanted = baseline.get("arm") if isinstance(baseline, dict) else None
    arms = arm_order(frame)
    return next((str(arm) for arm in (wanted, "transformer", *arms) if arm in arms), "")


def kernels_together(folder: Path) -> bool:
    """Whether the study asks for costs of slow fallback kernels to be ranked against those of fused ones
    (`measure.efficiency.rank_kernels: together`)."""
    study = (read_json(folder / STUDY_FILE) or {}).get("study")
    measure = study.get("measure") if isinstance(study, dict) else None
    efficiency = measure.get("efficiency") if isinstance(measure, dict) else None
    return isinstance(efficiency, dict) and efficiency.get("rank_kernels") == "together"
