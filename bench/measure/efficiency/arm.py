"""One arm ready to be measured: model, optimiser, random tokens, the three timed calls, and the kernels that ran."""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from architectures.kernel_choice import recorded_kernels
from architectures.padding import padded_rows
from bench.diffusion.objectives import AUTOREGRESSIVE
from bench.diffusion.sampling_step import PRECISIONS, CudaGraphs, SamplingStep, autocast
from bench.measure.efficiency.piece import GROWING, cached_call, process_of
from metrics.cost.device import work_on
from metrics.cost.kernels import attention_kernel

LEARNING_RATE = 1e-6
"""Small, so that thousands of timed updates on random tokens leave the weights finite; its size costs no time."""
Network = Callable[..., torch.Tensor]
PHASES = ("forward", "backward", "optimiser")
DRAWS = 4
"""Draws of noise that a timed training step takes in turn, made before the clock runs."""


def build_backbone(config: dict[str, Any]) -> torch.nn.Module:
    """The network that a configuration's `to_dict` describes: the default factory of a cell."""
    from architectures import build_config, config_of

    return build_config(config_of(config))


class TimedArm:
    """Builds what `settings` (an EfficiencyCell as a dict) describes, and makes the calls to be measured."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.device = torch.device(settings["device"])
        work_on(self.device)
        self.precision = PRECISIONS[settings["precision"]]
        self.graph_words = ""
        module, _, function = settings["factory"].partition(":")
        self.factory: Callable[[dict[str, Any]], torch.nn.Module] = getattr(importlib.import_module(module), function)
        self.diffusion = process_of(settings)
        self.marks: list[Any] = []
        self.nfe: list[float] = []
        self.build()

    def build(self) -> None:
        """A new model and generator, and an optimiser where the cell has training steps: torch imports its compiler for
        one, which takes longer than all other imports."""
        torch.manual_seed(0)
        self.model = self.factory(self.settings["config"]).to(self.device)
        if self.settings["training"] or self.settings["memory_budget_gib"]:
            fused = self.device.type in {"cpu", "cuda"}
            self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, fused=fused)
        self.generator = torch.Generator().manual_seed(0)

    def drop(self) -> None:
        """Drop the model and its optimiser, to measure the memory of a process without them; `build` makes new ones."""
        for name in ("model", "optimiser"):
            self.__dict__.pop(name, None)

    def tokens(self, length: int, batch: int) -> torch.Tensor:
        """Random tokens (B, L) that are neither MASK nor PAD."""
        special = {self.settings["mask_id"], self.settings["pad_id"]}
        allowed = torch.tensor([id_ for id_ in range(self.settings["config"]["vocab_size"]) if id_ not in special])
        generator = torch.Generator().manual_seed(length)
        return allowed[torch.randint(len(allowed), (batch, length), generator=generator)].to(self.device)

    def call(self, kind: str, length: int, *network: Network) -> Callable[[], Any]:
        """The call that `kind` names (see `EfficiencyCell.kinds`), with the batch of the cell; `network`: in place of
        the model in a step or a training step."""
        batch = self.settings["training_batch" if kind == "train" else "batch"]
        calls = {"step": self.step, "graph": self.graph, "train": self.train, "sample": self.sample}
        return calls[kind](length, batch, *network)

    def step(self, length: int, batch: int, network: Network | None = None) -> Callable[[], Any]:
        """One denoising step: the forward pass of the network (default: the model) as a sampler calls it, on whole rows
        or on their last block behind the cached rest."""
        tokens_BL = self.tokens(length, batch)
        self.model.eval()
        if self.caches(length):
            if network is not None:
                raise ValueError("not compiled: what a call is given grows from call to call")
            return cached_call(self.model, tokens_BL, self.called_block(length), self._calling)
        denoise = self.model if network is None else network

        def call() -> Any:
            with torch.inference_mode(), self.autocast(), padded_rows(False):
                return denoise(tokens_BL)

        return call

    def graph(self, length: int, batch: int) -> Callable[[], Any]:
        """The same step replayed as a CUDA graph, recorded and compared with the plain call here.

        Raises ValueError where it cannot be recorded, with the reason.
        """
        if self.caches(length):
            raise ValueError(GROWING)
        tokens_BL = self.tokens(length, batch)
        self.model.eval()
        denoise = SamplingStep(self.model, precision=self.settings["precision"], recorder=CudaGraphs(), most=batch)

        def call() -> Any:
            with torch.inference_mode(), padded_rows(False):
                return denoise(tokens_BL)

        call()
        if denoise.plain_reason:
            raise ValueError(f"no CUDA graph: {denoise.plain_reason}")
        return call

    def called_block(self, length: int) -> int:
        """Tokens that a denoising call of a sampler is given of rows of `length`."""
        return 1 if self.diffusion.objective == AUTOREGRESSIVE else self.diffusion.block or length

    def caches(self, length: int) -> bool:
        """Whether a piece is drawn block by block, or token by token."""
        return self.called_block(length) < length

    @contextmanager
    def _calling(self) -> Iterator[None]:
        with self.autocast(), padded_rows(False):
            yield

    def autocast(self) -> AbstractContextManager[Any]:
        """A block in which matrix products have the precision of the cell."""
        return autocast(self.device, self.precision)

    def loss(self, length: int, batch: int, network: Network | None = None) -> Callable[[], torch.Tensor]:
        """The training loss of one batch, with its graph; its noise is drawn here, as training draws it a step ahead
        while a GPU computes."""
        clean_BL = self.tokens(length, batch).to(self.generator.device)
        draws = [self.diffusion.noise(clean_BL, self.generator) for _ in range(DRAWS)]
        if self.device.type == "cuda":
            draws = [one.pinned() for one in draws]
        turns = itertools.cycle(draws)
        self.model.train()
        denoise = self.diffusion.as_called(self.model if network is None else network)  # type: ignore[arg-type]

        def call() -> torch.Tensor:
            with self.autocast():
                return self.diffusion.loss_of(denoise, next(turns), self.device).loss

        return call

    def train(self, length: int, batch: int, network: Network | None = None) -> Callable[[], Any]:
        """One training step; `marks` gets the time before and after each of its phases."""
        loss = self.loss(length, batch, network)

        def call() -> None:
            self._mark()
            value = loss()
            self._mark()
            value.backward()
            self._mark()
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            self._mark()

        return call

    def sample(self, length: int, batch: int) -> Callable[[], Any]:
        """A whole sample of `batch` pieces, every step run; `nfe` gets the network calls per piece of each sample.

        Its first step is run here, untimed: where steps are replayed as CUDA graphs they are recorded before the clock
        runs, and `graph_words` is the note on whether they could be.
        """
        self.model.eval()
        self.nfe = []
        recorder = CudaGraphs() if self.settings["graphs"] else None
        denoise = SamplingStep(self.model, precision=self.settings["precision"], recorder=recorder, most=batch)
        if self.device.type == "cuda":
            if self.caches(length):
                self.step(length, batch)()
            else:
                with torch.inference_mode():
                    denoise(self.tokens(length, batch))
        self.graph_words = GROWING if recorder and self.caches(length) else denoise.words

        def call() -> None:
            drawn = self.diffusion.sample(
                denoise,
                length=length,
                count=batch,
                steps=self.settings["sample_steps"],
                sampler=self.settings["sampler"],
                **self.settings["sample_options"],
                generator=self.generator,
                device=self.device,
            )
            self.nfe.append(drawn.nfe_mean)

        return call

    def _mark(self) -> None:
        """Note the time: on a GPU an event in its queue, for which nothing waits."""
        if self.device.type == "cuda":
            self.marks.append(torch.cuda.Event(enable_timing=True))
            self.marks[-1].record()
        else:
            self.marks.append(time.perf_counter())

    def phases_s(self, skipped_calls: int) -> dict[str, list[float]]:
        """Seconds of each phase of the training steps since `marks` was cleared, without the first ones; a GPU must
        have reached their end."""
        edges = len(PHASES) + 1
        marks = [self.marks[i : i + edges] for i in range(edges * skipped_calls, len(self.marks), edges)]
        return {name: [_seconds(one[i], one[i + 1]) for one in marks] for i, name in enumerate(PHASES)}


def _seconds(start: Any, end: Any) -> float:
    """Seconds between two marks: events of a GPU, or readings of the host's clock."""
    return end - start if isinstance(start, float) else start.elapsed_time(end) / 1e3


def kernels_of_call(call: Callable[[], Any]) -> dict[str, str]:
    """The kernels that ran in one call, by operator; attention by the name that its rows have, `sdpa`."""
    with recorded_kernels() as ran:
        attention = attention_kernel(call)
    found = {operator: "+".join(names) for operator, names in ran.items()}
    by_packages = "+".join(name for name in ran.get("attention", ()) if name != "torch")
    found.pop("attention", None)
    if names := "+".join(filter(None, (attention, by_packages))):
        found["sdpa"] = names
    return found
