"""The store: one folder per cell, holding its whole configuration, environment, measurements and status.

    results/<study>/<cell id>/cell.json           settings (they decide the id) and labels
                              environment.json    machine, threads, library versions
                              measurements.jsonl  one measurement per line: metric, value, unit, raw samples, ...
                              vectors.parquet     one value per window or piece, see `bench.store.vectors`
                              status.json         written last, with the checksums of the files above
                              attempts.jsonl      one line each time a process began the cell
                              progress.json       what the running process does, about once a second
                              log.txt  samples/  history.jsonl  checkpoint/  replicates.json

A cell counts as finished only when `status.json` says so and every file still has the checksum that it names.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import versions
from bench.errors import UserError, quoted
from bench.files import canonical_hash, file_sha256, read_json, read_lines, to_json, write_atomically
from bench.store.vectors import VECTORS
from bench.study.grid import Cell

SUMMED = ("measurements.jsonl", "environment.json", "cell.json", VECTORS)  # files whose checksum stands in status.json
FINISHED = ("done", "failed", "oom", "timeout", "diverged")
MODEL = "model_hash"
"""Key of a timed cell in the `study.json` of a light copy, which holds no configurations."""


@dataclass(frozen=True)
class Status:
    """State of a cell: `new`, `running` (or cut off while running), `damaged`, or one of FINISHED."""

    state: str
    reason: str = ""
    started: float | None = None
    ended: float | None = None
    peak_bytes: int | None = None
    reused_from: str = ""
    checksum: str = ""  # of the measurements

    @classmethod
    def of(cls, content: dict[str, Any]) -> Status:
        """What status.json says. Raises KeyError, TypeError, ValueError, AttributeError for other content."""
        peak = content.get("peak_bytes")
        return cls(
            str(content["state"]),
            str(content.get("reason", "")),
            _time(content, "started"),
            _time(content, "ended"),
            peak if isinstance(peak, int) else None,
            str(content.get("reused_from", "")),
            str(content.get("measurements_sha256", "")),
        )

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
        written = [self.path / name for name in ("measurements.jsonl", VECTORS, "status.json", "progress.json")]
        for path in (*written, *self.path.glob(".*.json*")):  # the latter left by a process killed in mid-write
            path.unlink(missing_ok=True)
        shutil.rmtree(self.samples, ignore_errors=True)
        self.write_configuration(cell)
        with (self.path / "attempts.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(to_json({"at": time.time(), "host": socket.gethostname(), "pid": os.getpid()}) + "\n")

    def write_configuration(self, cell: Cell) -> None:
        """Write cell.json: what the cell is and what this study calls it."""
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
        self,
        state: str,
        rows: Iterable[dict[str, Any]],
        *,
        reason: str = "",
        started: float | None = None,
        peak_bytes: int | None = None,
    ) -> Status:
        """Write the measurements, then the status that makes them count. `state` is one of FINISHED.

        `peak_bytes`: most memory the process held, for the estimates of later plans.
        """
        if state not in FINISHED:
            raise ValueError(f"state {quoted(state)} is not one of {FINISHED}")
        write_atomically(self.path / "measurements.jsonl", "".join(to_json(row) + "\n" for row in rows))
        status = {
            "state": state,
            "reason": reason,
            "started": started,
            "ended": time.time(),
            "peak_bytes": peak_bytes,
        }
        return self.write_status(status)

    def write_status(self, status: dict[str, Any]) -> Status:
        """Write status.json with the checksums of the files in SUMMED, and of its own content."""
        content = json.loads(to_json(status))
        content.pop("check", None)
        for name in SUMMED:
            if (self.path / name).exists():
                content[f"{Path(name).stem}_sha256"] = file_sha256(self.path / name)
        write_atomically(self.path / "status.json", to_json(content | {"check": canonical_hash(content)}, indent=2))
        return Status.of(content)

    def status(self, *, quick: bool = False) -> Status:
        """State by the cell's files; a finished cell of which any file was cut or edited is `damaged`.

        `quick`: without the checksum of a file that is older than the status, to show thousands of cells at once.
        """
        try:
            with open(f"{self.path}/status.json", "rb") as stream:  # noqa: PTH123
                content = json.loads(stream.read())
            status = Status.of(content)
        except FileNotFoundError:
            return Status("new")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return Status("damaged", "status.json cannot be read")
        if status.state in FINISHED:
            damage = self._damage(content, quick)
            return Status("damaged", damage) if damage else status
        if status.state != "running":
            return Status("damaged", f"unknown state {quoted(status.state)}")
        return status

    def _damage(self, status: dict[str, Any], quick: bool) -> str:
        """What is wrong with the files of a finished cell; empty where they are whole. Results of before the checks
        of status.json, environment.json and the settings carry only the first checksum."""
        check = status.pop("check", None)
        if check is not None and _hash(status) != check:
            return "status.json was edited"
        written_ns = 0
        if quick:
            with suppress(OSError):  # removed just now by a runner
                written_ns = os.stat(f"{self.path}/status.json").st_mtime_ns  # noqa: PTH116
        for name in SUMMED:
            wanted = status.get(f"{Path(name).stem}_sha256", "" if name == "measurements.jsonl" else None)
            if wanted is None:
                continue
            try:
                if quick and wanted and os.stat(f"{self.path}/{name}").st_mtime_ns <= written_ns:  # noqa: PTH116
                    continue
                with open(f"{self.path}/{name}", "rb") as stream:  # noqa: PTH123  ten thousand cells are looked at
                    whole = hashlib.sha256(stream.read()).hexdigest() == wanted
            except OSError:
                whole = False
            if not whole:
                return f"{name} does not match its checksum"
        if "cell_sha256" in status:
            return ""
        configuration = self.configuration()
        if configuration is None:
            return "cell.json cannot be read"
        if str(configuration.get("id")).rpartition("-")[2] != _hash(configuration.get("settings"), 12):
            return "the settings in cell.json are not those that its id names"
        return ""

    def configuration(self) -> dict[str, Any] | None:
        """Content of cell.json, or None where it is missing or not whole."""
        return read_json(self.path / "cell.json")

    def model_hash(self) -> str:
        """Hash of the model and of the kernels asked for, one and the same for cells of one model; "" for a cell
        without a configuration."""
        settings = (self.configuration() or {}).get("settings")
        if not isinstance(settings, dict) or "model" not in settings:
            return ""
        return canonical_hash([settings["model"], settings.get("kernels", {})])

    def environment(self) -> dict[str, Any]:
        """Content of environment.json, empty where it is missing."""
        return read_json(self.path / "environment.json") or {}

    def rows(self) -> list[dict[str, Any]]:
        """The measurements, raw samples included. Call only when `status()` is finished."""
        lines = (self.path / "measurements.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        return [_restore(json.loads(line)) for line in lines]

    def progress(self) -> dict[str, Any]:
        """Newest event of the running process: stage, done, total, loss, left_s, at (Unix time); empty without one."""
        return read_json(self.path / "progress.json") or {}

    def attempts(self) -> list[dict[str, Any]]:
        """When and where processes began the cell: at (Unix time), host, pid; cut lines are left out."""
        with suppress(OSError):
            return read_lines(self.path / "attempts.jsonl")
        return []

    def write_progress(self, event: dict[str, Any]) -> None:
        """Keep the newest event for `status`; a lost one does no harm, so nothing is flushed to the disk."""
        temporary = self.path / ".progress.json"
        temporary.write_text(to_json(event), encoding="utf-8")
        temporary.replace(self.path / "progress.json")


class Store:
    """The results folder of one study: its cells and its plan."""

    def __init__(self, results: Path, study: str) -> None:
        self.results = results
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
        later: int = 0,
    ) -> None:
        """Record what the study is and which cells belong to it, for `status`, `report` and readers.

        `claims` maps a paper to the hash of what it claims. Once a cell has begun the hashes stay as they were first
        recorded, so that a report can show whether the acceptance was fixed before anything was measured. `later`: how
        many more cells may follow from the results of these.
        Raises UserError where the folder is of another format version, OSError where it cannot be written.
        """
        before = read_json(self.folder / "study.json")
        if before is not None:
            self._check_format(before)
        first = claims or {}
        if any(self.folder.glob("*/cell.json")):
            first = recorded if isinstance(recorded := (before or {}).get("claims"), dict) else {}
        content = {
            "format": versions.FORMAT,
            "study": study,
            "notes": notes,
            "claims": dict(first),
            "cells": [{"id": cell.id, "kind": cell.kind, "labels": cell.labels} for cell in cells],
        }
        content |= {"later": later} if later else {}
        write_atomically(self.folder / "study.json", to_json(content, indent=2))

    def plan(self) -> dict[str, Any]:
        """Content of study.json. Raises UserError where the study was never run or the file is damaged."""
        content = read_json(self.folder / "study.json")
        if content is None:
            raise UserError(f"{self.folder}: no results here (no readable study.json); run the study first")
        self._check_format(content)
        try:
            whole = all(isinstance(cell[key], str) for cell in content["cells"] for key in ("id", "kind"))
            whole = whole and all(isinstance(cell["labels"], dict) for cell in content["cells"])
            whole = whole and isinstance(content["study"]["name"], str)
        except (KeyError, TypeError):
            whole = False
        if not whole or any(Path(cell["id"]).name != cell["id"] for cell in content["cells"]):
            raise UserError(f"{self.folder}: study.json is damaged; run the study again, finished cells are kept")
        return content

    def _check_format(self, plan: dict[str, Any]) -> None:
        if plan.get("format") != versions.FORMAT:
            raise UserError(
                f"{self.folder}: written in format {plan.get('format')}, this version reads {versions.FORMAT}; "
                "move the folder away and run the study again"
            )


def identity(cell_id: str) -> str:
    """Kind and hash of a cell's id, without the arm's name in between: equal for equal cells of any study."""
    kind, _, rest = cell_id.partition("-")
    return f"{kind}-{rest.rpartition('-')[2]}"


def _time(status: dict[str, Any], name: str) -> float | None:
    value = status.get(name)
    try:
        return float(value) if value is not None else None
    except OverflowError:
        raise ValueError(f"{name} is no time") from None


def _hash(value: Any, length: int = 16) -> str:
    """Hash of a file's content; empty for what only a damaged file can hold (NaN, endless nesting)."""
    try:
        return canonical_hash(value, length)
    except (ValueError, RecursionError):
        return ""


def _restore(row: dict[str, Any]) -> dict[str, Any]:
    for key in ("value", "low", "high"):
        if row.get(key) is None:
            row[key] = math.nan
    return row
