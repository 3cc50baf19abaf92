"""The steps of the first minutes on a device: what each measures, written to its file figure by figure.

`python tools/first_steps.py STEP --device D --output FILE [--tiny]`, started and limited in time by `first_minutes`.
The measuring itself is the harness's own. What cannot run is a figure without a value, with the reason.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from first_figures import TINY, WHOLE, Figures, Size
from first_scans import kernels, scan, tiles

from architectures import resolve
from architectures.matching import match
from bench.child import end_with_parent, own_output
from bench.diffusion.sampling_step import weights_cast_once
from bench.measure.efficiency.cell import EfficiencyCell
from metrics.cost import quantities as cost
from metrics.cost.device import resolve_device
from metrics.quantities import quantity_of

ROOT = Path(__file__).parents[1]
ARMS = ("transformer", "smdim", "mamba")
VOCABULARY = 284
MOST_LAUNCHES = {"transformer": 215, "smdim": 235}
"""Kernels of a denoising step at batch 1 and 12 layers that are aimed at."""
BFLOAT16_FROM = 8
"""Compute capability, its first number, from which a GPU multiplies in bfloat16."""
Run = Callable[[Figures, torch.device, Size], None]


def doctor(figures: Figures, device: torch.device, size: Size) -> None:
    """The machine, and every kernel tried once."""
    from bench.cli.doctor import PASSING
    from bench.measure.efficiency.doctor import examine

    for one in examine(str(device)):
        passed = None if one.state == "missing" or one.subject in PASSING else one.state == "works"
        figures.add(one.subject, reason="; ".join(filter(None, (one.detail, one.advice))), passed=passed)
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        old = "" if major >= BFLOAT16_FROM else ": too old for products in bfloat16, in which the other steps measure"
        figures.add("bfloat16", reason=f"sm_{major}{minor}{old}", passed=not old)


def timed_arms(device: torch.device, size: Size) -> Iterator[tuple[str, Any]]:
    """The arms ready to be called, one at a time."""
    from bench.measure.efficiency.arm import TimedArm

    for name, cell in cells(device, size).items():
        yield name, TimedArm(asdict(cell))


def cells(device: torch.device, size: Size, **more: Any) -> dict[str, EfficiencyCell]:
    """Timing cells of the arms in bfloat16, matched in parameters to the transformer."""
    matched = match({name: resolve(name, VOCABULARY, stride=4, **size.model) for name in ARMS}, reference=ARMS[0])
    settings: dict[str, Any] = {"lengths": size.lengths, "device": str(device), "threads": torch.get_num_threads()}
    settings |= {"precision": "bfloat16", "graphs": device.type == "cuda", "energy": False, **more}
    return {name: EfficiencyCell(name, name, matched[name].config.to_dict(), **settings) for name in ARMS}


def graphs(figures: Figures, device: torch.device, size: Size) -> None:
    """A denoising step called plainly and replayed as a CUDA graph, at batch 1."""
    from metrics.cost.latency import time_calls

    for name, arm in timed_arms(device, size):
        for length in size.lengths[:2]:
            found_ms: dict[str, float] = {}
            for kind in ("step", "graph"):
                words = f"{name}, L {length}, {kind}"
                if kind == "graph" and device.type != "cuda":
                    figures.add(words, reason=f"no CUDA graphs on {device.type}")
                    continue
                with figures.named(words), weights_cast_once():
                    times = time_calls(arm.call(kind, length), 10 * size.rounds, warmup=3, device=device)
                    found_ms[kind] = 1e3 * times.median_s
                    figures.add(words, found_ms[kind], "ms")
            if len(found_ms) == 2:
                figures.add(f"{name}, L {length}, step over graph", found_ms["step"] / found_ms["graph"], "x")


def launches(figures: Figures, device: torch.device, size: Size) -> None:
    """Kernels of a denoising step, and waits for the device in it and in a training step; operators where no kernel is
    launched."""
    from metrics.cost.launches import count_launches, count_operators

    length = size.lengths[0]
    for name, arm in timed_arms(device, size):
        most = MOST_LAUNCHES.get(name)
        with weights_cast_once():
            operators = count_operators(arm.call("step", length)).total()
        figures.add(f"{name}, operators of a step", operators, "", limit=most if device.type != "cuda" else None)
        if device.type != "cuda":
            figures.add(f"{name}, kernels of a step", reason=f"none is launched on {device.type}")
            continue
        for kind, words in (("step", "a step"), ("train", "a training step")):
            with figures.named(f"{name}, kernels of {words}"), weights_cast_once() if kind == "step" else nullcontext():
                found = count_launches(arm.call(kind, length))
                figures.add(f"{name}, kernels of {words}", found.kernels, "", limit=most if kind == "step" else None)
                figures.add(f"{name}, waits in {words}", found.waits, "", limit=0)


def tests(figures: Figures, device: torch.device, size: Size) -> None:
    """The tests marked gpu_short."""
    try:
        import pytest
    except ModuleNotFoundError as problem:
        figures.add("pytest", reason=f"not importable: {problem}")
        return

    counts: Counter[str] = Counter()

    class Outcomes:
        """Counts the outcomes of the tests, and adds those that fail."""

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                figures.add(report.nodeid, reason=f"{report.when}: {_end(report.longrepr)}", passed=False)
            elif report.skipped:
                counts[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1
            elif report.when == "call":
                counts[""] += 1
            reasons = "; ".join(f"{number} skipped: {reason}" for reason, number in counts.items() if reason)
            figures.add("tests", counts[""] or None, "passed", reason=reasons, passed=bool(counts[""]) or None)

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                figures.add(report.nodeid, reason=_end(report.longrepr), passed=False)

    marked = sorted(
        str(path) for path in (ROOT / "tests").rglob("test_*.py") if "gpu_short" in path.read_text(encoding="utf-8")
    )
    pytest.main(["-q", "-m", "gpu_short", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *marked], plugins=[Outcomes()])


def _end(words: Any) -> str:
    """Last line of an error."""
    return (str(words).splitlines() or [""])[-1]


def measure(
    figures: Figures, device: torch.device, size: Size, wanted: Sequence[str], *, counts: bool = True, **more: Any
) -> None:
    """A short timing session of the arms, and of its rows those that are wanted; see `measure_group` for `counts`."""
    from bench.measure.efficiency.session import measure_group

    found = measure_group(
        list(cells(device, size, **more).values()),
        rounds=size.rounds,
        replicates=1,
        calls_per_round=3,
        time_cap_s=size.cap_s,
        counts=counts,
        log_folder=figures.path.parent / "logs",
    )
    for name, rows in found.items():
        for row in (row for row in rows if row["metric"] in wanted):
            words = f"{name}, L {row['length']}, {row['metric']}" if row["length"] else f"{name}, {row['metric']}"
            value = None if math.isnan(row["value"]) else row["value"]
            reason = "; ".join(filter(None, (row["reason"], row.get("note", ""))))
            broken = row.get("status", "done") not in ("done", "timeout")
            unit = quantity_of(row["metric"]).unit
            figures.add(words, value, unit, reason=reason, passed=False if broken else None)


def efficiency(figures: Figures, device: torch.device, size: Size) -> None:
    """Latency and memory of the arms from short to long, at batch 1; one length after another, each kept."""
    wanted = (cost.STEP_LATENCY, cost.STEP_LATENCY_GRAPH, cost.TRAIN_STEP_LATENCY, cost.PEAK_MEMORY_TRAINING)
    for length in size.lengths:
        measure(figures, device, size, wanted, counts=False, lengths=(length,))


def training(figures: Figures, device: torch.device, size: Size) -> None:
    """Model FLOPs utilisation of a training step with a batch that fills the device."""
    batch, length = size.training
    wanted = (cost.TRAIN_STEP_LATENCY, cost.TRAIN_STEP_COMPUTE_SHARE, cost.DEVICE_PRODUCT_RATE)
    measure(figures, device, size, wanted, lengths=(length,), batch=batch, graphs=False, sample_steps=1)


STEPS: dict[str, Run] = {
    "doctor": doctor,
    "kernels": kernels,
    "tiles": tiles,
    "graphs": graphs,
    "launches": launches,
    "tests": tests,
    "efficiency": efficiency,
    "scan": scan,
    "training": training,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Take one step."""
    parser = argparse.ArgumentParser(description="Take one of the steps of `first_minutes`.")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    chosen = parser.parse_args(arguments)
    end_with_parent()
    own_output()  # what libraries print goes to the log
    torch.manual_seed(0)
    figures = Figures(chosen.output, chosen.step)
    try:
        device = resolve_device(chosen.device)
    except ValueError as problem:
        figures.add("device", reason=str(problem), passed=False)
        return
    STEPS[chosen.step](figures, device, WHOLE if device.type == "cuda" and not chosen.tiny else TINY)


if __name__ == "__main__":
    main()
