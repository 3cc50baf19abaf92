"""Ancestral sampling of the state-dependent process: tokens of a larger power come first."""

from __future__ import annotations

import math

import torch

from bench.diffusion.samplers.request import Filling, Sample, SampleRequest, rows_with


def multi_scale(request: SampleRequest, *, skip_idle: bool) -> Sample:
    """The reverse of a process that masks token i with probability t^w_i (see MultiScaleDiffusion), in T steps.

    On the way from t to s a masked position becomes i with probability mu_i (1 - (s/t)^w_i), with mu the softmax of
    logits + w log t, and stays masked otherwise: drawn as a candidate from mu that is then kept with 1 - (s/t)^w.
    NFE is T; with `skip_idle` only rows that changed since their last call are computed (a denoiser without time input
    gives the same answer again), so at most min(T, masked). The temperature is that of the logits alone.
    """
    assert request.powers_V is not None
    filling, steps = Filling(request), request.step_count
    tokens_BL = filling.tokens_BL
    powers_V = request.powers_V.to(tokens_BL.device, torch.float64)
    stale_B = torch.ones(len(tokens_BL), dtype=torch.bool, device=tokens_BL.device)
    logits_BLV = torch.empty(0)
    for step in range(steps, 0, -1):
        masked_BL = filling.masked_BL
        skipping = skip_idle and not request.time_input
        rows_R = (rows_with(masked_BL & stale_B[:, None]) if skipping else torch.arange(len(tokens_BL))).cpu()
        if len(rows_R):
            _, found_RLV = filling.call(rows_R, step / steps)
            if not len(logits_BLV):
                logits_BLV = found_RLV.new_zeros(*tokens_BL.shape, found_RLV.shape[-1])
            logits_BLV[rows_R.to(logits_BLV.device)] = found_RLV
        if bool(masked_BL.any()):
            tilted_BLV = logits_BLV.double() + request.temperature * math.log(step / steps) * powers_V
            drawn_N = filling.drawing.draw(tilted_BLV, tokens_BL, masked_BL)
            u_N = request.uniform(len(drawn_N)).to(drawn_N.device)
            stays_N = u_N < ((step - 1) / step) ** powers_V[drawn_N]
            tokens_BL[masked_BL] = drawn_N.masked_fill(stays_N, request.mask_id)
            stale_B = (masked_BL & ~filling.masked_BL).any(dim=1)
        filling.report(steps - step + 1, steps)
    return filling.sample()
