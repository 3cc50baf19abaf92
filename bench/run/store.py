"""The store: one folder a cell, holding its whole configuration, environment, measurements and status.

    results/<study>/<cell id>/cell.json           settings (they decide the id) and labels
                              environment.json    machine, threads, library versions
                              measurements.jsonl  one measurement a line: metric, value, unit, raw samples, ...
                              status.json         written last, with the checksum of the measurements
                              log.txt  samples/  history.jsonl  checkpoint/

A cell counts as finished only when `status.json` says so and the measurements still have the checksum it names.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import versions
from bench.errors import UserError
from bench.files import file_sha256, write_atomically
from bench.study import Cell

FINISHED = ("done", "failed", "oom", "timeout", "diverged")


@dataclass(frozen=True)
class Status:
    """State of a cell: `new`, `running` (or cut off while running), `damaged`, or one of FINISHED."""

    state: str
    reason: str = ""
    started: float | None = None
    ended: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds from start to end; NaN where either is not known."""
        return self.ended - self.started if self.started is not None and self.ended is not None else math.nan


class CellFolder:
    """One cell on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def samples(self) -> Path:
        """MIDI files the cell generated."""
        return self.path / "samples"

    def begin(self, cell: Cell) -> None:
        """Write the configuration before anything is measured; earlier half-written measurements are dropped."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "measurements.jsonl").unlink(missing_ok=True)
        (self.path / "status.json").unlink(missing_ok=True)
        shutil.rmtree(self.samples, ignore_errors=True)
        content = {
            "format": versions.FORMAT,
            "id": cell.id,
            "kind": cell.kind,
            "labels": cell.labels,
            "settings": cell.settings,
        }
        write_atomically(self.path / "cell.json", to_json(content, indent=2))

    def mark_running(self, environment: dict[str, Any]) -> None:
        """Record that a process has begun this cell, and where."""
        write_atomically(self.path / "environment.json", to_json(environment, indent=2))
        write_atomically(self.path / "status.json", to_json({"state": "running", "started": time.time()}))

    def finish(
        self, state: str, rows: Iterable[dict[str, Any]], *, reason: str = "", started: float | None = None
    ) -> None:
        """Write the measurements, then the status that makes them count. `state` is one of FINISHED."""
        if state not in FINISHED:
            raise ValueError(f"state {state!r} is not one of {FINISHED}")
        measurements = self.path / "measurements.jsonl"
        write_atomically(measurements, "".join(to_json(row) + "\n" for row in rows))
        status = {
            "state": state,
            "reason": reason,
            "started": started,
            "ended": time.time(),
            "measurements_sha256": file_sha256(measurements),
        }
        write_atomically(self.path / "status.json", to_json(status, indent=2))

    def status(self) -> Status:
        """What the files say; a finished cell whose measurements or configuration were cut or edited is `damaged`."""
        try:
            content = json.loads((self.path / "status.json").read_text())
            status = Status(content["state"], content.get("reason", ""), content.get("started"), content.get("ended"))
        except FileNotFoundError:
            return Status("new")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Status("damaged", "status.json cannot be read")
        if status.state in FINISHED:
            try:
                whole = file_sha256(self.path / "measurements.jsonl") == content.get("measurements_sha256")
            except OSError:
                whole = False
            if not whole:
                return Status("damaged", "measurements.jsonl does not match its checksum")
            if self.configuration() is None:
                return Status("damaged", "cell.json cannot be read")
        elif status.state != "running":
            return Status("damaged", f"unknown state {status.state!r}")
        return status

    def configuration(self) -> dict[str, Any] | None:
        """Content of cell.json, or None where it is missing or not whole."""
        return read_json(self.path / "cell.json")

    def environment(self) -> dict[str, Any]:
        """Content of environment.json, empty where it is missing."""
        return read_json(self.path / "environment.json") or {}

    def rows(self) -> list[dict[str, Any]]:
        """The measurements, raw samples included. Call only when `status()` is finished."""
        lines = (self.path / "measurements.jsonl").read_text().splitlines()
        return [_restore(json.loads(line)) for line in lines]


class Store:
    """The results of one study: its cells, its plan and what is made of them."""

    def __init__(self, results: Path, study: str) -> None:
        self.folder = results / study

    def cell(self, cell_id: str) -> CellFolder:
        """Folder of the cell with this id (it need not exist)."""
        return CellFolder(self.folder / cell_id)

    def write_plan(
        self,
        study: dict[str, Any],
        cells: list[Cell],
        notes: list[str],
        claims: Mapping[str, str] | None = None,
    ) -> None:
        """Record what the study is and which cells belong to it, for `status`, `report` and readers.

        `claims` maps a paper to the hash of what it claims. Once a cell has begun the hashes stay as they were first
        recorded, so that a report can say whether what would count was fixed before anything was measured.
        """
        content = {
            "format": versions.FORMAT,
            "study": study,
            "notes": notes,
            "claims": self._first_claims(dict(claims or {})),
            "cells": [{"id": cell.id, "kind": cell.kind, "labels": cell.labels} for cell in cells],
        }
        write_atomically(self.folder / "study.json", to_json(content, indent=2))

    def _first_claims(self, claims: dict[str, str]) -> dict[str, str]:
        if not any(self.folder.glob("*/cell.json")):
            return claims
        recorded = (read_json(self.folder / "study.json") or {}).get("claims")
        return recorded if isinstance(recorded, dict) else {}

    def plan(self) -> dict[str, Any]:
        """Content of study.json. Raises UserError where the study was never run or the file is damaged."""
        content = read_json(self.folder / "study.json")
        if content is None:
            raise UserError(f"{self.folder}: no results here (no readable study.json); run the study first")
        if content.get("format") != versions.FORMAT:
            raise UserError(
                f"{self.folder}: written in format {content.get('format')}, this version reads {versions.FORMAT}; "
                "move the folder away and run the study again"
            )
        return content


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file, or None where the file is missing, cut or something else."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text; NaN and infinities become null, so that any JSON reader can read it."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _restore(row: dict[str, Any]) -> dict[str, Any]:
    for key in ("value", "low", "high"):
        if row.get(key) is None:
            row[key] = math.nan
    return row
