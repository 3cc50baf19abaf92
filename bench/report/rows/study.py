"""The results folder's `study.json` as a report reads it: question, notes, baseline, margins, claims and the like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.files import read_json
from bench.report.rows.arms import labels_of
from bench.store.cells import MODEL
from bench.study.presentation import arms_named
from metrics.quantities import Margin, known_quantity

STUDY_FILE = "study.json"


def _entry(folder: Path, *keys: str) -> Any:
    """The value under these keys; None where the file or a key is missing."""
    found: Any = read_json(folder / STUDY_FILE)
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def study_question(folder: Path) -> str:
    """The question of the study; empty where the folder keeps none."""
    question = _entry(folder, "study", "question")
    return " ".join(question.split()) if isinstance(question, str) else ""


def study_notes(folder: Path) -> list[str]:
    """Notes of the plan: how arms were matched, which cells were left out."""
    notes = _entry(folder, "notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def recorded_models(folder: Path) -> dict[str, str]:
    """Cell id -> hash of its model, of the timed cells of a light copy, which holds no configurations."""
    cells = _entry(folder, "cells")
    known = [cell for cell in cells if isinstance(cell, dict) and cell.get(MODEL)] if isinstance(cells, list) else []
    return {str(cell.get("id")): str(cell[MODEL]) for cell in known}


def recorded_claims(folder: Path, paper: str) -> str | None:
    """Hash of the paper's claims that was recorded when the study was planned."""
    return _entry(folder, "claims", paper)


def study_tokenizer(folder: Path) -> str:
    """Preset of the tokenizer of a study whose cells all have one; "default" for the default settings, "other" for any
    others, "" where the folder does not say it."""
    baseline, axes = _entry(folder, "study", "baseline"), _entry(folder, "study", "axes") or {}
    if not isinstance(baseline, dict):
        return ""
    given = baseline.get("tokenizer") or {}
    if any(str(axis).startswith("tokenizer.") for axis in axes):
        return "other"
    return str(given.get("preset") or ("other" if given else "default"))


def baseline_arm(folder: Path, frame: pd.DataFrame) -> str:
    """The arm of these rows that others are compared with (see `baseline_among`), as it is shown."""
    labels = labels_of(frame)
    return labels.get(baseline_among(labels, _entry(folder, "study", "baseline", "arm")), "")


def baseline_among(arms: Iterable[str], stated: str | None) -> str:
    """The arm of these, named as in the study, that others are compared with: the one that the study states as its
    baseline, else the first of its variants (`smdim T=64`), else `transformer`, else the first; "" of none."""
    names = list(arms)
    meant = arms_named(stated, names) if stated else []
    return next((name for name in (*meant, "transformer", *names) if name in names), "")


def study_tune(folder: Path) -> dict[str, Any]:
    """Settings of the study's sweep; {} where it has none."""
    found = _entry(folder, "study", "tune")
    return found if isinstance(found, dict) else {}


def tuned_in(folder: Path) -> str:
    """Name of the study whose sweep chose what the arms state themselves; "" where none is named."""
    return str(_entry(folder, "study", "tuned_in") or "")


def planned_cells(folder: Path) -> dict[str, dict[str, Any]]:
    """Labels of the study's cells by their id."""
    found = _entry(folder, "cells")
    cells = [cell for cell in found if isinstance(cell, dict)] if isinstance(found, list) else []
    return {str(cell["id"]): cell["labels"] for cell in cells if isinstance(cell.get("labels"), dict) and "id" in cell}


def stated_margins(folder: Path) -> dict[str, Margin]:
    """Quantity -> the smallest difference that matters, as the study states it; those that it does not state are
    absent."""
    stated = _entry(folder, "study", "matters")
    return read_margins(stated) if isinstance(stated, dict) else {}


def read_margins(stated: Mapping[str, Any]) -> dict[str, Margin]:
    """Quantity -> its margin, from `matters` of a study."""
    named = [(known_quantity(name), given) for name, given in stated.items()]
    return {quantity.name: quantity.margin_of(given) for quantity, given in named}


def kernels_together(folder: Path) -> bool:
    """Whether the study asks for costs of slow fallback kernels to be ranked against those of fused ones
    (`measure.efficiency.rank_kernels: together`)."""
    return _entry(folder, "study", "measure", "efficiency", "rank_kernels") == "together"
