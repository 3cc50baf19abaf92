"""Versions of the parts whose code decides a result. Bump one when a change of code changes what it yields:
the ids of the cells that depend on it change, so old and new results are never mixed."""

from __future__ import annotations

from collections.abc import Iterable

SOFTWARE = "0.2.0.dev0"
"""Version of the package; it decides no result and is part of no id."""
FORMAT = 1
QUALITY_PARTS = {"data": 2, "backbone": 4, "diffusion": 1, "training": 4, "sampling": 1, "metrics": 5}
TUNING_PARTS = {name: number for name, number in QUALITY_PARTS.items() if name not in ("sampling", "metrics")}
REFERENCE_PARTS = {"data": 2, "metrics": 5}
EFFICIENCY_PARTS = {"backbone": 7, "timing": 7, "sampling": 1}


def label(parts: dict[str, int]) -> str:
    """One word for a table column, e.g. `format1 data1 metrics1`."""
    return " ".join([f"format{FORMAT}", *(f"{name}{number}" for name, number in sorted(parts.items()))])


def number_of(part: str, found: str) -> int | None:
    """Number of a part in a label; None where the label does not name it."""
    numbers = [word.removeprefix(part) for word in found.split()]
    return next((int(number) for number in numbers if number.isdigit()), None)


def conflict(labels: Iterable[str]) -> bool:
    """Whether two labels name different versions of one part; a part that only one of them has is no conflict."""
    numbers: dict[str, set[str]] = {}
    for word in {word for label in labels for word in label.split()}:
        name = word.rstrip("0123456789")
        numbers.setdefault(name, set()).add(word[len(name) :])
    return any(len(found) > 1 for found in numbers.values())
