"""Count of every operation that a plain computation executes, element-wise ones too, without formulas of operators.

For references that write a kernel out (attention as two products and a softmax, a scan as a loop): their count is an
independent check of the formula of the fused kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from metrics.cost.kernels import does_arithmetic

REDUCTIONS = frozenset(
    {"aten::sum", "aten::mean", "aten::amax", "aten::max", "aten::prod", "aten::cumsum", "aten::var"}
)
"""One operation for each element that goes in."""
SOFTMAX = frozenset({"aten::_softmax", "aten::_safe_softmax", "aten::_log_softmax"})
SOFTMAX_OPERATIONS = 5
"""An element of a softmax: compare for the maximum, subtract, exp, add up, divide."""
FUSED_TWO = frozenset({"aten::addcmul", "aten::addcmul_", "aten::lerp"})
"""A multiplication and an addition for each element."""


class _Arithmetic(TorchDispatchMode):
    """Counts operations of each operator from the shapes that pass by."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        with self:
            if (result := func.decompose(*args, **(kwargs or {}))) is not NotImplemented:
                return result
        result = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        name = getattr(packet, "_qualified_op_name", str(packet))
        if packet in flop_registry:
            self.counts[name] += flop_registry[packet](*args, **(kwargs or {}), out_val=result)
        elif does_arithmetic(name):
            self.counts[name] += _operations(name, args, result)
        return result


def _operations(name: str, args: Any, result: Any) -> int:
    """Operations of one element-wise operator or reduction."""
    outputs = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
    if name in REDUCTIONS:
        return args[0].numel()
    size = max(outputs, default=0)
    return size * (SOFTMAX_OPERATIONS if name in SOFTMAX else 2 if name in FUSED_TWO else 1)


def count_arithmetic(call: Callable[[], Any]) -> dict[str, int]:
    """Operator -> operations executed by `call`, a multiply-add being two, an exp or a comparison one.

    An operator that is neither a product nor known as a reduction counts one operation an element of its result. A
    fused kernel counts as one operator, so give it the unfused reference. Works on the meta device.
    """
    with torch.no_grad(), _Arithmetic() as arithmetic:
        call()
    return dict(arithmetic.counts)
