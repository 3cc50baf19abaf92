"""The process that measures one arm at all its lengths, a turn at a time, and sleeps between its turns.

Commands come as JSON lines on standard input, answers go as JSON lines to standard output; whatever libraries print
goes to the log. Started by `bench.measure.efficiency.process`.
"""

from __future__ import annotations

import json
import math
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, TextIO

STARTED_S = time.perf_counter()

import torch  # noqa: E402

from architectures.kernel_choice import countable  # noqa: E402
from bench.child import Events, end_with_parent, own_output  # noqa: E402
from bench.diffusion.objectives import ABSORBING  # noqa: E402
from bench.diffusion.sampling_step import SamplingStep, weights_cast_once  # noqa: E402
from bench.errors import failure_of  # noqa: E402
from bench.measure.efficiency.arm import TimedArm, kernels_of_call  # noqa: E402
from bench.measure.efficiency.budget import MemoryBudget  # noqa: E402
from bench.measure.efficiency.counts import forward_counts, step_launches  # noqa: E402
from bench.measure.efficiency.piece import piece_counts, planned_calls  # noqa: E402
from bench.measure.efficiency.record import COUNTERS  # noqa: E402
from bench.plugins import load_plugins  # noqa: E402
from metrics.cost.computed_memory import computed_memory  # noqa: E402
from metrics.cost.energy import (  # noqa: E402
    UNAVAILABLE,
    EnergyUse,
    energy_counter,
    measure_energy,
    measure_idle_power,
)
from metrics.cost.latency import time_calls  # noqa: E402
from metrics.cost.memory import (  # noqa: E402
    held_bytes,
    limit_growth,
    limit_lifted,
    memory_baseline,
    peak_memory,
    requested_bytes,
)
from metrics.cost.nvml import GpuWatch  # noqa: E402
from metrics.cost.roofline import measure_ceilings, probe_product_s  # noqa: E402

LONG_CALL_S = 0.3
"""A call at least this long is not repeated untimed at the start of a turn: caches are cold for a small share of it."""
STEPS = ("step", "launches", "step memory", "step energy")
"""Figures of denoising steps: their weights are cast once in half precision, as they are in a sample."""
COMPILED_CALLS = 5
PUBLISHED_TRAINING_BYTES = 21e9
"""Memory at 2048 tokens in the SMDIM paper (arXiv 2603.00576); the batch behind it is not published."""


