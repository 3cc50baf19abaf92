"""Scan, attention, a denoising step and a training step, per arm and length, for comparison with an earlier run.

`make compare` runs these beside the run that is stored for two CPU cores; with SAVE=NAME it stores this run. Or, with
any options of pytest-benchmark:

    pytest tests/benchmarks/test_cost_benchmark.py --benchmark-storage=file://FOLDER --benchmark-compare

A comparison with a run of another kind of machine tells of the machines. Sizes are those of the quickstart. Nothing
fails because a machine is slow, unless --benchmark-compare-fail asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from architectures import build
from architectures.scan import selective_scan

ARMS = ("smdim", "transformer", "mamba", "mamba-causal", "mamba2", "hyena", "gla")
LENGTHS = (256, 512, 1024, 2048)
WIDTH, LAYERS, STRIDE, HEADS, STATE = 224, 6, 4, 7, 16
VOCABULARY = 256
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SLOWEST_S = 1.0


@pytest.fixture(autouse=True)
def all_cores() -> None:
    torch.set_num_threads(os.cpu_count() or 1)


def timed(benchmark: Any, call: Callable[[], Any], device: str, **told: Any) -> None:
    """Rounds for about a second, at least five; the device is idle whenever the clock is read."""

    def settled() -> None:
        call()
        if device == "cuda":
            torch.cuda.synchronize()

    settled()
    benchmark.extra_info.update({"device": device, "threads": torch.get_num_threads(), **told})
    benchmark(settled)


@pytest.mark.benchmark(group="scan", max_time=SLOWEST_S, min_rounds=5)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("pass_", ["forward", "both"])
def test_scan(benchmark: Any, pass_: str, length: int, device: str) -> None:
    """One selective scan over `length` tokens behind the stem: 2 WIDTH channels, 16 states, batch 1."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device).requires_grad_(pass_ == "both")

    steps, channels = length // STRIDE, 2 * WIDTH
    u, B, C = random(1, channels, steps), random(1, STATE, steps), random(1, STATE, steps)
    delta = functional.softplus(random(1, channels, steps).detach() - 4).requires_grad_(pass_ == "both")
    A = -torch.arange(1.0, STATE + 1).repeat(channels, 1).to(device)

    def call() -> None:
        y = selective_scan(u, delta, A, B, C)
        if pass_ == "both":
            torch.autograd.grad(y.sum(), (u, delta, B, C))

    timed(benchmark, call, device)


@pytest.mark.benchmark(group="attention", max_time=SLOWEST_S, min_rounds=5)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("pass_", ["forward", "both"])
def test_attention(benchmark: Any, pass_: str, length: int, device: str) -> None:
    """Scaled dot-product attention of 7 heads of 32 over `length` tokens behind the stem, batch 1."""
    shape = (3, 1, HEADS, length // STRIDE, WIDTH // HEADS)
    qkv = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_(pass_ == "both")

    def call() -> None:
        y = functional.scaled_dot_product_attention(*qkv)
        if pass_ == "both":
            torch.autograd.grad(y.sum(), qkv)

    timed(benchmark, call, device)


@pytest.mark.benchmark(group="denoising step", max_time=SLOWEST_S, min_rounds=5)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("arm", ARMS)
def test_denoising_step(benchmark: Any, arm: str, length: int, device: str) -> None:
    """One forward pass of the backbone as a sampler calls it, batch 1."""
    backbone = build(arm, vocab_size=VOCABULARY, width=WIDTH, layers=LAYERS, stride=STRIDE, seed=0).to(device).eval()
    tokens_BL = tokens(length, device)

    def call() -> None:
        with torch.inference_mode():
            backbone(tokens_BL)

    timed(benchmark, call, device, kernels=str(backbone.kernels()))


@pytest.mark.benchmark(group="training step", max_time=SLOWEST_S, min_rounds=5)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("arm", ARMS)
def test_training_step(benchmark: Any, arm: str, length: int, device: str) -> None:
    """Forward, backward and AdamW on one sequence; the loss is the cross-entropy of all tokens."""
    backbone = build(arm, vocab_size=VOCABULARY, width=WIDTH, layers=LAYERS, stride=STRIDE, seed=0).to(device).train()
    optimiser = torch.optim.AdamW(backbone.parameters(), lr=1e-6, fused=True)
    tokens_BL = tokens(length, device)

    def call() -> None:
        functional.cross_entropy(backbone(tokens_BL).flatten(0, 1), tokens_BL.flatten()).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    timed(benchmark, call, device, kernels=str(backbone.kernels()))


def tokens(length: int, device: str) -> torch.Tensor:
    """Random tokens (1, L)."""
    return torch.randint(0, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(0)).to(device)
