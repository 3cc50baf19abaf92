"""Profile of a denoising or training step: time by part of the backbone and kind of operator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

MARK = "part: "
KINDS = {
    "scan": ("selective_scan",),
    "attention": ("scaled_dot_product", "_flash_att", "_efficient_attention", "softmax"),
    "convolution": ("conv", "fft"),
    "matmul": ("mm", "matmul", "linear", "einsum", "bmm"),
    "movement": (
        "copy",
        "cat",
        "clone",
        "contiguous",
        "_to",
        "fill",
        "zero",
        "empty",
        "index",
        "embedding",
        "pad",
        "view",
    ),
}
"""Kind of operator -> what its name contains; looked through in this order. Anything else is element-wise."""
OWN_FUNCTIONS = {
    "SelectiveScan": "scan",
    "MambaChunkScanCombinedFn": "scan",
    "CausalConv": "convolution",
    "FlashAttnFunc": "attention",
}
"""How names begin of what is run outside torch's operators, by packages and by kernels for CPUs (backward:
"...Backward") -> its kind."""
OWN = tuple(OWN_FUNCTIONS)
OTHER_PARTS = {"autograd::engine": "backward", "Optimizer.": "optimiser"}
"""How the profiler names what encloses the operators of a training step -> a part of it."""


@dataclass(frozen=True)
class Spent:
    """Time of one part of the model in one kind of operator: milliseconds of a step, share of the whole step 0..1."""

    part: str
    kind: str
    elapsed_ms: float
    share: float
    calls: int

    @property
    def mixer(self) -> str:
        """The part without the number of its layer, or the end of the stem."""
        number, _, name = self.part.partition(" ")
        return name if number.isdecimal() else self.part


@dataclass(frozen=True)
class StepProfile:
    """Where a step's time went, largest first. The profiler slows a step down: read shares, not milliseconds."""

    spent: list[Spent]
    step_ms: float
    steps: int

    def shares(self) -> tuple[list[str], list[str], dict[tuple[str, str], float]]:
        """Parts and kinds, largest first, and the share of each pair; layers of one mixer are taken together."""
        table: dict[tuple[str, str], float] = defaultdict(float)
        for one in self.spent:
            table[one.mixer, one.kind] += one.share
        return list(self.by_mixer()), list(self.by_kind()), dict(table)

    def by_mixer(self) -> dict[str, float]:
        """Mixer, or end of the stem, -> share of the step, all its layers together."""
        return self._sum("mixer")

    def by_kind(self) -> dict[str, float]:
        """Kind of operator -> share of the step."""
        return self._sum("kind")

    def _sum(self, name: str) -> dict[str, float]:
        sums: dict[str, float] = defaultdict(float)
        for one in self.spent:
            sums[getattr(one, name)] += one.share
        return dict(sorted(sums.items(), key=lambda item: -item[1]))


def parts_of(backbone: nn.Module) -> dict[str, nn.Module]:
    """Words for a part of the model -> the module: stem, head, and each residual layer by its mixer's name."""
    parts = {name: module for name, module in backbone.named_children() if not isinstance(module, nn.ModuleList)}
    for index, layer in enumerate(getattr(backbone, "layers", [])):
        mixer = getattr(layer, "mixer", layer)
        parts[f"{index:02d} {getattr(mixer, 'name', type(mixer).__name__)}"] = layer
    return parts


def profile_step(
    model: nn.Module,
    call: Callable[[], Any],
    *,
    steps: int = 5,
    trace: Path | None = None,
    parts: dict[str, nn.Module] | None = None,
) -> StepProfile:
    """Profile `steps` warm runs of `call`, a forward pass or a training step of `model`; write a Chrome trace to
    `trace` if given.

    Time is the operators' own time on the device that runs them (CUDA kernels where there are any).
    """
    call()
    on_gpu = any(weight.is_cuda for weight in model.parameters())
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]
    with _marked(parts or parts_of(model)), profile(activities=activities, acc_events=True) as profiler:
        for _ in range(steps):
            call()
    if trace is not None:
        trace.parent.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(trace))
    return _summary(profiler, steps, on_gpu)


@contextmanager
def _marked(parts: dict[str, nn.Module]) -> Iterator[None]:
    """Every run of a part is a named range in the profile, until the block ends."""
    ranges: dict[str, Any] = {}
    handles = []

    def begin(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            ranges[name] = record_function(MARK + name)
            ranges[name].__enter__()

        return hook

    def end(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            ranges.pop(name).__exit__(None, None, None)

        return hook

    for name, module in parts.items():
        handles += [module.register_forward_pre_hook(begin(name)), module.register_forward_hook(end(name))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _summary(profiler: Any, steps: int, on_gpu: bool) -> StepProfile:
    """Operators' own times summed by the named range around them and by kind."""
    times_us: dict[tuple[str, str], float] = defaultdict(float)
    calls: dict[tuple[str, str], int] = defaultdict(int)
    for event in profiler.events():
        if event.name.startswith(MARK) or not ("::" in event.name or event.name.startswith(OWN)):
            continue
        key = (_part_of(event), _kind_around(event))
        times_us[key] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
        calls[key] += 1
    total_us = sum(times_us.values())
    spent = [
        Spent(part, kind, time_us / steps / 1e3, time_us / total_us if total_us else 0.0, calls[part, kind] // steps)
        for (part, kind), time_us in sorted(times_us.items(), key=lambda item: -item[1])
    ]
    return StepProfile(spent, total_us / steps / 1e3, steps)


def _part_of(event: Any) -> str:
    """The part whose range encloses an operator; in training also "backward" and "optimiser"; "between parts" for the
    backbone's own operations."""
    while event is not None:
        if event.name.startswith(MARK):
            return event.name.removeprefix(MARK)
        for begins, part in OTHER_PARTS.items():
            if event.name.startswith(begins):
                return part
        event = event.cpu_parent
    return "between parts"


def _kind_around(event: Any) -> str:
    """The kind of an operator, or of the kernel that it is a step of: a scan in plain torch is many small operators."""
    around = event
    while around is not None and not around.name.startswith(MARK):
        if (kind := kind_of(around.name)) in ("scan", "attention"):
            return kind
        around = around.cpu_parent
    return kind_of(event.name)


def kind_of(operator: str) -> str:
    """The kind of an operator by its name: scan, attention, convolution, matmul, movement or element-wise."""
    for begins, kind in OWN_FUNCTIONS.items():
        if operator.startswith(begins):
            return kind
    name = operator.partition("::")[2].replace("log_softmax", "")  # of a loss, not of attention
    for kind, words in KINDS.items():
        if any(word in name for word in words):
            return kind
    return "element-wise"
