"""Costs of a piece under a cell's sampler: network calls, FLOPs, seconds alone and in a batch."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.measure.quality.drawing import fill_rows
from bench.measure.rows import missing, row
from metrics.cost.quantities import PIECE_CALLS, PIECE_GFLOPS, PIECE_TIME, PIECE_TIME_TOGETHER
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from bench.data import TokenCorpus
    from bench.diffusion import AbsorbingDiffusion, Sample

TIMED = 3
"""Pieces drawn one by one behind the seconds of a piece, after one that warms up."""


def piece_rows(
    network: Any,
    diffusion: AbsorbingDiffusion,
    tokens: TokenCorpus,
    settings: dict[str, Any],
    sample: Sample,
    elapsed_s: float,
) -> list[dict[str, Any]]:
    """Rows of the costs of a piece as long as those of `sample`, which took `elapsed_s` together; none for ordinary
    diffusion, whose cells have had none in any version."""
    from bench.diffusion.objectives import ABSORBING

    if diffusion.objective == ABSORBING:
        return []
    pieces, length = sample.tokens_BL.shape
    found = {PIECE_CALLS: (sample.nfe_mean, pieces), PIECE_TIME_TOGETHER: (elapsed_s / pieces, pieces)}
    rows = [row(name, value, n=n, definition=quantity_of(name).definition) for name, (value, n) in found.items()]
    return [
        *rows,
        gflops_row(network, settings, length),
        _alone(network, diffusion, tokens, settings, length),
    ]


def gflops_row(network: Any, settings: Mapping[str, Any], length: int) -> dict[str, Any]:
    """The row of the FLOPs of a piece, by the formulas of the network."""
    from bench.diffusion.samplers import call_plan

    plan = call_plan(settings["diffusion"], settings["sample"], length)
    if plan is None or plan.most:
        return missing(PIECE_GFLOPS, f"calls of sampler {settings['sample']['sampler']} are not predicted")
    cost = plan.of_network(network)
    if cost.reason:
        return missing(PIECE_GFLOPS, cost.reason)
    return row(PIECE_GFLOPS, cost.flops / 1e9, n=1, definition=quantity_of(PIECE_GFLOPS).definition)


def _alone(
    network: Any, diffusion: AbsorbingDiffusion, tokens: TokenCorpus, settings: dict[str, Any], length: int
) -> dict[str, Any]:
    import torch

    times = []
    for turn in range(TIMED + 1):
        rows_BL = torch.full((1, length), tokens.mask_id, dtype=torch.int64)
        purpose = f"piece {turn}"
        _, elapsed_s, _ = fill_rows(network, diffusion, tokens, settings, rows_BL, lambda **_: None, purpose=purpose)
        times.append(elapsed_s)
    warm = times[1:]
    words = {"n": TIMED, "raw": warm, "definition": quantity_of(PIECE_TIME).definition}
    return row(PIECE_TIME, statistics.median(warm), low=min(warm), high=max(warm), **words)
