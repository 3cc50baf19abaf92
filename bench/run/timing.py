"""A timing session: all arms of a study timed in turns, alone on their device."""

from __future__ import annotations

import math
import socket
import time
from contextlib import ExitStack
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from bench.files import to_json, write_atomically
from bench.run.attempt import Progress
from bench.run.lease import Leases
from bench.run.task import OnEvent, Task, end_event
from bench.store.cells import FINISHED, Store, identity
from bench.study.grid import Cell
from metrics.cost.quantities import DEVICE_COPY_RATE, DEVICE_PRODUCT_RATE, STEP_LATENCY

if TYPE_CHECKING:
    from bench.measure.efficiency.cell import EfficiencyCell

ROUNDS = (
    "rounds", "replicates", "calls_per_round", "seconds_per_round", "sample_rounds", "relative_width", "time_cap_s"
)  # fmt: skip
"""Settings of a study that limit its timing session."""


def perform_timing(task: Task, leases: Leases, on_event: OnEvent) -> bool:
    """Time all unfinished cells of the task; False where another runner times on this device, or holds a cell."""
    device = task.cells[0].settings["machine"]["device"]
    with ExitStack() as held:
        keys = [f"timing-{socket.gethostname()}-{device}", *(identity(cell.id) for cell in task.cells)]
        for key in keys:
            lease = leases.take(key)
            if lease is None:
                return False
            held.callback(leases.release, lease)
        todo = []
        for cell in task.cells:
            status = task.store.cell(cell.id).status()
            if status.state in FINISHED:
                on_event(cell, end_event(status, by="another runner"))
            else:
                todo.append(cell)
        if todo:
            _session(task, todo, on_event)
    return True


def _session(task: Task, cells: list[Cell], on_event: OnEvent) -> None:
    from bench.measure.efficiency.kept import FILE, KeptReplicates
    from bench.measure.efficiency.session import SILENCE_S, measure_group
    from bench.measure.rows import row
    from bench.run.machine import timing_identity
    from metrics.cost.device import describe_environment

    store, machine = task.store, cells[0].settings["machine"]
    first = cells[0].settings
    precision = first["measure"].get("precision", "float32")
    here = timing_identity(machine["device"], machine["threads"], first.get("kernels"), precision)
    by_id = {cell.id: cell for cell in cells}
    progress = {cell.id: Progress(store.cell(cell.id)) for cell in cells}
    environment = describe_environment(machine["device"])
    kept = KeptReplicates(store.cell(cells[0].id).path / FILE, list(by_id), environment)
    session = time.strftime("%Y-%m-%dT%H:%M:%S")
    for cell in cells:
        folder = store.cell(cell.id)
        folder.begin(cell)
        folder.mark_running(environment)
        on_event(cell, {"event": "start"})
    wanted = cells[0].settings["measure"]
    started = time.time()

    def pass_on(cell_id: str, event: dict[str, Any]) -> None:
        progress[cell_id](event)
        on_event(by_id[cell_id], event)

    if here != machine:
        different = next(key for key in machine | here if here.get(key) != machine.get(key))
        reason = f"error: planned for {different} {machine.get(different)}, this machine has {here.get(different)}"
        results = {cell.id: [row(STEP_LATENCY, math.nan, reason=reason)] for cell in cells}
    else:
        results = measure_group(
            [_timed_cell(cell, task.limits.memory_gib) for cell in cells],
            **{name: wanted[name] for name in ROUNDS if name in wanted},
            on_event=pass_on,
            log_folder={cell.id: store.cell(cell.id).path / "log.txt" for cell in cells},
            silence_s=min(SILENCE_S, task.limits.time_s or SILENCE_S),
            kept=kept,
        )
    _keep_ceilings(store, environment, results)
    common = {"device": environment["device"], "threads": wanted["threads"], "session": session}
    ended = []
    for cell_id, rows in results.items():
        state, reason = _outcome(rows)
        status = store.cell(cell_id).finish(state, [common | one for one in rows], reason=reason, started=started)
        ended.append((by_id[cell_id], end_event(status)))
    (store.cell(cells[0].id).path / FILE).unlink(missing_ok=True)
    for cell, event in ended:  # which may end the run: all that was timed is written by now
        on_event(cell, event)


def _keep_ceilings(store: Store, environment: dict[str, Any], results: dict[str, list[dict[str, Any]]]) -> None:
    """Add the device's ceilings, measured once per session, to the environment of each cell."""
    for cell_id, rows in results.items():
        rates = {
            row["metric"]: row["value"] for row in rows if row["metric"] in (DEVICE_PRODUCT_RATE, DEVICE_COPY_RATE)
        }
        if rates:
            write_atomically(store.cell(cell_id).path / "environment.json", to_json(environment | rates, indent=2))


def _timed_cell(cell: Cell, memory_limit_gib: float | None) -> EfficiencyCell:
    from bench.measure.efficiency.cell import EfficiencyCell

    settings, known = cell.settings, {one.name for one in fields(EfficiencyCell)}
    measured = {name: value for name, value in settings["measure"].items() if name in known}
    if "denoiser" in settings["model"]:
        special = {name: settings["model"][name] for name in ("mask_id", "pad_id")}
        measured |= {name: value for name, value in special.items() if value is not None}
    return EfficiencyCell(
        id=cell.id,
        arm=cell.labels["arm"],
        config=settings["model"],
        kernels=settings.get("kernels", {}),
        sample_steps=settings["sample"]["steps"],
        sampler=settings["sample"]["sampler"],
        sample_options={name: one for name, one in settings["sample"].items() if name not in ("steps", "sampler")},
        memory_limit_gib=memory_limit_gib,
        plugins=tuple(settings["plugins"]),
        **measured | settings.get("diffusion", {}) | {"device": settings["machine"]["device"]},
    )


def _outcome(rows: list[dict[str, Any]]) -> tuple[str, str]:
    """`done` where anything was timed; else how the first missing latency failed."""
    latencies = [row for row in rows if row["metric"] == STEP_LATENCY]
    if not latencies or any(not math.isnan(row["value"]) for row in latencies):
        return "done", ""
    return latencies[0].get("status") or "failed", latencies[0]["reason"]
