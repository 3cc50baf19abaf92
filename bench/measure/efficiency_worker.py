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
from typing import Any, TextIO

STARTED_S = time.perf_counter()

import torch  # noqa: E402

from bench.diffusion import AbsorbingDiffusion  # noqa: E402
from metrics.flops import count_by_dispatch, count_by_tracing  # noqa: E402
from metrics.kernels import attention_kernel  # noqa: E402
from metrics.latency import synchronise, time_calls  # noqa: E402
from metrics.memory import is_out_of_memory, limit_growth, memory_baseline, peak_memory  # noqa: E402

LEARNING_RATE = 1e-6
"""Small, so that thousands of timed updates on random tokens leave the weights finite; its size costs no time."""
LONG_CALL_S = 0.3
"""A call at least this long is not repeated untimed at the start of a turn: caches are cold for a small share of it."""
PHASES = ("forward", "backward", "optimiser")


def build_backbone(config: dict[str, Any]) -> torch.nn.Module:
    """The backbone that `BackboneConfig.to_dict` describes: the default factory of a cell."""
    from architectures.backbone import Backbone, BackboneConfig

    return Backbone(BackboneConfig.from_dict(config))


def load_factory(name: str) -> Callable[[dict[str, Any]], torch.nn.Module]:
    """The function that "module:function" names."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


class EfficiencyWorker:
    """One arm: its model, optimiser and random tokens. Every public method answers one command of the parent."""

    def __init__(self, settings: dict[str, Any], emit: Callable[..., None]) -> None:
        self.settings, self.emit = settings, emit
        self.device = torch.device(settings["device"])
        torch.set_num_threads(settings["threads"])
        for plugin in settings["plugins"]:
            importlib.import_module(plugin)
        self.factory = load_factory(settings["factory"])
        self.diffusion = AbsorbingDiffusion(settings["mask_id"], settings["pad_id"], steps=settings["sample_steps"])
        self.kinds = ("step", "train") if settings["measure_training"] else ("step",)
        self.failed: set[tuple[str, int]] = set()
        self.warm_s: dict[tuple[str, int], float] = {}
        self.marks_s: list[float] = []
        if settings["memory_limit_gib"] is not None:
            limit_growth(settings["memory_limit_gib"] * 2**30)
        imported_s = time.perf_counter() - STARTED_S
        self.build()
        parameters = sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)
        built_s = time.perf_counter() - STARTED_S - imported_s
        emit("ready", parameters=parameters, import_s=imported_s, build_s=built_s)

    def build(self) -> None:
        """A new model, optimiser and generator."""
        torch.manual_seed(0)
        self.model = self.factory(self.settings["config"]).to(self.device)
        fused = self.device.type in {"cpu", "cuda"}
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, fused=fused)
        self.generator = torch.Generator().manual_seed(0)

    def attempt(self, kind: str, length: int, action: Callable[[], None]) -> None:
        """Run `action`, unless this has failed before; an error becomes a message and the other lengths go on.

        When memory ran out, longer lengths are not tried (`prune`): they would need more.
        """
        if (kind, length) in self.failed:
            return
        try:
            action()
        except Exception as problem:
            traceback.print_exc()
            oom = is_out_of_memory(problem)
            self.failed.add((kind, length))
            if oom and self.settings["prune"]:
                self.failed |= {(kind, other) for other in self.settings["lengths"] if other > length}
            reason = f"oom: {first_line(problem)}" if oom else f"error: {type(problem).__name__}: {first_line(problem)}"
            self.emit("failed", kind=kind, length=length, status="oom" if oom else "failed", reason=reason)

    def tokens(self, length: int, batch: int) -> torch.Tensor:
        """Random tokens (B, L) that are neither MASK nor PAD."""
        special = {self.settings["mask_id"], self.settings["pad_id"]}
        allowed = torch.tensor([id_ for id_ in range(self.settings["config"]["vocab_size"]) if id_ not in special])
        generator = torch.Generator().manual_seed(length)
        return allowed[torch.randint(len(allowed), (batch, length), generator=generator)].to(self.device)

    def step(self, length: int, batch: int) -> Callable[[], Any]:
        """One denoising step: the network's forward pass as a sampler calls it."""
        tokens_BL = self.tokens(length, batch)
        self.model.eval()

        def call() -> Any:
            with torch.inference_mode():
                return self.model(tokens_BL)

        return call

    def train(self, length: int, batch: int) -> Callable[[], Any]:
        """One training step; `marks_s` gets the time before and after each of its phases."""
        tokens_BL = self.tokens(length, batch)
        self.model.train()

        def call() -> None:
            self.mark()
            loss = self.diffusion.loss(self.model, tokens_BL, self.generator).loss
            self.mark()
            loss.backward()
            self.mark()
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            self.mark()

        return call

    def sample(self, length: int, batch: int) -> Callable[[], Any]:
        """A whole sample of `batch` pieces, every step run; `nfe` keeps the number of network calls a piece."""

        def call() -> None:
            drawn = self.diffusion.sample(
                self.model,
                length=length,
                count=batch,
                steps=self.settings["sample_steps"],
                sampler=self.settings["sampler"],
                generator=self.generator,
                device=self.device,
            )
            self.nfe.append(drawn.nfe_mean)

        self.model.eval()
        self.nfe: list[float] = []
        return call

    def call_of(self, kind: str, length: int) -> Callable[[], Any]:
        """The call that `kind` names, with the batch of the cell."""
        batch = self.settings["training_batch" if kind == "train" else "batch"]
        return {"step": self.step, "train": self.train, "sample": self.sample}[kind](length, batch)

    def mark(self) -> None:
        """Note the time at which the device is done with what came before."""
        synchronise(self.device)
        self.marks_s.append(time.perf_counter())

    def warm(self) -> None:
        """Run every shape before any is timed; tells cold and warm seconds and the kernels that ran."""
        for kind in self.kinds:
            for length in self.settings["lengths"]:
                self.attempt(kind, length, lambda kind=kind, length=length: self.warm_one(kind, length))  # type: ignore[misc]

    def warm_one(self, kind: str, length: int) -> None:
        call = self.call_of(kind, length)
        times = time_calls(call, 1, warmup=1, device=self.device)
        self.warm_s[kind, length] = times.median_s
        kernel: dict[str, str] = {}
        if kind == "step":
            kernel = self.model.kernels() if hasattr(self.model, "kernels") else {}  # type: ignore[operator]
            if attention := attention_kernel(call):
                kernel = kernel | {"sdpa": attention}
        self.emit("warm", kind=kind, length=length, cold_s=times.cold_s, warm_s=times.median_s, kernel=kernel)

    def round(self, work: list[dict[str, Any]]) -> None:
        """This arm's turn: timed calls of each kind at each length; raw samples go out at once."""
        for item in work:
            self.attempt(item["kind"], item["length"], lambda item=item: self.time_block(**item))  # type: ignore[misc]

    def time_block(self, kind: str, length: int, calls: int) -> None:
        call = self.call_of(kind, length)
        warmup = int(self.warm_s.get((kind, length), math.inf) < LONG_CALL_S)
        self.marks_s.clear()
        times = time_calls(call, calls, warmup=warmup, device=self.device)
        phases_s = {}
        if kind == "train":
            marks = [self.marks_s[i : i + 4] for i in range(4 * warmup, len(self.marks_s), 4)]
            phases_s = {name: [m[i + 1] - m[i] for m in marks] for i, name in enumerate(PHASES)}
        self.emit(
            "samples",
            kind=kind,
            length=length,
            samples_s=times.samples_s,
            phases_s=phases_s,
            clocks_agree=times.clocks_agree,
            nfe=self.nfe if kind == "sample" else [],
        )

    def memory(self) -> None:
        """Peaks over a process that holds no model but whose libraries are warm: inference first, then training."""
        for kind in self.kinds:
            del self.model, self.optimiser
            baseline_bytes = memory_baseline(self.device)
            self.build()
            for length in self.settings["lengths"]:
                self.attempt(kind, length, lambda k=kind, n=length, b=baseline_bytes: self.weigh(k, n, b))  # type: ignore[misc]

    def weigh(self, kind: str, length: int, baseline_bytes: float) -> None:
        """Peak of the second call at one length: the first has made the optimiser's state."""
        call = self.call_of(kind, length)
        call()
        peak = peak_memory(call, device=self.device, baseline_bytes=baseline_bytes)
        self.emit("memory", kind=kind, length=length, peak_bytes=peak.peak_bytes, reason=peak.reason)

    def audit(self) -> None:
        """FLOPs of one sequence, forward: the model's own formula, then the two counters."""
        for length in self.settings["lengths"]:
            for counter in ("formula", "fvcore", "dispatch"):
                self.attempt(counter, length, lambda c=counter, n=length: self.count(c, n))  # type: ignore[misc]

    def count(self, counter: str, length: int) -> None:
        if counter == "formula":
            if not hasattr(self.model, "flops"):
                raise ValueError("the model has no flops(length) of its own")
            self.emit("flops", counter=counter, length=length, flops=self.model.flops(length).total)  # type: ignore[operator]
            return
        self.model.eval()
        tokens_BL = self.tokens(length, 1)
        if counter == "fvcore":
            counted = count_by_tracing(self.model, (tokens_BL,))
        else:
            with torch.no_grad():  # the counter's module tracker cannot work in inference mode
                counted = count_by_dispatch(lambda: self.model(tokens_BL))
        detail = {"uncounted": sorted(counted.uncounted), "circular": list(counted.circular)}
        self.emit("flops", counter=counter, length=length, flops=counted.products, **detail)


def first_line(problem: BaseException) -> str:
    """The first line of an exception's message."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]


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
        oom = is_out_of_memory(problem)
        reason = f"oom: {first_line(problem)}" if oom else f"error: {type(problem).__name__}: {first_line(problem)}"
        emit("error", status="oom" if oom else "failed", reason=reason)


if __name__ == "__main__":
    serve(sys.stdin, own_output())
