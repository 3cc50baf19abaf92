"""The process that measures one arm at all its lengths, a turn at a time, and sleeps between its turns.

Commands come as JSON lines on standard input, answers go as JSON lines to standard output; whatever libraries print
goes to the log. Started as `python -m bench.measure.efficiency_worker` by `bench.measure.efficiency`.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TextIO

STARTED_S = time.perf_counter()

import torch  # noqa: E402

from bench.measure.efficiency_arm import TimedArm  # noqa: E402
from metrics.computed_memory import computed_memory  # noqa: E402
from metrics.energy import available_energy_source, measure_energy  # noqa: E402
from metrics.flops import SCAN_OPERATOR, count_by_dispatch, count_by_tracing, executed_scan_flops  # noqa: E402
from metrics.kernels import attention_kernel  # noqa: E402
from metrics.latency import time_calls  # noqa: E402
from metrics.memory import is_out_of_memory, limit_growth, memory_baseline, peak_memory  # noqa: E402
from metrics.roofline import measure_ceilings, traffic_bytes  # noqa: E402

LONG_CALL_S = 0.3
"""A call at least this long is not repeated untimed at the start of a turn: caches are cold for a small share of it."""


class EfficiencyWorker:
    """Answers the parent about one arm. Every public method is a command."""

    def __init__(self, settings: dict[str, Any], emit: Callable[..., None]) -> None:
        self.settings, self.emit = settings, emit
        torch.set_num_threads(settings["threads"])
        for plugin in settings["plugins"]:
            importlib.import_module(plugin)
        self.kinds = ("step", "train") if settings["measure_training"] else ("step",)
        self.failed: set[tuple[str, int]] = set()
        self.warm_s: dict[tuple[str, int], float] = {}
        if settings["memory_limit_gib"] is not None:
            limit_growth(settings["memory_limit_gib"] * 2**30)
        imported_s = time.perf_counter() - STARTED_S
        self.arm = TimedArm(settings)
        parameters = sum(weight.numel() for weight in self.arm.model.parameters() if weight.requires_grad)
        built_s = time.perf_counter() - STARTED_S - imported_s
        emit("ready", parameters=parameters, import_s=imported_s, build_s=built_s)

    def warm(self) -> None:
        """Run every shape before any is timed; tells cold and warm seconds and the kernels that ran."""
        for kind in self.kinds:
            for length in self.settings["lengths"]:
                self._attempt(kind, length, self._warm, kind)

    def round(self, work: list[dict[str, Any]]) -> None:
        """This arm's turn: timed calls of each kind at each length; raw samples go out at once."""
        for block in work:
            self._attempt(block["kind"], block["length"], self._time, block["kind"], block["calls"])

    def ceilings(self) -> None:
        """What the device can do, measured once a session by the first arm that lives."""
        self.emit("ceilings", **asdict(measure_ceilings(self.arm.device)))

    def memory(self) -> None:
        """Peaks over a process that holds no model but whose libraries are warm: inference first, then training."""
        for kind in self.kinds:
            self.arm.drop()
            baseline_bytes = memory_baseline(self.arm.device)
            self.arm.build()
            for length in self.settings["lengths"]:
                if (kind, length) not in self.failed:
                    self._attempt(f"{kind} memory", length, self._weigh, kind, baseline_bytes)

    def audit(self) -> None:
        """FLOPs of one sequence, forward, by formula and by two counters; bytes; energy where the device tells."""
        for length in self.settings["lengths"]:
            for counter in ("formula", "fvcore", "dispatch", "traffic"):
                self._attempt(counter, length, self._count, counter)
        if not available_energy_source(self.arm.device):
            reason = measure_energy(lambda: None, device=self.arm.device).reason
            self.emit("energy", kind="step", length=None, joules=math.nan, reason=reason)
            return
        for kind in self.kinds:
            for length in self.settings["lengths"]:
                if (kind, length) not in self.failed:
                    self._attempt(f"{kind} energy", length, self._power, kind)

    def _attempt(self, figure: str, length: int, action: Callable[..., None], *more: Any) -> None:
        """`action(length, *more)`, unless `figure` has failed before; an error becomes a message and the rest goes on.

        When memory ran out, longer lengths are not tried (`prune`): they would need more.
        """
        if (figure, length) in self.failed:
            return
        try:
            action(length, *more)
        except Exception as problem:
            traceback.print_exc()
            status, reason = status_of(problem)
            self.failed.add((figure, length))
            if status == "oom" and self.settings["prune"]:
                self.failed |= {(figure, other) for other in self.settings["lengths"] if other > length}
            self.emit("failed", figure=figure, length=length, status=status, reason=reason)

    def _warm(self, length: int, kind: str) -> None:
        call = self.arm.call(kind, length)
        times = time_calls(call, 1, warmup=1, device=self.arm.device)
        self.warm_s[kind, length] = times.median_s
        kernel: dict[str, str] = {}
        if kind == "step":
            kernel = self.arm.model.kernels() if hasattr(self.arm.model, "kernels") else {}  # type: ignore[operator]
            if attention := attention_kernel(call):
                kernel = kernel | {"sdpa": attention}
        self.emit("warm", kind=kind, length=length, cold_s=times.cold_s, warm_s=times.median_s, kernel=kernel)

    def _time(self, length: int, kind: str, calls: int) -> None:
        call = self.arm.call(kind, length)
        warmup = int(self.warm_s.get((kind, length), math.inf) < LONG_CALL_S)
        self.arm.marks_s.clear()
        times = time_calls(call, calls, warmup=warmup, device=self.arm.device)
        self.emit(
            "samples",
            kind=kind,
            length=length,
            samples_s=times.samples_s,
            phases_s=self.arm.phases_s(warmup) if kind == "train" else {},
            clocks_agree=times.clocks_agree,
            nfe=self.arm.nfe if kind == "sample" else [],
        )

    def _weigh(self, length: int, kind: str, baseline_bytes: float) -> None:
        """Peak of the second call at one length: the first has made the optimiser's state. And computed parts."""
        call = self.arm.call(kind, length)
        call()
        peak = peak_memory(call, device=self.arm.device, baseline_bytes=baseline_bytes)
        computed = {}
        if kind == "train":
            parts = computed_memory(self.arm.model, self.arm.loss(length, self.settings["training_batch"]))
            computed = asdict(parts)
        figures = {"peak_bytes": peak.peak_bytes, "reserved_bytes": peak.reserved_bytes, "reason": peak.reason}
        self.emit("memory", kind=kind, length=length, computed=computed, **figures)

    def _count(self, length: int, counter: str) -> None:
        model = self.arm.model.eval()
        tokens_BL = self.arm.tokens(length, 1)
        if counter == "formula":
            if not hasattr(model, "flops"):
                raise ValueError("the model has no flops(length) of its own")
            self.emit("flops", counter=counter, length=length, flops=model.flops(length).total)  # type: ignore[operator]
            return
        if counter == "traffic":
            with torch.no_grad():
                executed = count_by_dispatch(lambda: model(tokens_BL), formulas={SCAN_OPERATOR: executed_scan_flops})
            moved = traffic_bytes(lambda: model(self.arm.tokens(length, self.settings["batch"])))
            self.emit(
                "traffic", length=length, executed_flops=executed.total * self.settings["batch"], moved_bytes=moved
            )
            return
        if counter == "fvcore":
            counted = count_by_tracing(model, (tokens_BL,))
        else:
            with torch.no_grad():  # the counter's module tracker cannot work in inference mode
                counted = count_by_dispatch(lambda: model(tokens_BL))
        uncounted = sorted(counted.uncounted)
        self.emit("flops", counter=counter, length=length, flops=counted.products, uncounted=uncounted)

    def _power(self, length: int, kind: str) -> None:
        use = measure_energy(self.arm.call(kind, length), device=self.arm.device)
        self.emit("energy", kind=kind, length=length, joules=use.joules_per_call, calls=use.calls, reason=use.reason)


def status_of(problem: BaseException) -> tuple[str, str]:
    """(status, one-line reason) of an exception."""
    words = (str(problem).splitlines() or [type(problem).__name__])[0]
    if is_out_of_memory(problem):
        return "oom", f"oom: {words}"
    return "failed", f"error: {type(problem).__name__}: {words}"


def own_output() -> TextIO:
    """Standard output for messages only: from here on, prints of any library go to standard error."""
    sys.stdout.flush()
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return private


def serve(commands: TextIO, output: TextIO) -> None:
    """Answer commands until their end. An error that belongs to no length is the last message of the process."""

    def emit(event: str, **content: Any) -> None:
        output.write(json.dumps({"event": event, **content}) + "\n")
        output.flush()

    worker: EfficiencyWorker | None = None
    try:
        for line in commands:
            command = json.loads(line)
            name = command.pop("command")
            if name == "start":
                worker = EfficiencyWorker(command, emit)
            else:
                getattr(worker, name)(**command)
            emit("done")
    except BrokenPipeError:
        os._exit(1)
    except Exception as problem:
        traceback.print_exc()
        status, reason = status_of(problem)
        emit("error", status=status, reason=reason)


if __name__ == "__main__":
    serve(sys.stdin, own_output())
