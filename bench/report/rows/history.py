"""Learning curves that training left in the cell folders (`history.jsonl`, one JSON object a line)."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

HISTORY_FILE = "history.jsonl"


def read_history(cell_folder: Path) -> pd.DataFrame:
    """The history of one cell, one row a line; empty where there is none. A last line cut short by a crash is
    left out."""
    path = cell_folder / HISTORY_FILE
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return pd.DataFrame()
    for line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return pd.DataFrame(rows)


def study_history(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Histories of all quality cells below each other, with columns arm, seed and cell_id added."""
    cells = frame[frame["kind"] == "quality"].drop_duplicates("cell_id")
    found = []
    for cell_id, arm, seed in zip(cells["cell_id"], cells["arm"], cells["seed"], strict=True):
        history = read_history(folder / str(cell_id))
        if len(history):
            found.append(history.assign(cell_id=cell_id, arm=arm, seed=seed))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
