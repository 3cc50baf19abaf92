"""Peak memory of calls whose size is known: within 3 %."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import nn

from metrics.cost import memory
from metrics.cost.memory import (
    growth_limited,
    largest_that_fits,
    limit_growth,
    limit_lifted,
    memory_baseline,
    peak_memory,
    private_bytes,
    requested_bytes,
)

MIB = 2**20
needs_proc = pytest.mark.skipif(
    not memory.CLEAR_REFS.exists(),
    reason="the peak resident set can only be reset where there is /proc/self/clear_refs",
)


@needs_proc
def test_one_tensor_of_known_size():
    peak = peak_memory(lambda: torch.ones(100 * MIB // 4))
    assert peak.peak_bytes == pytest.approx(100 * MIB, rel=0.03) and peak.kind == "resident" and peak.reason == ""


@needs_proc
def test_an_earlier_and_larger_call_does_not_pollute_the_peak():
    peak_memory(lambda: torch.ones(200 * MIB // 4))
    assert peak_memory(lambda: torch.ones(64 * MIB // 4)).peak_bytes == pytest.approx(64 * MIB, rel=0.03)


@needs_proc
def test_many_small_blocks_are_returned_before_the_next_measurement():
    peak_memory(lambda: [torch.ones(1024) for _ in range(20_000)])
    assert peak_memory(lambda: torch.ones(64 * MIB // 4)).peak_bytes == pytest.approx(64 * MIB, rel=0.03)


@needs_proc
def test_a_linear_layer_in_training_with_its_optimiser():
    # 4096 x 4096 float32 = 64 MiB: weight, gradient and two Adam moments make 256 MiB; the fused step needs no
    # temporaries. Input and output (16 x 4096) are 0.25 MiB each.
    def train(layer, optimiser):
        layer(torch.ones(16, 4096)).sum().backward()
        optimiser.step()

    def build():
        layer = nn.Linear(4096, 4096, bias=False)
        return layer, torch.optim.AdamW(layer.parameters(), fused=True)

    train(*build())
    baseline = memory_baseline()
    layer, optimiser = build()
    peak = peak_memory(lambda: train(layer, optimiser), baseline_bytes=baseline)
    assert peak.peak_bytes == pytest.approx(4 * 64 * MIB, rel=0.03)


def test_a_device_that_does_not_tell_gives_nan_and_a_reason():
    peak = peak_memory(lambda: None, device="meta")
    assert math.isnan(peak.peak_bytes) and "not available on meta" in peak.reason


def test_where_the_mark_cannot_be_reset_the_reason_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "absent" / "clear_refs")
    ran = []
    peak = peak_memory(lambda: ran.append(1))
    assert ran and math.isnan(peak.peak_bytes) and "cannot be reset" in peak.reason


@pytest.mark.gpu
@pytest.mark.gpu_short
def test_cuda_peak_of_one_tensor():
    peak = peak_memory(lambda: torch.ones(100 * MIB // 4, device="cuda"), device="cuda")
    assert peak.peak_bytes == 100 * MIB and peak.reserved_bytes >= peak.peak_bytes and peak.device_bytes > 0


@pytest.mark.parametrize("most", [0, 1, 2, 7, 8, 100, 1000])
def test_the_largest_size_that_fits_is_found(most):
    tried = []

    def fits(size):
        tried.append(size)
        return size <= most * 4

    assert largest_that_fits(fits, step=4, limit=4 * 512) == 4 * min(most, 512)
    assert len(tried) <= 20 and all(size % 4 == 0 for size in tried)


def test_a_step_over_the_limit_is_refused():
    with pytest.raises(ValueError, match="at least one step"):
        largest_that_fits(lambda size: True, step=8, limit=4)


@pytest.mark.parametrize("growth", [0.0, -1.0, math.nan])
def test_a_limit_that_is_not_positive_is_refused(growth):
    with pytest.raises(ValueError, match="must be positive"):
        limit_growth(growth)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits private memory on Linux only")
def test_growth_is_limited_inside_the_block_only():
    with growth_limited(private_bytes(), 64 * MIB):
        torch.ones(8 * MIB // 4)
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            torch.ones(2**30)
    assert torch.ones(256 * MIB // 4).sum() == 64 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits private memory on Linux only")
def test_a_limit_can_be_lifted_for_a_while():
    with growth_limited(private_bytes(), 64 * MIB):
        with limit_lifted():
            assert torch.ones(128 * MIB // 4).numel() == 32 * MIB
        with pytest.raises(RuntimeError):
            torch.ones(2**30)


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes. Error code 12", 4096),
        ("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 8.00 GiB", 1.5 * 2**30),
        ("Unable to allocate 3.00 MiB for an array with shape (3, 1024, 128)", 3 * 2**20),
    ],
)
def test_the_size_asked_for_is_read_off_what_allocators_say(words, size):
    assert requested_bytes(RuntimeError(words)) == size


def test_a_size_that_is_not_told_is_not_known():
    assert math.isnan(requested_bytes(RuntimeError("could not create a primitive")))
