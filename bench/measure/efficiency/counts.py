"""FLOPs, bytes moved, operators and launches of an arm, which stand beside its times."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from bench.errors import first_line
from bench.measure.efficiency.arm import TimedArm
from metrics.cost.flops import SCAN_OPERATOR, count_by_dispatch, count_by_tracing, executed_scan_flops
from metrics.cost.launches import count_launches, count_operators
from metrics.cost.roofline import traffic_bytes

FREQUENT = 6
"""Operators of a step that a row names, the most frequent ones."""
NO_LAUNCHES = "a CPU launches no kernels; step_operators is the least that a GPU would"


def forward_counts(arm: TimedArm, length: int, counter: str) -> tuple[str, dict[str, Any]]:
    """Event and content: `flops` of one sequence, forward, by one of `bench.measure.efficiency.record.COUNTERS`, or
    `traffic`: FLOPs executed and bytes moved by a batch. Raises ValueError where the arm cannot be counted so."""
    model = arm.model.eval()
    if reason := getattr(model, "uncounted", ""):
        raise ValueError(reason)
    tokens_BL = arm.tokens(length, 1)
    if counter == "formula":
        if not hasattr(model, "flops"):
            raise ValueError("the model has no flops(length) of its own")
        count: Any = model.flops(length)  # type: ignore[operator]
        source = getattr(model, "flops_source", "")
        return "flops", {"kind": counter, "flops": count.total, "uncounted": [], "source": source}
    if counter == "traffic":
        batch = arm.settings["batch"]
        with torch.no_grad():
            executed = count_by_dispatch(lambda: model(tokens_BL), formulas={SCAN_OPERATOR: executed_scan_flops})
        with arm.autocast():
            moved = traffic_bytes(lambda: model(arm.tokens(length, batch)))
        return "traffic", {"executed_flops": executed.total * batch, "moved_bytes": moved}
    if counter == "fvcore":
        counted = count_by_tracing(model, (tokens_BL,))
    else:
        with torch.no_grad():  # the counter's module tracker cannot work in inference mode
            counted = count_by_dispatch(lambda: model(tokens_BL))
    return "flops", {"kind": counter, "flops": counted.products, "uncounted": sorted(counted.uncounted)}


def step_launches(arm: TimedArm, length: int) -> dict[str, Any]:
    """Operators of a denoising step, and on CUDA its kernels, or why the profiler cannot count them."""
    call = arm.call("step", length)
    operators = count_operators(call)
    most = ", ".join(f"{name} {count}" for name, count in operators.most_common(FREQUENT))
    counted: dict[str, Any] = {"reason": NO_LAUNCHES}
    if arm.device.type == "cuda":
        try:
            counted = {"reason": "", **asdict(count_launches(call))}
        except (ValueError, RuntimeError) as problem:
            counted = {"reason": first_line(problem)}
    return {"operators": operators.total(), "most": most, **counted}
