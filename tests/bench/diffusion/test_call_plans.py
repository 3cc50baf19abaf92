"""Calls and FLOPs of a piece, predicted: against drawn pieces, a counter, and the growth that formulas give."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from architectures import build
from architectures.backbone import Backbone
from architectures.building import shapes_only
from architectures.catalog import resolve_backbone
from architectures.kernel_choice import countable
from bench.diffusion import SAMPLERS, AbsorbingDiffusion, Autoregressive, BlockDiffusion, generator_for
from bench.diffusion.samplers.calls import CallPlan, summed
from metrics.cost.flops import count_by_dispatch
from metrics.statistics.scaling import growth_exponent

MASK, PAD, VOCABULARY = 58, 59, 60
LENGTHS = (4096, 8192, 16384, 32768, 65536)
PLANS = {
    "full, 64 calls": lambda length: SAMPLERS["ancestral"].plan(length, 64),
    "full, L/2": lambda length: SAMPLERS["first-hitting"].plan(length, length // 2),
    "block 16": lambda length: SAMPLERS["block"].plan(length, None, 16, reveal=2),
    "autoregressive": lambda length: SAMPLERS["autoregressive"].plan(length, None),
}


def process_of(sampler: str, block: int) -> AbsorbingDiffusion:
    if sampler == "block":
        return BlockDiffusion(MASK, PAD, block=block)
    return Autoregressive(MASK, PAD) if sampler == "autoregressive" else AbsorbingDiffusion(MASK, PAD)


def test_calls_of_a_piece_in_numbers() -> None:
    assert SAMPLERS["block"].plan(2048, None, 16, reveal=2) == CallPlan(2048, 16, 8, commits=True)
    assert CallPlan(2048, 16, 8, commits=True).calls == 128 * 8 + 127
    assert CallPlan(2048, 16, 8, commits=True).blocks == 128
    assert SAMPLERS["autoregressive"].plan(2048, None) == CallPlan(2048, 1, 1)
    assert SAMPLERS["cached"].plan(100, 128) == CallPlan(100, 100, 100, most=True)
    assert SAMPLERS["semi-autoregressive"].plan(100, 128) is None


@pytest.mark.parametrize(
    ("sampler", "steps", "options"),
    [
        ("ancestral", 5, {}),
        ("first-hitting", 5, {}),
        ("first-hitting", None, {"per_call": 5}),
        ("confidence", 30, {}),
        ("autoregressive", None, {}),
        ("block", None, {"reveal": 1}),
        ("block", None, {"reveal": 4}),
        ("block", 11, {}),
        ("block", 9, {"inner": "ancestral"}),
        ("block-approximate", 9, {"inner": "confidence", "block": 6}),
    ],
)
def test_the_calls_of_a_piece_are_those_predicted(sampler: str, steps: int | None, options: dict[str, Any]) -> None:
    made = build("A(causal)", vocab_size=VOCABULARY, seed=0, width=8, head_width=8, stride=1)
    sample = process_of(sampler, 6).sample(
        made, length=24, count=2, sampler=sampler, steps=steps, generator=generator_for(0), **options
    )
    found = SAMPLERS[sampler].plan(24, steps, 6, **options)
    assert found is not None and sample.nfe == [found.calls] * 2


@pytest.mark.parametrize(
    ("pattern", "block", "reveal"),
    [
        ("AF", 16, 2),
        ("A(window=8)F", 16, 2),
        ("MF", 16, 2),
        ("M(bidirectional)F", 4, 1),
        ("SGC", 16, 4),
        ("DFA", 16, 2),
        ("MFA", 64, 8),
    ],
)
def test_the_flops_of_a_piece_are_those_that_a_counter_finds(
    pattern: str, block: int, reveal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build(pattern, vocab_size=VOCABULARY, seed=0, width=32, head_width=16, stride=1)
    counted = counted_flops(made, "block", block, monkeypatch, reveal=reveal)
    plan = SAMPLERS["block"].plan(64, None, block, reveal=reveal)
    assert counted == pytest.approx(plan.flops(made), rel=0.02)
    assert plan.flops(made) != pytest.approx(CallPlan(64, block, block // reveal).flops(made), rel=0.02) or block == 64


def test_the_flops_of_an_autoregressive_piece_are_those_that_a_counter_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    made = build("A(causal)FMSGC(causal)", vocab_size=VOCABULARY, seed=0, width=32, head_width=16, stride=1)
    counted = counted_flops(made, "autoregressive", 1, monkeypatch)
    assert counted == pytest.approx(CallPlan(64, 1, 1).flops(made), rel=0.02)


def counted_flops(made: Any, sampler: str, block: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> float:
    """FLOPs of a drawn piece of 64 tokens, by dispatch; the counter does not work in inference mode."""
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    process, options = process_of(sampler, block), {"generator": generator_for(0)} | options
    with countable():
        return count_by_dispatch(lambda: process.sample(made, length=64, count=1, sampler=sampler, **options)).products


@pytest.mark.parametrize(
    ("pattern", "width", "exponents"),
    [
        ("AF", 224, (1.90, 2.90, 1.83, 1.83)),
        ("M(bidirectional)F", 200, (1.0, 2.0, 1.0, 1.0)),
        ("A(window=64)F", 224, (1.0, 2.0, 1.0, 1.0)),
    ],
)
def test_how_the_flops_of_a_piece_grow(pattern: str, width: int, exponents: tuple[float, ...]) -> None:
    """From 4k to 64k tokens at 2 M parameters and stride 1; `full` is 64 calls and L/2 calls."""
    made = network(pattern, width)
    for plan, expected in zip(PLANS.values(), exponents, strict=True):
        flops = [plan(length).flops(made) for length in LENGTHS]
        assert growth_exponent(LENGTHS, [flops]).value == pytest.approx(expected, abs=0.03)


def test_the_flops_of_a_piece_of_2048_tokens_in_numbers() -> None:
    made = network("AF", 224)
    tera = [plan(2048).flops(made) / 1e12 for plan in PLANS.values()]
    assert tera == pytest.approx([1.22, 19.5, 0.120, 0.0134], rel=0.01)


def network(pattern: str, width: int) -> Backbone:
    """About 2 M parameters, without weights."""
    with shapes_only():
        return Backbone(resolve_backbone(pattern, 222, width=width, stride=1, depth=3))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 1000])
@pytest.mark.parametrize("edge", [0, 1, 2, 700, 2000])
def test_a_sum_over_calls_takes_few_of_them(count: int, edge: int) -> None:
    calls = []

    def cost(index: int) -> float:
        calls.append(index)
        return 5e9 if index == 0 else 7.0 + 3.0 * min(index, edge)

    expected = sum([5e9 if index == 0 else 7.0 + 3.0 * min(index, edge) for index in range(count)])
    assert summed(cost, count) == pytest.approx(expected, rel=1e-12)
    assert len(calls) <= 40
