"""Which attention kernel ran, read from the operators that were dispatched."""

from __future__ import annotations

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from metrics.cost.kernels import OperatorLog, attention_kernel, does_arithmetic

QUERY = torch.randn(1, 2, 8, 4)


def attend():
    return functional.scaled_dot_product_attention(QUERY, QUERY, QUERY)


def test_the_fused_kernel_of_the_cpu_is_named():
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert attention_kernel(attend) == "flash_cpu"


def test_a_fallback_to_plain_products_does_not_go_unnoticed():
    with sdpa_kernel(SDPBackend.MATH):
        assert attention_kernel(attend) == "math"


def test_inference_mode_does_not_hide_the_kernel():
    with torch.inference_mode(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert attention_kernel(attend) == "flash_cpu"


def test_a_mixture_is_told():
    def both():
        with sdpa_kernel(SDPBackend.MATH):
            attend()
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            attend()

    assert attention_kernel(both) == "flash_cpu+math"


def test_no_attention_no_kernel():
    assert attention_kernel(lambda: QUERY @ QUERY.transpose(-1, -2)) == ""


def test_operators_are_counted_forward_and_backward():
    weight = torch.ones(3, 3, requires_grad=True)
    with OperatorLog() as log:
        (torch.ones(2, 3) @ weight).sum().backward()
    calls = log.calls
    assert calls["aten::mm"] == 2


def test_movement_is_not_arithmetic():
    assert does_arithmetic("aten::mul") and not does_arithmetic("aten::view")
