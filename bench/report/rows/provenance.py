"""Provenance of a study in words: devices, kernels, lengths, seeds, versions in its rows."""

from __future__ import annotations

import pandas as pd

from bench.report.presentation import shown_rows
from bench.report.rows.frame import EFFICIENCY, QUALITY, REFERENCE, rows_of


def listed(values: pd.Series) -> str:
    """The values of a column, each once, as a list in words."""
    known = dict.fromkeys(str(value) for value in values.unique() if not pd.isna(value) and str(value))
    return ", ".join(known)


def _parts(values: pd.Series) -> str:
    """Words of texts that are lists themselves (`scan=c sdpa=flash`), each once."""
    texts = (str(value).replace(",", " ") for value in values.unique() if value)
    return ", ".join(sorted({word for text in texts for word in text.split()}))


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
        ("kernels", _parts(cost["kernel"])),
        ("lengths (cost)", listed(cost["length"])),
        ("length (quality)", listed(quality["length"])),
        ("seeds", listed(quality["seed"])),
        ("training steps", listed(quality["train_steps"])),
        ("versions", _parts(frame["version"])),
    ]
    return [(name, words) for name, words in pairs if words]
