"""Ancestral sampling of the state-dependent process: tokens of a larger power come first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from bench.diffusion.samplers.constraint import Constraint
from bench.diffusion.samplers.drawing import Drawing
from bench.diffusion.samplers.planned import Denoise, Progress
from bench.diffusion.samplers.sample import Sample, check_sampling, evaluation_mode


def multi_scale(
    denoise: Denoise,
    tokens_BL: torch.Tensor,
    *,
    mask_id: int,
    steps: int,
    generator: torch.Generator,
    powers_V: torch.Tensor,
    fixed: torch.Tensor | None = None,
    forbidden_ids: Sequence[int] = (),
    temperature: float = 1.0,
    top_p: float = 1.0,
    constrain: Constraint | None = None,
    time_input: bool = False,
    progress: Progress | None = None,
    skip_idle: bool = False,
) -> Sample:
    """The reverse of a process that masks token i with probability t^w_i (see MultiScaleDiffusion), in `steps` steps.

    On the way from t to s a masked position becomes i with probability mu_i (1 - (s/t)^w_i), with mu the softmax of
    logits + w log t, and stays masked otherwise: drawn as a candidate from mu that is then kept with 1 - (s/t)^w.
    NFE is T; with `skip_idle` only rows that changed since their last call are computed (a denoiser without time input
    gives the same answer again), so at most min(T, masked). The temperature is that of the logits alone.
    """
    check_sampling(tokens_BL, mask_id, steps, fixed)
    drawing = Drawing(generator, (mask_id, *forbidden_ids), temperature, top_p, constrain)
    powers_V = powers_V.to(tokens_BL.device, torch.float64)
    tokens_BL, nfe_B = tokens_BL.clone(), torch.zeros(len(tokens_BL), dtype=torch.int64)
    stale_B = torch.ones(len(tokens_BL), dtype=torch.bool, device=tokens_BL.device)
    logits_BLV = torch.empty(0)
    with evaluation_mode(denoise):
        for step in range(steps, 0, -1):
            masked_BL = tokens_BL == mask_id
            wanted_B = stale_B & masked_BL.any(dim=1) if skip_idle and not time_input else torch.ones_like(stale_B)
            if bool(wanted_B.any()):
                part_RL = tokens_BL[wanted_B]
                time = (part_RL.new_full((len(part_RL),), step / steps, dtype=torch.float32),) if time_input else ()
                found_RLV = denoise(part_RL, *time)
                if not len(logits_BLV):
                    logits_BLV = found_RLV.new_zeros(*tokens_BL.shape, found_RLV.shape[-1])
                logits_BLV[wanted_B] = found_RLV
                nfe_B[wanted_B.cpu()] += 1
            if bool(masked_BL.any()):
                tilted_BLV = logits_BLV.double() + temperature * math.log(step / steps) * powers_V
                drawn_N = drawing.draw(tilted_BLV, tokens_BL, masked_BL)
                u_N = torch.rand(len(drawn_N), generator=generator, dtype=torch.float64, device=generator.device)
                stays_N = u_N.to(drawn_N.device) < ((step - 1) / step) ** powers_V[drawn_N]
                tokens_BL[masked_BL] = drawn_N.masked_fill(stays_N, mask_id)
                stale_B = (masked_BL & (tokens_BL != mask_id)).any(dim=1)
            if progress is not None:
                progress(steps - step + 1, steps)
    return Sample(tokens_BL.clone(), nfe_B.tolist())
