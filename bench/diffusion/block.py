"""Block diffusion: blocks from left to right, each drawn by absorbing diffusion given the blocks before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.errors import DiffusionError
from bench.diffusion.noised import Noised
from bench.diffusion.samplers.request import Denoise

BOUND_LOSS = "mdlm"


class TwoStream(nn.Module):
    """A network as block diffusion calls it: `(noisy_BL, clean_BL)` -> logits (B, L, V) of the noisy tokens, each block
    given its own noisy tokens and the clean ones before it; `(tokens_BL)` alone is the network's plain call."""

    def __init__(self, network: nn.Module, block: int) -> None:
        super().__init__()
        self.network, self.block = network, block

    def forward(self, tokens_BL: torch.Tensor, clean_BL: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (B, L, V)."""
        network: Any = self.network
        return network(tokens_BL) if clean_BL is None else network.two_stream(tokens_BL, clean_BL, self.block)

    def flops(self, length: int) -> Any:
        """FLOPs of one call on a sequence of `length` tokens, both streams counted; a `FlopCount`."""
        network: Any = self.network
        return network.flops(length) if length == self.block else network.two_stream_flops(length, self.block)

    @property
    def uncounted(self) -> str:
        """Why `flops` is NaN; "" where it is not."""
        return str(getattr(self.network, "uncounted", ""))


def check_bound(objective: str, *, steps: int | None, schedule: str, loss: str, time_input: bool) -> None:
    """Raise DiffusionError unless a process is set to what its objective trains: the bound itself, whose weights no
    schedule and no number of steps change."""
    if (loss, steps, schedule) != (BOUND_LOSS, None, "linear"):
        raise DiffusionError(
            f"objective: {objective} trains on its bound, not on loss {loss} of schedule {schedule} with "
            f"steps {steps}; allowed: loss {BOUND_LOSS}, schedule linear, steps null"
        )
    if time_input:
        raise DiffusionError(f"objective: {objective} takes a denoiser without time input; allowed: absorbing")


class BlockDiffusion(AbsorbingDiffusion):
    """Blocks of `block` tokens, first to last; within each the absorbing process, given the clean blocks before it.

    Arriola et al. 2025 (BD3-LM, 2503.09573). The trained loss is the bound in its count form: of each block's c tokens
    that are not PAD exactly k are masked, k uniform on 1..c, and their cross-entropy has the weight c / k. The draws of
    k are stratified over all blocks of a batch (`times` "uniform": each alone). Masks of a batch are a function of the
    generator alone. A block as long as the sequence is the AbsorbingDiffusion of the same settings, bit for bit.
    """

    def __init__(
        self,
        mask_id: int,
        pad_id: int,
        *,
        block: int,
        steps: int | None = None,
        schedule: str = "linear",
        loss: str = BOUND_LOSS,
        times: str = "low_discrepancy",
        time_input: bool = False,
    ) -> None:
        if block < 1:
            raise DiffusionError(f"block: {block} tokens; allowed: 1 or more")
        check_bound("block", steps=steps, schedule=schedule, loss=loss, time_input=time_input)
        super().__init__(mask_id, pad_id, steps=steps, schedule=schedule, loss=loss, times=times)
        self.block = block

    def settings(self) -> dict[str, Any]:
        """Everything that decides the loss and the noise, as JSON can hold it."""
        return super().settings() | {"objective": "block", "block": self.block}
