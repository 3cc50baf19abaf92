"""Counts of kernels, transfers and waits in a profile, and of operators by dispatch."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from metrics.cost.launches import Launches, count_launches, count_operators, launches_of


def event(name: str, device_type: DeviceType = DeviceType.CPU, annotation: bool = False) -> SimpleNamespace:
    return SimpleNamespace(name=name, device_type=device_type, is_user_annotation=annotation)


def test_kernels_transfers_and_waits_of_a_profile_are_told_apart() -> None:
    gpu = DeviceType.CUDA
    events = [
        event("aten::mm"),
        event("cudaLaunchKernel"),
        event("sm90_xmma_gemm_bf16", gpu),
        event("void at::native::vectorized_elementwise_kernel<4>", gpu),
        event("Memcpy HtoD (Pinned -> Device)", gpu),
        event("Memset (Device)", gpu),
        event("part: 00 attention", gpu, annotation=True),
        event("cudaStreamSynchronize"),
        event("cudaDeviceSynchronize"),  # the profiler's own
    ]
    assert launches_of(events) == Launches(kernels=2, transfers=2, waits=1)
    assert launches_of(events[:2]) == Launches(0, 0, 0)


def test_operators_that_compute_or_copy_are_counted_and_views_are_not() -> None:
    x = torch.ones(2, 3)

    def call() -> torch.Tensor:
        product = (x.t() @ x + 1).view(9)[None]
        torch.empty(3).copy_(torch.zeros(3))
        return product.expand(2, 9).contiguous().unflatten(1, (3, 3))

    assert count_operators(call) == Counter({"mm": 1, "add": 1, "zeros": 1, "copy_": 1, "clone": 1})


def test_kernels_cannot_be_counted_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device"):
        count_launches(lambda: None)


@pytest.mark.gpu
@pytest.mark.gpu_short
def test_a_product_on_a_gpu_is_a_kernel_and_reading_its_value_a_wait() -> None:
    x = torch.ones(64, 64, device="cuda")
    alone = count_launches(lambda: x @ x)
    assert alone.kernels >= 1 and alone.waits == 0
    assert count_launches(lambda: float((x @ x).sum())).waits == 1
