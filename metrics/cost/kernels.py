"""Kernels that ran: a log of every operator that one untimed call dispatches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ATTENTION_KERNELS = {
    "aten::_scaled_dot_product_flash_attention_for_cpu": "flash_cpu",
    "aten::_scaled_dot_product_flash_attention": "flash",
    "aten::_scaled_dot_product_efficient_attention": "efficient",
    "aten::_scaled_dot_product_cudnn_attention": "cudnn",
    "aten::_scaled_dot_product_fused_attention_overrideable": "overrideable",
}
"""Fused operators behind `scaled_dot_product_attention`; when none of them runs, it was computed by plain products."""
UNFUSED_ATTENTION = "math"

_MOVEMENT_NAMES = (
    "_reshape_alias _to_copy _unsafe_view alias arange as_strided cat clone constant_pad_nd contiguous copy copy_ "
    "detach embedding embedding_dense_backward empty empty_like empty_strided expand fill fill_ flip full "
    "full_like gather index index_put index_select lift_fresh narrow new_empty new_empty_strided new_full "
    "new_ones new_zeros ones ones_like permute reshape scalar_tensor select select_backward slice slice_backward "
    "split split_with_sizes squeeze stack t transpose unbind unsafe_split unsqueeze view where zero_ "
    "zeros zeros_like"
)
MOVEMENT = frozenset(_MOVEMENT_NAMES.split())
"""Operators that move or name numbers and compute none."""


def does_arithmetic(name: str) -> bool:
    """Whether an operator ("aten::add") computes, rather than moves, numbers."""
    namespace, _, operator = name.partition("::")
    return namespace not in {"prim", "profiler"} and operator not in MOVEMENT


class OperatorWatch(TorchDispatchMode):
    """Calls `seen(packet, args, kwargs, result)` after every operator dispatched inside it, backward ones as well.

    Composite operators are taken apart first: in inference mode they arrive whole, and the kernel behind an attention
    call would stay hidden.
    """

    def __init__(self, seen: Callable[[Any, Any, Mapping[str, Any], Any], None]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        options = kwargs or {}
        with self:
            if hasattr(func, "decompose") and (result := func.decompose(*args, **options)) is not NotImplemented:
                return result
        result = func(*args, **options)
        self.seen(getattr(func, "_overloadpacket", func), args, options, result)
        return result


def packet_name(packet: Any) -> str:
    """ "namespace::name" of an operator packet."""
    return getattr(packet, "_qualified_op_name", str(packet))


class OperatorLog(OperatorWatch):
    """Counts the calls of every operator dispatched inside it, by "namespace::name"."""

    def __init__(self) -> None:
        super().__init__(lambda packet, *_: self.calls.update([packet_name(packet)]))
        self.calls: Counter[str] = Counter()


class _AttentionCalls(TorchFunctionMode):
    """Counts calls of `scaled_dot_product_attention` before they are turned into kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        self.count += func is torch.nn.functional.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


def attention_kernel(call: Callable[[], Any]) -> str:
    """The kernel that ran behind `scaled_dot_product_attention` in `call`: "flash_cpu", "flash", "efficient", "cudnn",
    "math" (no fused kernel), several joined by "+", or "" when attention was not called."""
    with _AttentionCalls() as attention, OperatorLog() as log:
        call()
    if attention.count == 0:
        return ""
    fused = sorted({kernel for name, kernel in ATTENTION_KERNELS.items() if log.calls[name]})
    fused_calls = sum(log.calls[name] for name in ATTENTION_KERNELS)
    return "+".join(fused if fused_calls >= attention.count else [*fused, UNFUSED_ATTENTION])
