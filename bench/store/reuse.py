"""Finished cells found by their settings: of another study of the same results folder, which are copied with their
provenance, and of this study under an arm's earlier name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.files import canonical_hash, write_atomically
from bench.store.cells import CellFolder, Status, Store, identity
from bench.store.vectors import VECTORS
from bench.study.grid import Cell

KEPT = ("environment.json", "measurements.jsonl", VECTORS, "log.txt", "history.jsonl", "data.json")


def of_renamed_arms(store: Store, cells: Iterable[Cell], arms: Collection[str]) -> dict[str, CellFolder]:
    """Cell id -> a done cell of this study that has its settings and names an arm which is none of `arms`, those of the
    study: its name has changed since. An arm's name as a part of the settings of a timing counts for nothing."""
    wanted: dict[str, list[str]] = {}
    for cell in cells:
        wanted.setdefault(_nameless(cell.kind, cell.settings), []).append(cell.id)
    found: dict[str, CellFolder] = {}
    for path in sorted(store.folder.glob("*-*/cell.json")) if wanted else ():
        earlier = CellFolder(path.parent)
        content = earlier.configuration() or {}
        labels, settings = content.get("labels"), content.get("settings")
        if not isinstance(labels, dict) or not isinstance(settings, dict) or labels.get("arm") in arms:
            continue
        ids = wanted.get(_nameless(str(content.get("kind")), settings), [])
        if ids and content.get("kind") != "reference" and earlier.status().state == "done":
            found[ids.pop(0)] = earlier
    return found


def taken_over(store: Store, cells: Collection[Cell], arms: Collection[str]) -> set[str]:
    """Ids of the cells that a run finds finished, in this study under an arm's earlier name or in another study."""
    others = OtherStudies(store)
    return {*of_renamed_arms(store, cells, arms), *(cell.id for cell in cells if others.find(cell))}


def _nameless(kind: str, settings: Mapping[str, Any]) -> str:
    return f"{kind} {canonical_hash({name: value for name, value in settings.items() if name != 'arm'})}"


def move(earlier: CellFolder, target: CellFolder, cell: Cell) -> Status:
    """Give a finished cell the name that its arm has now; it keeps its files, its checkpoint among them. Until all of
    them are there under the new name, the cell counts under the old one."""
    moving = CellFolder(target.path.with_name(f".{target.path.name}.moving"))
    for folder in (moving, target):
        shutil.rmtree(folder.path, ignore_errors=True)  # unfinished
    shutil.copytree(earlier.path, moving.path, copy_function=_link)
    status = json.loads((moving.path / "status.json").read_bytes())
    moving.write_configuration(cell)
    written = moving.write_status(status)
    moving.path.rename(target.path)
    shutil.rmtree(earlier.path, ignore_errors=True)
    return written


def _link(source: str, target: str) -> None:
    """A second name of a file, or a copy where the file system has none. Files are replaced, never written again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class OtherStudies:
    """Finished cells of the other studies of a results folder; folder names are read once, files when asked for. Of the
    cells `anew`, given by their ids, none is found."""

    def __init__(self, store: Store, anew: Collection[str] = ()) -> None:
        self.anew = frozenset(anew)
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
        if cell.id in self.anew:
            return None
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
