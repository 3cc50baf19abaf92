"""Figures of a step of the first minutes, on disk as soon as each is there; sizes of all steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import first_line
from bench.files import to_json, write_atomically


@dataclass(frozen=True)
class Size:
    """Sizes of all steps."""

    model: dict[str, int]
    lengths: tuple[int, ...]
    scan: tuple[int, int, int]
    """Batch, channels and length of a scan that is timed."""
    checked: tuple[int, int, int]
    """The same of one that is checked against float64."""
    training: tuple[int, int]
    """Batch and length of a training step that fills the device."""
    rounds: int
    cap_s: float


WHOLE = Size(
    {"width": 512, "layers": 12, "head_width": 64},
    (512, 2048, 16384),
    (8, 1024, 2048),
    (2, 48, 200),
    (128, 2048),
    2,
    4.0,
)
TINY = Size({"width": 32, "layers": 6, "head_width": 16}, (64,), (1, 32, 64), (1, 8, 40), (2, 64), 1, 0.1)


class Figures:
    """The figures of a step, on disk as soon as each is there."""

    def __init__(self, path: Path, step: str) -> None:
        self.path, self.step, self.rows = path, step, list[dict[str, Any]]()

    def add(
        self,
        what: str,
        value: float | None = None,
        unit: str = "",
        *,
        limit: float | None = None,
        reason: str = "",
        passed: bool | None = None,
    ) -> None:
        """Add a figure, in place of an earlier one so named; with a limit it passes where it is not above it (NaN does
        not)."""
        if value is not None and limit is not None:
            passed = bool(value <= limit)
        row = {"what": what, "value": value, "unit": unit, "limit": limit, "passed": passed, "reason": reason}
        self.rows = [*(one for one in self.rows if one["what"] != what), row]
        write_atomically(self.path, to_json({"step": self.step, "state": "running", "rows": self.rows}, indent=2))

    @contextmanager
    def named(self, what: str) -> Iterator[None]:
        """A block whose error becomes a figure that did not pass; the next one is taken."""
        try:
            yield
        except Exception as problem:  # whatever a driver, a compiler or a kernel can do
            self.add(what, reason=first_line(problem), passed=False)
