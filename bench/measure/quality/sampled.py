"""Likelihood of real music under a cell's sampler as it runs: exact for tokens one by one and for short blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.diffusion.constraints.choice import NONE
from bench.measure.quality.likelihood import bits_row, nats_vectors
from bench.measure.quality.music import full_windows, held_out_windows
from bench.measure.rows import missing
from bench.store.vectors import NATS, Vector
from metrics.cost.quantities import SAMPLER_BITS

if TYPE_CHECKING:
    from torch import nn

    from bench.data import TokenCorpus
    from bench.diffusion import AbsorbingDiffusion
    from bench.measure.quality.drawing import Emit

SAMPLER_WINDOWS = 32
"""Full windows of the test side that are scored, one of each song first."""
ORDERS = 8
"""Orders of each block behind an estimate."""
LONGEST_ESTIMATED = 32
"""Tokens of the longest block whose likelihood is estimated from orders; beyond, the bound stands alone."""
LAW_CHANGED = ("temperature", "top_p", "constraints")
"""Settings of a sampler that make its law another than the network's."""


def sampler_likelihood(
    network: nn.Module,
    diffusion: AbsorbingDiffusion,
    tokens: TokenCorpus,
    settings: Mapping[str, Any],
    *,
    precision: str,
    batch: int,
    emit: Emit,
) -> tuple[list[dict[str, Any]], list[Vector]]:
    """The row of bits/token under the sampler of a cell's `settings`, with nats of each window: none for a process that
    draws no blocks, the reason where the sampler's law is not known."""
    from bench.diffusion.exact import sampler_bits
    from bench.diffusion.objectives import ABSORBING
    from bench.diffusion.sampling_step import SamplingStep
    from bench.measure.quality.drawing import device_of

    length = int(settings["length"])
    if diffusion.objective == ABSORBING:
        return [], []
    if reason := unknown_law(diffusion, settings["sample"], length):
        return [missing(SAMPLER_BITS, reason)], []
    count = min(SAMPLER_WINDOWS, len(full_windows(tokens, "test", length)))
    windows = held_out_windows(tokens, length, count)
    bits, estimate = sampler_bits(
        diffusion,
        SamplingStep(diffusion.as_called(network), precision=precision),
        windows.tokens,
        range(count),
        per_call=tokens_a_call(diffusion, settings["sample"], length),
        orders=ORDERS,
        batch=batch,
        device=device_of(network),
        each=lambda done, of: emit(event="progress", stage="windows under the sampler", done=done, total=of),
    )
    line = bits_row(SAMPLER_BITS, bits, windows.songs, estimate=estimate, precision=precision)
    return [line], nats_vectors(bits, windows.songs, length, f"sampler_{NATS}")


def unknown_law(diffusion: AbsorbingDiffusion, sample: Mapping[str, Any], length: int) -> str:
    """Why the likelihood under a cell's sampler is not computed; "" where it is."""
    changed = [name for name in LAW_CHANGED if sample.get(name) not in (None, 1.0, NONE)]
    if changed:
        return f"sample.{changed[0]} changes the law that is drawn from"
    if diffusion.block is None:
        return ""
    if (inner := sample.get("inner", "first-hitting")) != "first-hitting":
        return f"inner sampler {inner}: its law is not known"
    if diffusion.block == length:
        return f"one block of {length} tokens is the whole piece; the bound stands alone"
    if diffusion.block > LONGEST_ESTIMATED:
        return f"blocks of {diffusion.block} tokens: over {LONGEST_ESTIMATED} too many orders; the bound stands alone"
    return ""


def tokens_a_call(diffusion: AbsorbingDiffusion, sample: Mapping[str, Any], length: int) -> int:
    """Tokens that the sampler `block` reveals in each call but the last of a block of all-MASK rows."""
    import torch

    from bench.diffusion.samplers.block import block_plan

    if diffusion.block is None:
        return 1
    if reveal := sample.get("reveal"):
        return int(reveal)
    masked_1L = torch.ones(1, length, dtype=torch.bool)
    _, calls = block_plan(masked_1L, diffusion.block, int(sample["steps"]), None)[0]
    return -(-diffusion.block // calls)
