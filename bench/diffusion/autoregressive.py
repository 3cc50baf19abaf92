"""Autoregression: each token given those before it, as one more process of the same trainer."""

from __future__ import annotations

from typing import Any

from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.block import BOUND_LOSS, check_bound


class Autoregressive(AbsorbingDiffusion):
    """Tokens one by one from the left: the network reads MASK, x_1, .., x_(L-1) and its logits are those of x_1 .. x_L.

    The loss is -log p itself, the first token counted, PAD not; nothing of it is drawn at random. `block` is 1: what
    samplers by block draw at once.
    """

    block = 1

    def __init__(
        self,
        mask_id: int,
        pad_id: int,
        *,
        steps: int | None = None,
        schedule: str = "linear",
        loss: str = BOUND_LOSS,
        times: str = "low_discrepancy",
        time_input: bool = False,
    ) -> None:
        check_bound("autoregressive", steps=steps, schedule=schedule, loss=loss, time_input=time_input)
        super().__init__(mask_id, pad_id, steps=steps, schedule=schedule, loss=loss, times=times)

    def settings(self) -> dict[str, Any]:
        """Everything that decides the loss and the noise, as JSON can hold it."""
        return super().settings() | {"objective": "autoregressive"}
