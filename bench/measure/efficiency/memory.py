"""Training memory of a backbone that is not built: for any size, length, batch and type, on the meta device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from metrics.cost.computed_memory import ComputedMemory, batch_for, computed_memory

if TYPE_CHECKING:
    from architectures.backbone import BackboneConfig


def training_memory(
    config: BackboneConfig,
    length: int,
    batch: int = 1,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "fused",
) -> ComputedMemory:
    """Bytes of one AdamW training step: weights, gradients, optimiser state, activations kept for the backward pass.

    The loss is the cross-entropy of all tokens (the diffusion loss keeps logits of the masked ones only, about half).
    Nothing is allocated. `attention` "unfused" keeps the L x L scores, as an implementation without a fused kernel.
    """
    from architectures.backbone import Backbone

    with torch.device("meta"):
        backbone = Backbone(config).to(dtype)
        tokens_BL = torch.zeros(batch, length, dtype=torch.int64)

        def loss() -> torch.Tensor:
            return functional.cross_entropy(backbone(tokens_BL).flatten(0, 1), tokens_BL.flatten())  # B L V -> BL V

        return computed_memory(backbone, loss, attention=attention)


def batch_at(config: BackboneConfig, length: int, target_bytes: float, *, attention: str = "fused") -> float:
    """The batch, as a real number, that needs `target_bytes` in training; NaN when one sequence needs more.

    Answers "which batch would give the published 21 GB?" for a backbone of known size.
    """
    return batch_for(target_bytes, lambda batch: training_memory(config, length, batch, attention=attention))
