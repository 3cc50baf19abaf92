"""Two counters of floating-point operations to check a model's own formula: by tracing and by dispatch.

Convention everywhere: a multiply-add is two operations. fvcore counts multiply-adds of products and convolutions as one
but plain operations of norms as they are, so each operator has its own factor here instead of one blind doubling.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from metrics.cost.kernels import OperatorLog, does_arithmetic, packet_name

SCAN_OPERATOR = "smdim_bench::selective_scan"
SCAN_BACKWARD_OPERATOR = "smdim_bench::selective_scan_backward"
MULTIPLY_ADD_OPERATORS = frozenset({"addmm", "bmm", "conv", "einsum", "matmul", "mm", "linear"})
"""What fvcore counts in multiply-adds; everything else it counts in plain operations."""
TRIANGULAR_OPERATOR = "aten::linalg_solve_triangular"
SCAN_FLOPS_PER_STATE = 9
"""Operations per batch, step, channel and state of a selective scan forward, as the Mamba authors count them
(github.com/state-spaces/mamba, issue 110): an associative scan, 2 L operations on pairs."""
EXECUTED_PER_STATE = 7
"""Operations of a sequential kernel: step x A, exp, decay x state + input (2), input x B, and C . state (2)."""

Shapes = Sequence[Any]
Formula = Callable[..., int]


@dataclass(frozen=True)
class CountedFlops:
    """Count of one counter for one forward call (or forward and backward).

    `by_operator` sums to `total`; `products` leaves out what only some counters count (norms). `uncounted` maps
    operators that ran and that the counter has no rule for to the number of their calls: element-wise work mostly, and
    others without a rule. `circular` names operators whose count is the formula under test: agreement on them proves
    nothing.
    """

    total: float
    by_operator: dict[str, float]
    uncounted: dict[str, int]
    counter: str
    circular: tuple[str, ...] = ()

    @property
    def products(self) -> float:
        """FLOPs of matrix products, convolutions, attention and scans: the kinds that all counters share."""
        return sum(count for name, count in self.by_operator.items() if not name.endswith("_norm"))


def scan_flops(u_shape: Shapes, delta_shape: Shapes, a_shape: Shapes, *_: Any, **__: Any) -> int:
    """Forward operations of a selective scan from the shapes of u (B D L), delta (B D L) and A (D N)."""
    return SCAN_FLOPS_PER_STATE * prod(u_shape) * a_shape[-1]


def executed_scan_flops(u_shape: Shapes, delta_shape: Shapes, a_shape: Shapes, *_: Any, **__: Any) -> int:
    """Forward operations that a sequential kernel executes, for rooflines: 7 a state, an exp counted as one."""
    return EXECUTED_PER_STATE * prod(u_shape) * a_shape[-1]


def scan_backward_flops(
    gradient_shape: Shapes, u_shape: Shapes, delta_shape: Shapes, a_shape: Shapes, *_: Any, **__: Any
) -> int:
    """Backward operations of a selective scan: twice the forward count, as for a matrix product."""
    return 2 * scan_flops(u_shape, delta_shape, a_shape)


def attention_flops(query_shape: Shapes, key_shape: Shapes, value_shape: Shapes, *_: Any, **__: Any) -> int:
    """Forward operations of scaled dot-product attention (B H L K): the two products; the softmax is not in it."""
    return sdpa_flop_count(query_shape, key_shape, value_shape)


def attention_backward_flops(
    gradient_shape: Shapes, query_shape: Shapes, key_shape: Shapes, value_shape: Shapes, *_: Any, **__: Any
) -> int:
    """Backward operations of a fused attention kernel: five products, since it computes the scores again."""
    return sdpa_backward_flop_count(gradient_shape, query_shape, key_shape, value_shape)


def triangular_flops(system_shape: Shapes, given_shape: Shapes, *_: Any, **__: Any) -> int:
    """Operations of triangular systems (... n n) of given columns (... n m): n^2 a column."""
    return prod(given_shape) * system_shape[-1]


def count_by_tracing(
    module: nn.Module, inputs: tuple[Any, ...], *, formulas: Mapping[str, Formula] | None = None
) -> CountedFlops:
    """FLOPs of `module(*inputs)`, forward, by fvcore's tracer, with rules for attention and the selective scan.

    `formulas` maps operator names ("namespace::name") to functions from argument shapes to FLOPs, multiply-add = 2; by
    default attention, `SCAN_OPERATOR` and triangular systems are known. fvcore by itself gives 0 for them without
    failing. Needs a real device: convolutions cannot be traced on meta.
    """
    from fvcore.nn import FlopCountAnalysis

    rules = {
        "aten::scaled_dot_product_attention": attention_flops,
        SCAN_OPERATOR: scan_flops,
        TRIANGULAR_OPERATOR: triangular_flops,
        **(formulas or {}),
    }
    analysis = FlopCountAnalysis(module, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.set_op_handle(**{name: _handle(name, rule) for name, rule in rules.items()})
    was_training, level = module.training, logging.getLogger("fvcore").level
    module.eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            counts = analysis.by_operator()
            uncounted = dict(analysis.unsupported_ops())
    finally:
        module.train(was_training)
        logging.getLogger("fvcore").setLevel(level)
    by_operator = {
        name: float(count) * (2 if name in MULTIPLY_ADD_OPERATORS else 1) for name, count in sorted(counts.items())
    }
    circular = tuple(name for name in by_operator if name in rules)
    return CountedFlops(sum(by_operator.values()), by_operator, uncounted, "fvcore", circular)


def _handle(name: str, rule: Formula) -> Callable[[list[Any], list[Any]], Counter[str]]:
    """An fvcore handle that hands argument shapes to `rule` and books the count under the operator's own name."""

    def handle(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        return Counter({name: rule(*[_traced_shape(value) for value in inputs])})

    return handle


def _traced_shape(value: Any) -> list[int] | None:
    """Shape of a traced tensor; None for anything that is not one."""
    kind = value.type()
    return kind.sizes() if kind.isSubtypeOf(torch._C.TensorType.get()) else None


def count_by_dispatch(call: Callable[[], Any], *, formulas: Mapping[str, Formula] | None = None) -> CountedFlops:
    """FLOPs of everything that `call()` dispatches (backward too, when it calls it), by torch's FlopCounterMode.

    `formulas` maps operator names ("namespace::name") to functions of argument shapes; by default the CPU's fused
    attention and triangular systems, which torch counts as 0, and the selective scan are known. Works on the meta
    device, where attention falls apart into products that torch counts by itself. Names that are not registered
    operators are left out.
    """
    rules = {**_dispatch_formulas(), **(formulas or {})}
    packets = {packet: rule for name, rule in rules.items() if (packet := _packet(name)) is not None}
    counter = FlopCounterMode(display=False, custom_mapping=packets)
    log = OperatorLog()
    with log, counter:
        call()
    counts = counter.get_flop_counts().get("Global", {})
    by_operator = {packet_name(packet): float(count) for packet, count in counts.items()}
    known = {packet_name(packet) for packet in counter.flop_registry}
    uncounted = {name: calls for name, calls in log.calls.items() if name not in known and does_arithmetic(name)}
    circular = tuple(name for name in sorted(by_operator) if name in rules)
    return CountedFlops(
        sum(by_operator.values()), dict(sorted(by_operator.items())), uncounted, "FlopCounterMode", circular
    )


def _dispatch_formulas() -> dict[str, Formula]:
    """Formulas for operators that torch has none for."""
    return {
        "aten::_scaled_dot_product_flash_attention_for_cpu": attention_flops,
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward": attention_backward_flops,
        SCAN_OPERATOR: scan_flops,
        SCAN_BACKWARD_OPERATOR: scan_backward_flops,
        TRIANGULAR_OPERATOR: triangular_flops,
    }


def _packet(name: str) -> Any:
    """The operator packet of "namespace::name" (torch ignores a rule for one overload in silence), None if absent."""
    namespace, _, operator = name.partition("::")
    return getattr(getattr(torch.ops, namespace), operator, None)
