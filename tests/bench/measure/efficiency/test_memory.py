"""Computed training memory of backbones that are never built, against what autograd keeps on a CPU."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from architectures.backbone import Backbone
from architectures.catalog import resolve
from bench.measure.efficiency.memory import batch_at, training_memory
from metrics.cost.computed_memory import saved_bytes


@pytest.mark.parametrize("arm", ["transformer", "smdim"])
def test_meta_knows_what_a_cpu_keeps_with_the_operators_of_torch(arm, monkeypatch):
    monkeypatch.setenv("SMDIM_BENCH_CONVOLUTION_KERNEL", "torch")  # the compiled one keeps its argument alone
    config = resolve(arm, vocab_size=30, width=32)
    real, tokens_BL = Backbone(config), torch.randint(0, 30, (2, 64))
    kept = saved_bytes(lambda: functional.cross_entropy(real(tokens_BL).flatten(0, 1), tokens_BL.flatten()), real)
    computed = training_memory(config, 64, batch=2)
    assert computed.activation_bytes == kept
    assert computed.weight_bytes == 4 * sum(weight.numel() for weight in real.parameters())


def test_the_batch_that_fills_a_memory_fills_it():
    config = resolve("transformer", vocab_size=30, width=32)
    target_bytes = training_memory(config, 128, batch=7).total_bytes
    assert batch_at(config, 128, target_bytes) == pytest.approx(7)
    assert math.isnan(batch_at(config, 128, 1000.0))


def test_scores_that_are_kept_leave_room_for_fewer_sequences():
    config = resolve("transformer", vocab_size=30, width=32)
    assert batch_at(config, 2048, 1e9, attention="unfused") < batch_at(config, 2048, 1e9)


def test_half_precision_weighs_half():
    config = resolve("transformer", vocab_size=30, width=32)
    whole, half = (training_memory(config, 64, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert half.fixed_bytes * 2 == whole.fixed_bytes
