"""Leases: concurrent runners on one results folder share the cells, and no cell is run twice.

    results/.leases/<holder>.json          the process that holds leases; its modification time is the heartbeat
                    <key>@<holder>.lease   one per lease: a cell (by kind and hash) or a device that is being timed

A lease is taken by making the file and then looking: a process that sees another living holder of the same key gives
its lease back, so two can give back at once but never both hold it. A holder on this machine lives while its process
does; a holder on another machine while its heartbeat is fresh by the clock of the file system.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = ".leases"
HELD_POLL_S = 0.5  # between looks at a cell that another runner holds
HEARTBEAT_S = 5.0
STALE_S = 90.0  # age of a heartbeat after which a holder on another machine counts as dead


@dataclass(frozen=True)
class Holder:
    """A process that holds leases, as its file describes it."""

    name: str
    host: str
    place: str  # boot and process namespace: process numbers mean something only within one
    pid: int
    started: str  # the system's start mark of the process, so that a reused number is not mistaken for it


class Leases:
    """The leases of this process on things below `results`. A context manager, which gives all back as it ends.

    Raises OSError where the folder cannot be written.
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / FOLDER
        self.name = uuid.uuid4().hex[:16]
        self.file = self.folder / f"{self.name}.json"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Leases:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self._announce()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for path in self.folder.glob(f"*@{self.name}.lease"):
            path.unlink(missing_ok=True)
        self.file.unlink(missing_ok=True)

    def take(self, key: str) -> Path | None:
        """The lease on `key`, or None where a living process has it. Leases of dead processes are cleared away."""
        mine = self.folder / f"{key}@{self.name}.lease"
        if not self.file.exists():  # cleared away as dead, after a long suspension
            self._announce()
        try:
            mine.touch(exist_ok=False)
        except FileExistsError:
            return None  # another thread of this process has it
        for path in self.folder.glob(f"{key}@*.lease"):
            if path == mine:
                continue
            if self._alive(_holder_of(path)):
                mine.unlink(missing_ok=True)
                return None
            path.unlink(missing_ok=True)
        return mine

    def release(self, lease: Path) -> None:
        """Give a lease back."""
        lease.unlink(missing_ok=True)

    def _announce(self) -> None:
        me = _myself(self.name)
        text = json.dumps({"host": me.host, "place": me.place, "pid": me.pid, "started": me.started})
        temporary = self.folder / f".{self.name}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.file)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            with suppress(OSError):
                os.utime(self.file)

    def _alive(self, name: str) -> bool:
        with suppress(OSError):
            os.utime(self.file)
        return is_alive(self.folder, name, self.file)

    def _sweep(self) -> None:
        """Clear away dead holders without a lease."""
        probe = self.folder / f".{self.name}"
        probe.touch()
        for path in self.folder.glob("*.json"):
            if not any(self.folder.glob(f"*@{path.stem}.lease")) and not is_alive(self.folder, path.stem, probe):
                path.unlink(missing_ok=True)
        probe.unlink()


def holders(results: Path) -> dict[str, Holder]:
    """Living holder of each held key, for `status`; empty where nothing runs."""
    folder = results / FOLDER
    found: dict[str, Holder] = {}
    for path in folder.glob("*@*.lease"):
        name = _holder_of(path)
        if is_alive(folder, name, None) and (holder := _read(folder, name)):
            found[path.name.rpartition("@")[0]] = holder
    return found


def is_alive(folder: Path, name: str, now: Path | None) -> bool:
    """Whether the holder's process lives; `now` is a file touched just now, for the file system's own clock."""
    holder = _read(folder, name)
    if holder is None:
        return False
    me = _myself("")
    if holder.place == me.place and me.place:
        return start_mark(holder.pid) == holder.started
    try:
        beat = (folder / f"{name}.json").stat().st_mtime
        clock = now.stat().st_mtime if now else max(p.stat().st_mtime for p in folder.iterdir())
    except OSError:
        return False
    return clock - beat < STALE_S


def start_mark(pid: int) -> str:
    """When process `pid` started, in the system's ticks; empty where there is none, or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZXx" else fields[19]


def _myself(name: str) -> Holder:
    pid = os.getpid()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().decode().strip()
        place = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        place = ""  # not Linux: the heartbeat alone decides
    return Holder(name, socket.gethostname(), place, pid, start_mark(pid))


def _read(folder: Path, name: str) -> Holder | None:
    try:
        content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return Holder(name, str(content["host"]), str(content["place"]), int(content["pid"]), str(content["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _holder_of(lease: Path) -> str:
    return lease.name.rpartition("@")[2].removesuffix(".lease")
