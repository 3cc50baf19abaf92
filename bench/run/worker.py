"""One quality or reference cell in a process of its own: `python -m bench.run.worker` (see `bench.run.cell_process`).

Events go to stdout, one JSON object a line (`stage`, `done`, `total`, `loss`, ...); everything that libraries print
goes to stderr, which the runner keeps as log.txt. The measurements and the status are written by this process.
Exit code 0 once a status is written, also that of a failure. The process ends with the one that started it, and writes
nothing once the lease is gone: then another runner has taken the cell over.
"""

from __future__ import annotations

import errno
import importlib
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from bench.child import Events, peak_bytes
from bench.errors import disk_is_full, failure_of
from bench.files import to_json, write_atomically
from bench.run.cell_process import serve
from bench.run.machine import processes_of
from bench.store.cells import CellFolder

LEASE_LOST = 75  # exit code: another runner holds the cell now
IMPORTED = (
    "accelerate", "miditok", "pandas", "scipy.linalg",
    "torch._dynamo",  # by every optimiser of torch
    "bench.diffusion", "bench.measure.quality.cell", "bench.training.trainer", "metrics.music.vectors",
)  # fmt: skip
"""What takes most of the time that imports take in a cell."""


def main(arguments: list[str], events: Events) -> int:
    """Run the cell whose folder is the first argument, under the lease that is the second; the exit code."""
    folder, lease = CellFolder(Path(arguments[0])), Path(arguments[1])
    configuration = folder.configuration()
    if configuration is None:
        print(f"{folder.path}: no readable cell.json", file=sys.stderr)
        return 1
    started = time.time()
    try:
        rows = _run(configuration, folder, events)
    except Exception as error:
        if disk_is_full(error):
            print(f"no space left on the device that holds {folder.path}", file=sys.stderr)
            return errno.ENOSPC
        traceback.print_exc()
        failure = failure_of(error)
        state, reason = failure.state, failure.reason
        rows = failure_rows(configuration["kind"], reason)
    else:
        state, reason = "done", ""
    if not lease.exists():
        print(f"{lease} is gone: another runner has taken this cell over", file=sys.stderr)
        return LEASE_LOST
    peak = peak_bytes(processes_of(configuration["settings"]))
    folder.finish(state, rows, reason=reason, started=started, peak_bytes=peak)
    return 0


def _run(configuration: dict[str, Any], folder: CellFolder, events: Events) -> list[dict[str, Any]]:
    import torch

    from bench.measure.quality.training import training_device
    from metrics.cost.device import describe_environment

    settings, threads = configuration["settings"], int(configuration["labels"].get("threads", 1))
    torch.set_num_threads(threads)
    environment = describe_environment(training_device(settings))
    folder.mark_running(environment)
    if configuration["kind"] == "reference":
        from bench.measure.quality.reference import measure_reference as measure
    elif configuration["kind"] == "tuning":
        from bench.measure.quality.tuning import measure_tuning as measure
    elif "midi" in settings:
        from bench.measure.quality.outside import measure_outside as measure
    else:
        from bench.measure.quality.cell import measure_quality as measure
    if processes_of(settings) > 1:
        from bench.run.ranks import train_together

        trained = train_together(settings, folder.path, events)
        write_atomically(folder.path / "environment.json", to_json(environment | {"training": trained}, indent=2))
    common = {"device": environment["device"], "threads": threads}
    return [common | row for row in measure(settings, folder.path, events)]


def failure_rows(kind: str, reason: str) -> list[dict[str, Any]]:
    """NaN rows that keep a failed cell of this kind in the table."""
    from bench.measure.rows import missing_rows

    return missing_rows(reason, kind) if kind in ("quality", "tuning") else []


def prepare() -> None:
    """Import `IMPORTED`."""
    for name in IMPORTED:
        importlib.import_module(name)


def on_cpu(arguments: list[str]) -> bool:
    """Whether the cell of these arguments computes on the CPU."""
    import torch

    from bench.measure.quality.training import training_device

    configuration = CellFolder(Path(arguments[0])).configuration()
    return not configuration or torch.device(training_device(configuration["settings"])).type == "cpu"


if __name__ == "__main__":
    sys.exit(serve(main, prepare, on_cpu))
