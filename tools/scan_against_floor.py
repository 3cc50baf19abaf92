"""The selective scan as a Mamba layer calls it, forward and backward: kernels in turns, beside the time that moving its
arguments and results alone would take."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from architectures.scan import selective_scan
from metrics.cost.latency import time_calls

Tensors = dict[str, torch.Tensor]


def scan_arguments(
    batch: int, channels: int, length: int, state: int, dtype: torch.dtype, device: torch.device | str
) -> Tensors:
    """Steps and decays as a Mamba layer has them at the start of training, with D, z and bias."""
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device=device).to(dtype).requires_grad_()

    decay = -torch.arange(1.0, state + 1, device=device).repeat(channels, 1)
    return {
        "u": normal(batch, channels, length), "delta": normal(batch, channels, length), "A": decay.requires_grad_(),
        "B": normal(batch, state, length), "C": normal(batch, state, length),
        "D": normal(channels, dtype=torch.float32), "z": normal(batch, channels, length),
        "delta_bias": normal(channels, dtype=torch.float32),
    }  # fmt: skip


def forward_and_backward(
    kernel: str, given: Tensors, gradient: torch.Tensor, reverse: bool = False
) -> tuple[torch.Tensor, ...]:
    """Output of one scan, and the gradients of all arguments."""
    y = selective_scan(**given, delta_softplus=True, kernel=kernel, reverse=reverse)  # type: ignore[arg-type]
    return (y, *torch.autograd.grad(y, list(given.values()), gradient))


def calls_of(kernels: Sequence[str], given: Tensors) -> dict[str, Callable[[], Any]]:
    """Kernel -> the call to be timed."""
    gradient = torch.randn_like(given["u"])
    return {name: partial(forward_and_backward, name, given, gradient) for name in kernels}


def floor_bytes(given: Tensors) -> int:
    """Forward: arguments in, y out. Backward: arguments and the gradient of y in, a gradient of each argument out."""
    arguments_bytes = sum(tensor.nbytes for tensor in given.values())
    return 3 * arguments_bytes + 2 * given["u"].nbytes


def medians_ms(
    calls: Mapping[str, Callable[[], Any]], rounds: int, calls_per_round: int, device: torch.device | str
) -> dict[str, float]:
    """Median milliseconds of each call after one untimed; all take turns. The plain torch scan, which launches several
    kernels a step, is called once a round."""
    samples_s: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            timed = time_calls(call, 1 if name == "torch" else calls_per_round, device=device)
            samples_s[name] += timed.samples_s
    return {name: 1e3 * statistics.median(one) for name, one in samples_s.items()}
