"""Provenance of a study in words: devices, kernels, lengths, seeds, versions in its rows."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench.report.presentation import shown_rows
from bench.report.rows.frame import EFFICIENCY, QUALITY, REFERENCE, rows_of


def listed(values: pd.Series) -> str:
    """The values of a column, each once, as a list in words."""
    known = dict.fromkeys(str(value) for value in values.unique() if not pd.isna(value) and str(value))
    return ", ".join(known)


def parts_of(texts: Iterable[str]) -> list[str]:
    """Words of texts that are lists themselves (`scan=c sdpa=flash`), each once, in the order of the alphabet."""
    return sorted({word for text in texts for word in text.replace(",", " ").split()})


def provenance(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of a setting and its values in the rows; settings without a value are left out."""
    cost, quality = rows_of(frame, EFFICIENCY), rows_of(frame, QUALITY)
    cells = frame.drop_duplicates("cell_id")
    states = cells["status"].replace("", "unknown").value_counts()
    pairs = [
        ("cells", ", ".join(f"{count} {status}" for status, count in states.items())),
        ("arms", listed(shown_rows(frame).loc[lambda rows: rows["kind"] != REFERENCE, "arm"])),
        ("corpus", listed(quality["corpus"])),
        ("device (timing)", listed(cost["device"])),
        ("threads (timing)", listed(cost["threads"])),
        ("batch (timing)", listed(cost["batch"])),
        ("device (training)", listed(quality["device"])),
        ("kernels", ", ".join(parts_of(cost["kernel"].unique()))),
        ("lengths (cost)", listed(cost["length"])),
        ("length (quality)", listed(quality["length"])),
        ("seeds", listed(quality["seed"])),
        ("training steps", listed(quality["train_steps"])),
        ("versions", ", ".join(parts_of(frame["version"].unique()))),
    ]
    return [(name, words) for name, words in pairs if words]
