"""Computed memory against bytes counted on paper, and against what autograd truly keeps on a real device."""

from __future__ import annotations

import math
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional

from metrics.cost.computed_memory import ComputedMemory, batch_for, computed_memory, saved_bytes


def test_a_linear_layer_keeps_its_input():
    # float32: weight 8 x 4 and bias 4; the input (3, 8) is kept for the weight's gradient, sum keeps nothing
    layer, x = nn.Linear(8, 4), torch.randn(3, 8)
    memory = computed_memory(layer, lambda: layer(x).sum())
    weights = (8 * 4 + 4) * 4
    assert (memory.weight_bytes, memory.gradient_bytes, memory.optimiser_bytes) == (weights, weights, 2 * weights)
    assert memory.activation_bytes == 3 * 8 * 4
    assert memory.total_bytes == 4 * weights + 96 and memory.fixed_bytes == 4 * weights


def test_a_storage_that_two_operators_keep_counts_once():
    layer, x = nn.Linear(8, 8, bias=False), torch.randn(3, 8, requires_grad=True)
    assert saved_bytes(lambda: (layer(x) + layer(x)).sum(), layer) == 3 * 8 * 4


def test_nothing_of_the_forward_pass_outlives_it():
    layer, seen = nn.Linear(8, 8, bias=False), list[weakref.ref]()

    def forward():
        y = layer(torch.randn(3, 8)).exp()  # autograd keeps the result itself
        seen.append(weakref.ref(y))
        return y.sum()

    assert saved_bytes(forward, layer) == 2 * 3 * 8 * 4 and seen[0]() is None


def test_the_type_and_the_frozen_part_count():
    layer = nn.Linear(8, 4, bias=False).bfloat16()
    frozen = nn.Linear(4, 4, bias=False).bfloat16().requires_grad_(False)
    model = nn.Sequential(layer, frozen)
    x = torch.randn(3, 8, dtype=torch.bfloat16)
    memory = computed_memory(model, lambda: model(x).sum(), optimiser_dtype=torch.float32)
    assert memory.weight_bytes == (32 + 16) * 2 and memory.gradient_bytes == 32 * 2
    assert memory.optimiser_bytes == 2 * 32 * 4 and memory.activation_bytes == 3 * 8 * 2


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(32, 96, bias=False)

    def forward(self, x_BLD):
        q, k, v = self.project(x_BLD).unflatten(-1, (3, 4, 8)).permute(2, 0, 3, 1, 4)
        return functional.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("length", [64, 256])
def test_fused_attention_on_meta_is_what_the_cpu_keeps(length):
    real = Attention()
    x = torch.randn(2, length, 32)
    meta, x_meta = Attention().to("meta"), torch.empty(2, length, 32, device="meta")
    on_cpu = saved_bytes(lambda: real(x).sum(), real)
    assert saved_bytes(lambda: meta(x_meta).sum(), meta) == on_cpu
    # input, one storage of q k v, the output and one float32 a row for the softmax: no term in length squared
    assert on_cpu == 4 * (2 * length * (32 + 96 + 32) + 2 * 4 * length)


def test_unfused_attention_keeps_the_scores():
    meta = Attention().to("meta")
    short, long = (torch.empty(1, length, 32, device="meta") for length in (256, 512))
    more = [saved_bytes(lambda x=x: meta(x).sum(), meta, attention="unfused") for x in (short, long)]
    assert more[1] - more[0] >= 4 * 4 * (512**2 - 256**2)


def test_a_batch_that_gives_a_published_figure():
    memory = {b: ComputedMemory(1000, 1000, 2000, 50.0 + 100.0 * b) for b in (1, 2)}
    assert batch_for(4050 + 100 * 21.5, memory.__getitem__) == pytest.approx(21.5)
    assert math.isnan(batch_for(4100, memory.__getitem__))


def test_a_word_that_is_no_kind_of_attention_is_refused():
    with pytest.raises(ValueError, match="fused, unfused"):
        saved_bytes(lambda: torch.ones(1), nn.Linear(1, 1), attention="flash")


def test_what_is_kept_is_what_is_freed_by_the_backward_pass():
    """The computed bytes of a deep network against the peak that the process really had."""
    from metrics.cost.memory import CLEAR_REFS, memory_baseline, peak_memory

    if not CLEAR_REFS.exists():
        pytest.skip("the peak resident set cannot be reset here")
    layers = nn.Sequential(*[m for _ in range(12) for m in (nn.Linear(512, 512, bias=False), nn.GELU())])
    x = torch.randn(2048, 512)
    layers(x).sum().backward()
    layers.zero_grad()
    baseline = memory_baseline()
    kept = saved_bytes(lambda: layers(x).sum(), layers)
    peak = peak_memory(lambda: layers(x).sum(), baseline_bytes=baseline)
    # 12 times input of the product and input of the activation, 4 MiB each; the last output is not kept
    assert kept == 24 * 2048 * 512 * 4
    assert peak.peak_bytes == pytest.approx(kept, rel=0.06)
