"""Settings of one efficiency cell, read from the study's cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.errors import UserError, quoted


class EfficiencyError(UserError, ValueError):
    """A setting of a timing cell cannot be used; the message names it and what is allowed."""


@dataclass(frozen=True)
class EfficiencyCell:
    """One arm to be timed: everything its process needs, as JSON can hold it."""

    id: str
    arm: str
    config: dict[str, Any]
    """What `factory` builds the denoiser from; by default a configuration as a dict. It must have `vocab_size`."""
    lengths: tuple[int, ...]
    """Tokens per sequence, measured in the order given."""
    threads: int = 1
    device: str = "cpu"
    """A device as torch names it; `metrics.cost.device.resolve_device` turns "auto" into one."""
    batch: int = 1
    """Sequences per call in inference."""
    training_batch: int = 0
    """Sequences per training step; 0: as `batch`."""
    kernels: Mapping[str, str] = field(default_factory=dict)
    """Operator -> the kernel that is asked for, see `bench.study.settings.KernelSettings`."""
    sample_steps: int = 128
    sampler: str = "ancestral"
    sample_options: Mapping[str, Any] = field(default_factory=dict)
    """The sampler's own options."""
    objective: str = "absorbing"
    """What the arm is trained for, see `bench.diffusion.objectives`."""
    block: int | None = None
    """Tokens of a block, with objective block."""
    training: bool = True
    memory_limit_gib: float | None = None
    """Most memory the process may take beyond what it has before the model; CPU on Linux only."""
    memory_budget_gib: float | None = None
    """Where given, the largest batch and length that train within it are searched by real steps."""
    compile: bool = False
    """Also take the time of torch.compile."""
    precision: str = "float32"
    """Of matrix products, by autocast: float32 or bfloat16."""
    graphs: bool = False
    """Draw whole samples with each step replayed as a CUDA graph, and time such a step beside the plain one."""
    energy: bool = True
    """Also measure joules, where the device counts them: over a second for each kind of call and length."""
    prune: bool = True
    """When memory runs out at a length, mark longer ones `oom (inferred)` instead of trying them."""
    mask_id: int = 1
    pad_id: int = 0
    plugins: tuple[str, ...] = ()
    """Modules imported before the model is built, such as those that register mixers."""
    factory: str = "bench.measure.efficiency.arm:build_backbone"
    """"module:function" that turns `config` into a module tokens (B, L) -> logits (B, L, V)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", tuple(self.lengths))
        object.__setattr__(self, "training_batch", self.training_batch or self.batch)
        self._check(
            "lengths", self.lengths, len(self.lengths) > 0 and min(self.lengths) > 0, "one or more, all positive"
        )
        for name in ("threads", "batch", "training_batch", "sample_steps"):
            self._check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("memory_limit_gib", "memory_budget_gib"):
            limit = getattr(self, name)
            self._check(name, limit, limit is None or limit > 0, "a positive number, or none")
        self._check("block", self.block, (self.objective == "block") == bool(self.block), "with objective block alone")
        if self.objective == "block" and any(length % (self.block or 1) for length in self.lengths):
            self._check("lengths", self.lengths, False, f"multiples of the block, {self.block} tokens")
        self._check("precision", self.precision, self.precision in ("float32", "bfloat16"), "float32, bfloat16")
        self._check(
            "vocab_size", self.config.get("vocab_size"), self.config.get("vocab_size", 0) > 2, "over 2, in config"
        )

    def _check(self, name: str, value: Any, right: bool, allowed: str) -> None:
        if not right:
            raise EfficiencyError(f"efficiency cell {self.arm}: {name} = {quoted(value)}; allowed: {allowed}")

    def batch_of(self, kind: str) -> int:
        """Sequences in a call of this kind."""
        return self.training_batch if kind == "train" else self.batch

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of calls that this cell times: a step, the same as a CUDA graph, a training step, a whole sample."""
        wanted = {"step": True, "graph": self.graphs and self.device != "cpu", "train": self.training, "sample": True}
        return tuple(kind for kind, asked in wanted.items() if asked)
