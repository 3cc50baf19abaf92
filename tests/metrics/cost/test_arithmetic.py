"""Operations of spelled-out computations, against counts on paper and against the formulas for fused kernels."""

from __future__ import annotations

import torch
from torch.nn import functional

from metrics.cost.flops import attention_flops


def test_a_product_an_addition_and_a_sum(count_arithmetic):
    a, b, c = torch.ones(4, 8), torch.ones(8, 2), torch.ones(4, 2)
    counts = count_arithmetic(lambda: (a @ b + c).exp().sum())
    assert counts == {"aten::mm": 2 * 4 * 8 * 2, "aten::add": 8, "aten::exp": 8, "aten::sum": 8}


def test_views_and_copies_count_nothing(count_arithmetic):
    assert count_arithmetic(lambda: torch.ones(4, 8).t().contiguous().reshape(-1)) == {}


def test_attention_spelled_out_has_the_products_of_the_formula(count_arithmetic):
    q, k, v = torch.randn(3, 2, 4, 32, 8, dtype=torch.float64).unbind()
    counts = count_arithmetic(lambda: (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1) @ v)
    assert counts["aten::bmm"] == attention_flops(q.shape, k.shape, v.shape) == 2 * 2 * 2 * 4 * 32 * 32 * 8
    assert counts["aten::_softmax"] == 5 * 2 * 4 * 32 * 32
    fused = functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(fused, (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1) @ v)
