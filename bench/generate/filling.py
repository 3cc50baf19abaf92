"""Filling of hidden tokens: whole rows, or windows of a song around what is hidden."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from bench.diffusion import DiffusionError, generator_for
from bench.diffusion.constraints import ConstraintChoice, ConstraintSet
from bench.diffusion.objectives import ABSORBING
from bench.diffusion.samplers import SAMPLERS, Sample, SampleRequest, cached, check_sampler, in_windows
from bench.diffusion.sampling_step import PRECISIONS, CudaGraphs, SamplingStep
from bench.errors import quoted
from bench.generate.errors import GenerateError
from bench.generate.template import Template
from bench.generate.trained import TrainedRun

Report = Callable[[range, int, int], None]  # pieces being drawn, calls done, calls of this window


@dataclass(frozen=True)
class DrawOptions:
    """`steps` of the sampler for a full row; `batch` rows at once; `precision` of matrix products; `schedule`,
    `reveal` and `block` of a sampler that has them of its own (None: its default)."""

    sampler: str = "cached"
    steps: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    constraint: ConstraintChoice = field(default_factory=ConstraintChoice)
    seed: int = 0
    batch: int = 16
    precision: str = "float32"
    schedule: str | None = None
    reveal: int | None = None
    block: int | None = None

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise GenerateError(f"--sampler {quoted(self.sampler)}: not known; allowed: {', '.join(SAMPLERS)}")
        if self.steps < 1:
            raise GenerateError(f"--steps {self.steps}: allowed: 1 or more")
        if not 0 <= self.temperature < math.inf:
            raise GenerateError(f"--temperature {self.temperature}: allowed: 0 (the best token) or more")
        if not 0 < self.top_p <= 1:
            raise GenerateError(f"--top-p {self.top_p}: allowed: more than 0, at most 1 (all tokens)")
        if self.precision not in PRECISIONS:
            raise GenerateError(f"--precision {quoted(self.precision)}: not known; allowed: {', '.join(PRECISIONS)}")
        if self.batch < 1:
            raise GenerateError(f"--batch {self.batch}: allowed: 1 or more")
        try:
            check_sampler(self.sampler, self.own, objective=SAMPLERS[self.sampler].objectives[0])
            for name, value in self.own.items():
                SAMPLERS[self.sampler].options[name].check(name, value)
        except DiffusionError as error:
            raise GenerateError(f"--{error}") from error

    @property
    def own(self) -> dict[str, Any]:
        """The sampler's own options."""
        given = {"schedule": self.schedule, "reveal": self.reveal, "block": self.block}
        return {name: value for name, value in given.items() if value is not None}

    def record(self) -> dict[str, Any]:
        """As JSON can hold it; what is not given is left out."""
        found = asdict(self) | {"constraint": self.constraint.words()}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Filled:
    """`tokens` int64 (n, N) without MASK; `nfe` network calls in which each piece took part."""

    tokens: np.ndarray
    nfe: list[int]


def fill(
    run: TrainedRun, count: int, options: DrawOptions, *, template: Template | None = None, length: int | None = None,
    report: Report | None = None,
) -> Filled:  # fmt: skip
    """`count` pieces: of `length` tokens (default: the run's), or of a template.

    A piece longer than the run's length is drawn window by window, each with half a window of what is there. A run
    that was trained in blocks draws whole ones, and what goes beyond the length is cut off. Of a song the network is
    given up to its length around what is hidden. `steps` is for a window in which all is hidden; one in which less is
    takes that share of them. Raises DiffusionError where a constraint leaves nothing legal.
    """
    constraint = options.constraint.build(run.language, run.mask_id, pitch_limits=run.pitch_limits)
    denoise = SamplingStep(run.backbone, precision=options.precision, recorder=CudaGraphs(), most=options.batch)
    rows, nfe = [], []
    for first in range(0, count, options.batch):
        size = min(options.batch, count - first)
        draw = _Draw(
            run, denoise, options, constraint, generator_for(options.seed, "generate", first),
            range(first, first + size), report,
        )  # fmt: skip
        if template is None:
            done = draw.whole(np.full((size, length or run.length), run.mask_id))
        elif template.open_end:
            done = draw.onward(template, size)
        else:
            done = draw.inside(template, size)
        rows.append(done.tokens_BL.numpy())
        nfe += done.nfe
    return Filled(np.concatenate(rows), nfe)


