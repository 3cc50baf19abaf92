"""Validation on the way: the averaged weights on a grid of masks that all arms share, split over the processes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bench.diffusion.absorbing import AbsorbingDiffusion, Denoise
from bench.diffusion.evaluation import BitsPerToken, clean_windows, spread, summarise, window_scores
from bench.training.devices import Devices


def validate(
    denoise: Denoise,
    windows: np.ndarray,
    diffusion: AbsorbingDiffusion,
    devices: Devices,
    *,
    most: int | None,
    draws: int,
    batch: int,
    each: Callable[[int, int], None] | None = None,
) -> BitsPerToken:
    """What `bench.diffusion.bits_per_token` gives, each process computing its share of the windows."""
    chosen = spread(len(windows), most)
    scores_WD = np.empty((len(chosen), draws))
    mine = slice(devices.rank, None, devices.world)
    scores_WD[mine] = window_scores(
        denoise,
        windows,
        chosen[mine],
        mask_id=diffusion.mask_id,
        pad_id=diffusion.pad_id,
        draws=draws,
        batch=batch,
        device=devices.device,
        each=each,
    )
    shared_WD = torch.zeros(scores_WD.shape, dtype=torch.float64, device=devices.device)
    shared_WD[mine] = torch.from_numpy(scores_WD[mine]).to(devices.device)
    return summarise(devices.total(shared_WD).cpu().numpy(), clean_windows(windows, chosen, diffusion.pad_id)[1])
