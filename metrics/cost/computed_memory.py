"""Memory of a training step by counting the bytes that must be kept, for any machine and any batch.

Counted are weights, gradients, optimiser state and the tensors that autograd saves for the backward pass. A measured
peak may lie on either side: work space of kernels adds to it, while gradients come as activations go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

ADAM_STATES = 2
"""Values that Adam and AdamW keep for each weight: two moving averages."""


@dataclass(frozen=True)
class ComputedMemory:
    """Bytes of one training step by what they hold, computed, not measured."""

    weight_bytes: int
    gradient_bytes: int
    optimiser_bytes: int
    activation_bytes: float

    @property
    def fixed_bytes(self) -> int:
        """What does not depend on batch and length."""
        return self.weight_bytes + self.gradient_bytes + self.optimiser_bytes

    @property
    def total_bytes(self) -> float:
        """All parts together."""
        return self.fixed_bytes + self.activation_bytes


class _FusedAttention(TorchFunctionMode):
    """Sends attention on the meta device to the fused operator, which saves no L x L scores, as real devices do."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if func is nn.functional.scaled_dot_product_attention and args and args[0].is_meta:
            return _fused(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    if enable_gqa:
        raise ValueError("computed memory: grouped queries have no fused operator on the meta device")
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
    )[0]


def _attention(kind: str) -> AbstractContextManager[Any]:
    if kind not in ("fused", "unfused"):
        raise ValueError(f"attention = {kind!r}; allowed: fused, unfused")
    return _FusedAttention() if kind == "fused" else nullcontext()


def saved_bytes(forward: Callable[[], Any], module: nn.Module, *, attention: str = "fused") -> int:
    """Bytes that autograd keeps for the backward pass of `forward()`, each storage once, weights and buffers left out.

    Works on the meta device, where nothing is computed or allocated; there `attention` says whether scores are kept
    ("unfused") or computed again ("fused", what every fused kernel does). Elsewhere the kernel of the device decides.
    """
    own = {tensor.untyped_storage()._cdata for tensor in [*module.parameters(), *module.buffers()]}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage  # the reference keeps the address from being used again
        # the graph is given nothing to keep: a result that its own graph held would never be freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda nothing: nothing), _attention(attention):
        result = forward()
    total = sum(storage.nbytes() for storage in kept.values())
    del result
    return total


def computed_memory(
    module: nn.Module,
    forward: Callable[[], Any],
    *,
    optimiser_states: int = ADAM_STATES,
    optimiser_dtype: torch.dtype | None = None,
    attention: str = "fused",
) -> ComputedMemory:
    """Bytes of a training step of `module` whose `forward()` returns the loss; see `saved_bytes` for the activations.

    Optimiser states have the type of their weight unless `optimiser_dtype` says otherwise. Build the module under
    `torch.device("meta")`, with any type and batch, to ask about machines that are not there.
    """
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    everything = [*module.parameters(), *module.buffers()]
    size = optimiser_dtype.itemsize if optimiser_dtype is not None else None
    return ComputedMemory(
        weight_bytes=sum(tensor.numel() * tensor.element_size() for tensor in everything),
        gradient_bytes=sum(weight.numel() * weight.element_size() for weight in trained),
        optimiser_bytes=optimiser_states * sum(w.numel() * (size or w.element_size()) for w in trained),
        activation_bytes=saved_bytes(forward, module, attention=attention),
    )


def batch_for(target_bytes: float, memory_of: Callable[[int], ComputedMemory]) -> float:
    """The batch, as a real number, whose computed memory is `target_bytes`; NaN when one sequence needs more.

    `memory_of(batch)` is asked for batches 1 and 2: activations grow by the same bytes for each further sequence.
    """
    one, two = memory_of(1).total_bytes, memory_of(2).total_bytes
    if one > target_bytes or two <= one:
        return math.nan
    return 1 + (target_bytes - one) / (two - one)
