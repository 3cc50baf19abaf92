"""Drawing of a cell's music by its sampler: whole pieces, and what is hidden of given ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.measure.quality.process import build_constraint

if TYPE_CHECKING:
    import torch

    from bench.data import TokenCorpus
    from bench.diffusion import AbsorbingDiffusion, Sample

Emit = Callable[..., None]
EVENT_INTERVAL_S = 0.5


def seldom(emit: Emit) -> Emit:
    """The same, but for events that come sooner after the one before than EVENT_INTERVAL_S: they are dropped."""
    last = 0.0

    def forward(**event: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= EVENT_INTERVAL_S:
            last = time.monotonic()
            emit(**event)

    return forward


def draw_pieces(
    backbone: torch.nn.Module,
    diffusion: AbsorbingDiffusion,
    tokens: TokenCorpus,
    settings: dict[str, Any],
    length: int,
    emit: Emit,
) -> tuple[Sample, float, str]:
    """The generated pieces of the cell at one length, the seconds they took, and how the network was called."""
    import torch

    rows_BL = torch.full((int(settings["sample"]["pieces"]), length), tokens.mask_id, dtype=torch.int64)
    return fill_rows(backbone, diffusion, tokens, settings, rows_BL, emit)


def fill_rows(
    backbone: torch.nn.Module,
    diffusion: AbsorbingDiffusion,
    tokens: TokenCorpus,
    settings: dict[str, Any],
    rows_BL: torch.Tensor,
    emit: Emit,
    *,
    purpose: str = "sample",
    forbidden_ids: Sequence[int] = (),
) -> tuple[Sample, float, str]:
    """Rows (B, L) with every MASK drawn by the cell's sampler, the seconds that took, and how the network was called.

    They are drawn where the network's weights lie, in the cell's steps for rows of MASK alone, else in the share of
    them that is masked (`Sampler.steps_for`). `purpose` seeds the draws together with the cell's seed; special tokens
    and `forbidden_ids` are never drawn.
    """
    from bench.diffusion import SAMPLERS, generator_for
    from bench.diffusion.sampling_step import CudaGraphs, SamplingStep

    wanted, (count, length) = dict(settings["sample"]), rows_BL.shape
    steps, sampler = (wanted.pop(name) for name in ("steps", "sampler"))
    masked = float((rows_BL == tokens.mask_id).double().mean())
    del wanted["pieces"]
    precision = wanted.pop("precision", "float32")
    denoise = SamplingStep(backbone, precision=precision, recorder=CudaGraphs(), most=count)
    if SAMPLERS[sampler].needs_window:  # the denoiser sees no more than it was trained on
        wanted.setdefault("window", min(length, int(settings["length"])))
    constraint = build_constraint(tokens, wanted.pop("constraints", None))
    emit, begun = seldom(emit), time.perf_counter()

    def report(done: int, total: int) -> None:
        left_s = (time.perf_counter() - begun) * (total - done) / done
        emit(event="progress", stage=f"calls for {count} pieces", done=done, total=total, left_s=left_s)

    sample = diffusion.fill(
        denoise,
        rows_BL.to(device_of(backbone)),
        generator=generator_for(int(settings["seed"]), purpose),
        steps=SAMPLERS[sampler].steps_for(steps, masked),
        sampler=sampler,
        forbidden_ids=[*tokens.special_ids, *forbidden_ids],
        progress=report,
        constrain=constraint,
        **wanted,
    )
    if constraint is not None:
        settled_BL = constraint.settle(sample.tokens_BL, rows_BL != tokens.mask_id)
        sample = replace(sample, tokens_BL=settled_BL)
    return sample, time.perf_counter() - begun, denoise.words


def device_of(module: torch.nn.Module) -> torch.device:
    """Where the weights lie."""
    return next(module.parameters()).device