class EfficiencyWorker:
    """Measures one arm for its parent. Every public method is a command."""

    def __init__(self, settings: dict[str, Any], emit: Callable[..., None]) -> None:
        self.settings, self.emit = settings, emit
        torch.set_num_threads(settings["threads"])
        load_plugins(settings["plugins"])
        self.kinds = ("step", "train") if settings["training"] else ("step",)
        self.failed: set[tuple[str, int]] = set()
        self.sampled: set[int] = set()
        self.warm_s: dict[tuple[str, int], float] = {}
        self.start_bytes = held_bytes(settings["device"])
        self.limit_gib = settings["memory_limit_gib"] if torch.device(settings["device"]).type == "cpu" else None
        if self.limit_gib is not None:
            limit_growth(self.limit_gib * 2**30)
        imported_s = time.perf_counter() - STARTED_S
        self.arm = TimedArm(settings)
        self.gpu = GpuWatch(self.arm.device, lambda words: emit("warning", words=words))
        parameters = sum(weight.numel() for weight in self.arm.model.parameters() if weight.requires_grad)
        built_s = time.perf_counter() - STARTED_S - imported_s
        emit("ready", parameters=parameters, import_s=imported_s, build_s=built_s)

    def warm(self, work: list[tuple[str, int, float | None]]) -> None:
        """Run all that will be timed before any of it is: (kind, length, seconds of a warm call, None where unknown);
        where unknown, cold and warm seconds and the kernels that ran are emitted."""
        for kind, length, known_s in work:
            self._attempt(kind, length, self._warm, kind, known_s)

    def round(self, work: list[dict[str, Any]]) -> None:
        """This arm's turn: timed calls of each kind at each length; raw samples go out at once."""
        for block in work:
            self._attempt(block["kind"], block["length"], self._time, block["kind"], block["calls"])

    def ceilings(self) -> None:
        """What the device can do, measured once a session by the first arm that lives."""
        with limit_lifted():
            found = measure_ceilings(self.arm.device, self.arm.precision)
        self.emit("ceilings", **asdict(found))

    def memory(self, work: dict[str, list[int]], peaks: int, computed: bool) -> None:
        """`peaks` peaks of each kind at its lengths, over a process that holds no model but whose libraries are warm;
        with `computed` what can be computed beside them."""
        for kind, lengths in work.items():
            self.arm.drop()
            baseline_bytes = memory_baseline(self.arm.device)
            self.arm.build()
            for length in lengths:
                if (kind, length) not in self.failed:
                    self._attempt(f"{kind} memory", length, self._peak, kind, baseline_bytes, peaks, computed)

    def audit(self) -> None:
        """FLOPs of one sequence, forward, by formula and by two counters; bytes; energy where the device counts it."""
        with limit_lifted(), countable():  # counters hold more than the model does, and see torch's operators only
            for length in self.settings["lengths"]:
                for counter in COUNTERS:
                    self._attempt(counter, length, self._count, counter)
                self._attempt("piece", length, self._count_piece)
        for length in self.settings["lengths"]:
            if ("step", length) not in self.failed:
                self._attempt("launches", length, self._launches)
        kinds = [*self.kinds, "sample"]
        reason = "" if self.settings["energy"] else "not asked for (measure.efficiency.energy)"
        if not reason:
            try:
                self.counter = energy_counter(self.arm.device)
                self.idle_w = measure_idle_power(self.counter)
            except OSError as problem:
                reason = f"{UNAVAILABLE}: {problem}"
        for kind in kinds:
            if reason:
                self._emit_energy(kind, None, EnergyUse(math.nan, reason=reason))
                continue
            for length in self.settings["lengths"]:
                if (kind, length) not in self.failed and (kind != "sample" or length in self.sampled):
                    self._attempt(f"{kind} energy", length, self._power, kind)

    def compile(self) -> None:
        """Seconds that torch.compile takes for one step at the longest length that runs, and what a step takes then."""
        for length in sorted(self.settings["lengths"], reverse=True):
            if ("step", length) not in self.failed:
                with limit_lifted():
                    self._attempt("compile", length, self._compile)
                return

    def fit(self, budget_bytes: float) -> None:
        """The largest training batch at the longest length, and the longest sequence at the training batch, that stay
        within a budget beyond the process without a model: by real steps, halving the gap. With them the largest batch
        of pieces that is drawn within it, by its largest call, and the seconds of a piece where one such batch is
        drawn."""
        budget, longest = MemoryBudget(self.arm, self.settings, self.emit, budget_bytes), max(self.settings["lengths"])
        self._attempt("fit batch", longest, budget.fit_batch)
        self._attempt("fit length", longest, budget.fit_length)
        self._attempt("fit pieces", longest, budget.fit_pieces)
        self.arm.build()

    def _attempt(self, figure: str, length: int, action: Callable[..., None], *more: Any) -> None:
        """`action(length, *more)`, unless `figure` has failed before; an error becomes a message and the rest goes on.

        When memory ran out, longer lengths are not tried (`prune`): they would need more.
        """
        if (figure, length) in self.failed:
            return
        try:
            with weights_cast_once() if figure in STEPS else nullcontext():
                action(length, *more)
        except Exception as problem:
            traceback.print_exc()
            failure = failure_of(problem)
            reason, asked_bytes = failure.reason, math.nan
            self.failed.add((figure, length))
            if failure.state == "oom":
                reason, asked_bytes = self._asked(problem, reason)
                if self.settings["prune"]:
                    self.failed |= {(figure, other) for other in self.settings["lengths"] if other > length}
            reported = {"status": failure.state, "reason": reason, "asked_bytes": asked_bytes}
            self.emit("failed", kind=figure, length=length, **reported)

    def _asked(self, problem: BaseException, reason: str) -> tuple[str, float]:
        """Reason of a failure for lack of memory, and bytes beyond the process without a model: those held when the
        request failed (where the system has the figure) and the request (where the message has it)."""
        held, request = held_bytes(self.arm.device) - self.start_bytes, requested_bytes(problem)
        around = [] if math.isnan(held) else [f"{held / 2**30:.3g} GiB held"]
        around += [] if self.limit_gib is None else [f"the limit is {self.limit_gib:g} GiB"]
        if not math.isnan(request):
            reason = f"oom: {request:.0f} bytes ({request / 2**30:.3g} GiB) asked for"
        known = [size for size in (held, request) if not math.isnan(size)]
        return reason + (f"; {', '.join(around)}" if around else ""), sum(known) if known else math.nan

    def _warm(self, length: int, kind: str, known_s: float | None) -> None:
        call = self.arm.call(kind, length)
        if known_s is not None:
            self.warm_s[kind, length] = known_s
            time_calls(call, 1, warmup=0, device=self.arm.device)
            return
        times = time_calls(call, 1, warmup=1, device=self.arm.device)
        self.warm_s[kind, length] = times.median_s
        ran: dict[str, str] = {}
        if kind == "step":
            step = SamplingStep(self.arm.model, precision=self.settings["precision"])
            ran = step.kernels() | kernels_of_call(call)
            if self.settings["precision"] != "float32":
                ran = ran | {"precision": self.settings["precision"]}
        kernel = " ".join(f"{name}={one}" for name, one in ran.items())
        plan = planned_calls(self.settings, length) if self.settings["objective"] != ABSORBING else None
        calls = plan.calls if plan else self.settings["sample_steps"]
        seconds = {"cold_s": times.cold_s, "warm_s": times.median_s}
        self.emit("warm", kind=kind, length=length, kernel=kernel, calls=calls, **seconds)

    def _time(self, length: int, kind: str, calls: int) -> None:
        call = self.arm.call(kind, length)
        warmup = int(self.warm_s.get((kind, length), math.inf) < LONG_CALL_S)
        if kind != "sample" and self.arm.device.type == "cuda":
            warmup = 1  # the memory of the turn before was given back: taking it again is no part of a call
        if kind == "sample":
            self.sampled.add(length)
        self.arm.marks.clear()
        probes_s = self._probe_s()
        times = time_calls(call, calls, warmup=warmup, device=self.arm.device)
        probes_s += self._probe_s()
        state = self.gpu.read()  # at once, while the device still has the clocks of the calls
        self.emit(
            "samples",
            kind=kind,
            length=length,
            samples_s=times.samples_s,
            phases_s=self.arm.phases_s(warmup) if kind == "train" else {},
            clocks_agree=times.clocks_agree,
            nfe=self.arm.nfe if kind == "sample" else [],
            note=self.arm.graph_words if kind == "sample" else "",
            gpu=state,
            probes_s=probes_s,
        )

    def _probe_s(self) -> list[float]:
        """How fast the CPU is now, whatever the precision of the arm; [] on a GPU, whose state says more."""
        return [round(probe_product_s(), 8)] if self.arm.device.type == "cpu" else []

    def _compile(self, length: int) -> None:
        for kind in self.kinds:
            if (kind, length) not in self.failed:
                call = self.arm.call(kind, length, torch.compile(self.arm.model))
                times = time_calls(call, COMPILED_CALLS, warmup=1, device=self.arm.device)
                seconds = {"compile_s": times.cold_s - times.median_s, "samples_s": times.samples_s}
                self.emit("compiled", kind=kind, length=length, **seconds)

    def _peak(self, length: int, kind: str, baseline_bytes: float, count: int, computed_too: bool) -> None:
        """Peaks of `count` calls after the first, which makes the optimiser's state; and what can be computed."""
        call = self.arm.call(kind, length)
        call()
        peaks = [peak_memory(call, device=self.arm.device, baseline_bytes=baseline_bytes) for _ in range(count)]
        computed: dict[str, Any] = {}
        published_batch = math.nan
        if kind == "train" and computed_too:
            parts = computed_memory(self.arm.model, self.arm.loss(length, self.settings["training_batch"]))
            computed = asdict(parts)
            published_batch = self._published_batch(length)
        self.emit(
            "memory",
            kind=kind,
            length=length,
            computed=computed,
            published_batch=published_batch,
            peaks_bytes=[peak.peak_bytes for peak in peaks],
            reserved_bytes=peaks[-1].reserved_bytes,
            device_bytes=peaks[-1].device_bytes,
            reason=peaks[-1].reason,
        )

    def _published_batch(self, length: int) -> float:
        """The batch whose computed training memory is the published figure; NaN for a model that is no backbone."""
        from bench.measure.efficiency.memory import batch_at

        config = getattr(self.arm.model, "config", None)
        return batch_at(config, length, PUBLISHED_TRAINING_BYTES) if hasattr(config, "blocks") else math.nan  # type: ignore[arg-type]

    def _count(self, length: int, counter: str) -> None:
        event, found = forward_counts(self.arm, length, counter)
        self.emit(event, length=length, **found)

    def _count_piece(self, length: int) -> None:
        self.emit("piece", kind="piece", length=length, **piece_counts(self.arm.model, self.settings, length))

    def _launches(self, length: int) -> None:
        self.emit("launches", kind="launches", length=length, **step_launches(self.arm, length))

    def _power(self, length: int, kind: str) -> None:
        device = self.arm.device
        use = measure_energy(self.arm.call(kind, length), device=device, counter=self.counter, idle_w=self.idle_w)
        self._emit_energy(kind, length, use)

    def _emit_energy(self, kind: str, length: int | None, use: EnergyUse) -> None:
        bounds = {"value": use.joules_per_call, "low": use.low, "high": use.high, "n": use.calls, "raw": use.repeats}
        note = "" if math.isnan(use.idle_w) else f"idle power {use.idle_w:.3g} W"
        self.emit("energy", kind=kind, length=length, reason=use.reason, note=note, **bounds)


def serve(commands: TextIO, emit: Callable[..., None]) -> None:
    """Answer commands until their end. An error that belongs to no length is the last message of the process."""
    worker: EfficiencyWorker | None = None
    try:
        for line in commands:
            command = json.loads(line)
            name = command.pop("command")
            if name == "start":
                worker = EfficiencyWorker(command, emit)
            else:
                getattr(worker, name)(**command)
            if worker is not None and worker.arm.device.type == "cuda":
                torch.cuda.empty_cache()  # what this process keeps for its next turn the others cannot have
            emit("done")
    except Exception as problem:
        traceback.print_exc()
        failure = failure_of(problem)
        emit("error", state=failure.state, reason=failure.reason)


if __name__ == "__main__":
    end_with_parent()
    serve(sys.stdin, Events(own_output(), json.dumps))  # NaN stays NaN