@dataclass
class _Draw:
    """One batch."""

    run: TrainedRun
    denoise: SamplingStep
    options: DrawOptions
    constraint: ConstraintSet | None
    generator: torch.Generator
    pieces: range
    report: Report | None

    def whole(self, tokens_BN: np.ndarray) -> Sample:
        """Rows of any length; those longer than the network's go window by window."""
        length, block = tokens_BN.shape[1], self.options.block or self.run.block or 1
        beyond = ((0, 0), (0, -length % block))
        tokens_BL = torch.from_numpy(np.pad(tokens_BN.astype(np.int64), beyond, constant_values=self.run.mask_id))
        given_BL = tokens_BL != self.run.mask_id
        there_BL = tokens_BL.to(self.run.device)
        name, steps = self.options.sampler, self.options.steps
        if tokens_BL.shape[1] > self.run.length:
            inner = cached if SAMPLERS[name].needs_window else self.run.sampler(name)
            request = self._request(there_BL, steps, self.constraint)
            overlap = self.run.length // 2 // block * block
            sample = in_windows(request, inner, self.run.length, overlap, **self.options.own)
        else:
            steps = SAMPLERS[name].steps_for(steps, float((~given_BL).double().mean()))
            sample = self.run.sampler(name).run(self._request(there_BL, steps, self.constraint), **self.options.own)
        return Sample(self._settled(sample.tokens_BL.cpu(), given_BL)[:, :length], sample.nfe)

    def onward(self, template: Template, size: int) -> Sample:
        """A continuation: what is given beyond half a window is not seen by the network."""
        bar_id = self.run.language.ids("Bar")[0]
        given = int((~template.hidden).sum())
        bars = np.flatnonzero(template.tokens[:given] == bar_id)
        seen = bars[given - bars <= self.run.length // 2]
        start = int(seen[0]) if len(seen) else given - self.run.length // 2
        row = np.where(template.hidden, self.run.mask_id, template.tokens)
        part = row[start:]
        short = max(self.run.length - len(part), 0) if self.run.objective == ABSORBING else 0
        part = np.append(part, np.full(short, self.run.pad_id))
        sample = self.whole(np.tile(part, (size, 1)))
        drawn = sample.tokens_BL[:, : len(part) - short]
        before = torch.from_numpy(row[:start]).expand(size, -1)
        return Sample(torch.cat([before, drawn], dim=1), sample.nfe)

    def inside(self, template: Template, size: int) -> Sample:
        """Infilling: windows that begin with a bar, until nothing is hidden."""
        run = self.run
        row = np.where(template.hidden, run.mask_id, template.tokens)
        tokens_BN = np.tile(row, (size, 1))
        bars = np.append(np.flatnonzero(row == run.language.ids("Bar")[0]), len(row))
        hidden, nfe = template.hidden.copy(), np.zeros(size, np.int64)
        while hidden.any():
            start, stop, done = window_of(hidden, bars, run.length)
            window = np.full((size, run.length), run.pad_id)
            window[:, : stop - start] = tokens_BN[:, start:stop]
            allowed = np.ones((run.length, len(run.language.words)), bool)
            allowed[: stop - start] = template.allowed[start:stop]
            constraint = (self.constraint or ConstraintSet(())).with_allowed(allowed)
            sampler = run.sampler(self.options.sampler)
            steps = sampler.steps_for(self.options.steps, float(hidden[start:stop].sum() / run.length))
            request = self._request(torch.from_numpy(window).to(run.device), steps, constraint)
            sample = sampler.run(request, **self.options.own)
            tokens_BN[:, start:done] = sample.tokens_BL[:, : done - start].cpu().numpy()
            hidden[start:done] = False
            nfe += np.array(sample.nfe)
        given_BL = torch.from_numpy(np.tile(~template.hidden, (size, 1)))
        return Sample(self._settled(torch.from_numpy(tokens_BN), given_BL), nfe.tolist())

    def _request(self, tokens_BL: torch.Tensor, steps: int, constraint: ConstraintSet | None) -> SampleRequest:
        options, report = self.options, self.report
        return SampleRequest(
            self.denoise,
            tokens_BL,
            mask_id=self.run.mask_id,
            generator=self.generator,
            steps=steps,
            forbidden_ids=self.run.forbidden_ids,
            pad_id=self.run.pad_id,
            temperature=options.temperature,
            top_p=options.top_p,
            constrain=constraint,
            progress=None if report is None else lambda done, total: report(self.pieces, done, total),
            **self.run.noise(),
        )

    def _settled(self, tokens_BL: torch.Tensor, given_BL: torch.Tensor) -> torch.Tensor:
        return tokens_BL if self.constraint is None else self.constraint.settle(tokens_BL, given_BL)


def window_of(hidden: np.ndarray, bars: np.ndarray, length: int) -> tuple[int, int, int]:
    """Start and stop of the next window over a row, and up to where its tokens are taken.

    `bars` are the places of the Bar tokens and last the row's end. Where all that is hidden fits, it stands in the
    middle of the window; else the window begins a quarter of its length before what is hidden first, and what is drawn
    in its last, broken bar is drawn again in the next window.
    """
    places = np.flatnonzero(hidden)
    first, last = int(places[0]), int(places[-1])
    bar = int(bars[np.searchsorted(bars, first, side="right") - 1])
    span = last + 1 - bar
    before = (length - span) // 2 if span <= length else length // 4
    earliest = max(min(bar - before, len(hidden) - length), 0)
    start = min(int(bars[np.searchsorted(bars, earliest)]), bar)
    if first - start > length // 2 and span > length:  # far inside a bar that is longer than the window
        start = first - length // 2
    stop = min(start + length, len(hidden))
    if stop > last:
        return start, stop, stop
    whole = int(bars[np.searchsorted(bars, stop, side="right") - 1])
    return start, stop, whole if whole > first else stop
