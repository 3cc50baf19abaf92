"""Cells whose worker is a few lines, not a trainer; tests of them use the fixture `small_worker`."""

from __future__ import annotations

from typing import Any

from bench.study.grid import Cell

WORKER = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from bench.run.cell_process import serve
from bench.store.cells import CellFolder

def run(arguments, events):
    folder = CellFolder(Path(arguments[0]))
    settings = folder.configuration()["settings"]
    folder.mark_running({{"device": "cpu"}})
    events("progress", stage="training", loss=1.5)
    do = settings.get("do", "")
    if do == "sleep":
        time.sleep(600)
    if do == "die once" and not (folder.path / "died").exists():
        (folder.path / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "server dies":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "crash":
        os.abort()
    if do == "exit":
        print("what went wrong", file=sys.stderr)
        sys.exit(3)
    if do == "eat":
        food = bytearray(400 << 20)
        food[::4096] = b"x" * len(food[::4096])
        time.sleep(600)
    if do == "eat and wait":
        (folder.path / "pid").write_text(str(os.getpid()))
        food = bytearray(1 << 30)
        food[::4096] = b"x" * len(food[::4096])
        time.sleep(600)
    if do == "allocate":
        import resource
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            taken = [bytearray(8 << 20) for _ in range(8)]
            for part in taken:
                part[::4096] = b"x" * len(part[::4096])
            del taken, part
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        folder.finish("done", [{{"metric": "faults", "value": float(faults), "unit": "1"}}])
        return 0
    if do == "print":
        print("by print", settings["seed"])
        print("as an error", settings["seed"], file=sys.stderr)
    if do == "half an event":
        events.stream.write('{{"event": "pro')
        events.stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "oom":
        folder.finish("oom", [], reason="oom: memory ran out")
        return 0
    if do == "processes":
        ids = {{"process": os.getpid(), "server": os.getppid()}}
        folder.finish("done", [{{"metric": name, "value": float(pid), "unit": "1"}} for name, pid in ids.items()])
        return 0
    folder.finish("done", [{{"metric": "m", "value": settings["seed"] + 0.5, "unit": "1"}}], started=time.time())
    if do == "die last":
        os.kill(os.getpid(), signal.SIGKILL)
    return 0

sys.exit(serve(run, forks=lambda arguments: "alone" not in CellFolder(Path(arguments[0])).configuration()["settings"]))
"""


def cell(seed: int = 0, length: int = 8, **more: Any) -> Cell:
    labels = {"arm": "a", "seed": seed, "length": length, "corpus": "demo", "version": "f1"}
    return Cell("quality", labels, {"kind": "quality", "seed": seed, "length": length} | more)
