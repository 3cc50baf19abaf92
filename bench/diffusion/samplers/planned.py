"""Samplers whose reveals are known before the first call: the loop that `ancestral` and `first_hitting` share."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.diffusion.samplers.drawing import Drawing
from bench.diffusion.samplers.sample import Sample, evaluation_mode

Denoise = Callable[..., torch.Tensor]
Progress = Callable[[int, int], None]


def reveal_as_planned(
    denoise: Denoise,
    tokens_BL: torch.Tensor,
    call_BL: torch.Tensor,
    calls: int,
    drawing: Drawing,
    *,
    time_CB: torch.Tensor | None = None,
    skip_idle: bool,
    progress: Progress | None = None,
) -> Sample:
    """Reveal each position in the call (1..calls, on the CPU) that `call_BL` names; 0 is never.

    With `time_CB` (calls, B) the denoiser is given the time of each call. `skip_idle` computes only the rows in which
    something is revealed: a denoiser's answer is used nowhere else. `progress(done, calls)` after each call.
    """
    tokens_BL, nfe_B = tokens_BL.clone(), torch.zeros(len(tokens_BL), dtype=torch.int64)
    with evaluation_mode(denoise):
        for call in range(1, calls + 1):
            reveal_BL = call_BL == call
            rows_R = reveal_BL.any(dim=1).nonzero().squeeze(1) if skip_idle else torch.arange(len(tokens_BL))
            if len(rows_R):
                part_RL = tokens_BL[rows_R.to(tokens_BL.device)] if len(rows_R) < len(tokens_BL) else tokens_BL
                time = () if time_CB is None else (time_CB[call - 1, rows_R].to(part_RL.device, torch.float32),)
                logits_RLV = denoise(part_RL, *time)
                nfe_B[rows_R] += 1
                if reveal_BL.any():
                    drawn_N = drawing.draw(logits_RLV, part_RL, reveal_BL[rows_R])
                    tokens_BL[reveal_BL.to(tokens_BL.device)] = drawn_N.to(tokens_BL.device)
            if progress is not None:
                progress(call, calls)
    return Sample(tokens_BL.clone(), nfe_B.tolist())
