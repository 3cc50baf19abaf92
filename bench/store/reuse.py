"""Cells that another study of the same results folder has finished: found by their settings, copied with provenance."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench.files import write_atomically
from bench.store.cells import CellFolder, Status, Store, identity
from bench.store.vectors import VECTORS
from bench.study.grid import Cell

KEPT = ("environment.json", "measurements.jsonl", VECTORS, "log.txt", "history.jsonl", "data.json")


class OtherStudies:
    """Finished cells of the other studies of a results folder; folder names are read once, files when asked for."""

    def __init__(self, store: Store) -> None:
        self.results = store.results
        self.studies = [
            path for path in sorted(store.results.glob("*")) if path != store.folder and (path / "study.json").is_file()
        ]
        self.folders: dict[str, list[Path]] = {}
        for study in self.studies:
            for path in study.iterdir():
                if path.name.count("-") >= 2:
                    self.folders.setdefault(identity(path.name), []).append(path)

    def find(self, cell: Cell) -> CellFolder | None:
        """An undamaged cell that is done and has the same settings, or None; also of a study that runs now."""
        now = [study / cell.id for study in self.studies]
        for path in dict.fromkeys([*self.folders.get(identity(cell.id), []), *now]):
            found = CellFolder(path)
            if found.status().state == "done":
                return found
        return None

    def copy(self, found: CellFolder, target: CellFolder, cell: Cell) -> Status:
        """Copy a finished cell (all but its checkpoint) under this study's name for it.

        The status is written last and names the first origin, so a copy that was cut short does not count.
        """
        origin = found.path.relative_to(self.results).as_posix()
        target.path.mkdir(parents=True, exist_ok=True)
        (target.path / "status.json").unlink(missing_ok=True)
        target.write_configuration(cell)
        for name in KEPT:
            if (found.path / name).is_file():
                write_atomically(target.path / name, (found.path / name).read_bytes())
        if found.samples.is_dir():
            shutil.rmtree(target.samples, ignore_errors=True)
            shutil.copytree(found.samples, target.samples)
        status = json.loads((found.path / "status.json").read_bytes())
        return target.write_status(status | {"reused_from": status.get("reused_from") or origin})
