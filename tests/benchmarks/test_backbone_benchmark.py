"""A training step of whole backbones on the CPU: tokens a second, and how much of it is the selective scan."""

from __future__ import annotations

import os
import statistics
import time

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from architectures import Backbone, build, count_parameters

VOCAB = 256
WIDTH = 256
STRIDE = 4
LENGTH = 2048
BATCH = 4
ROUNDS = 5
SCAN_EVENTS = ("smdim_bench::selective_scan", "smdim_bench::selective_scan_backward")
ARMS = ("smdim", "transformer", "mamba", "mamba2")


class TrainingStep:
    """Forward, backward and AdamW on one batch; the loss is the cross-entropy of all tokens."""

    def __init__(self, arm: str) -> None:
        self.backbone: Backbone = build(arm, vocab_size=VOCAB, width=WIDTH, stride=STRIDE, layers=24, seed=0)
        self.optimiser = torch.optim.AdamW(self.backbone.parameters(), lr=1e-4)
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(0, VOCAB, (BATCH, LENGTH), generator=generator)

    def __call__(self) -> None:
        logits = self.backbone(self.tokens)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), self.tokens.flatten()).backward()
        self.optimiser.step()
        self.optimiser.zero_grad()

    def scan_share(self) -> float:
        """Share of a step's time spent in the scan's operators, forward and backward; 0 where there is no scan."""
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            started_s = time.perf_counter()
            self()
            elapsed_s = time.perf_counter() - started_s
        events = {event.key: event.cpu_time_total for event in recorded.key_averages()}
        return sum(events.get(name, 0.0) for name in SCAN_EVENTS) * 1e-6 / elapsed_s


@pytest.mark.parametrize("arm", ARMS)
def test_training_step(benchmark, arm):
    """8 blocks of MFA, or 24 mixers of another arm, width 256, stride 4, L 2048, batch 4, float32."""
    torch.set_num_threads(os.cpu_count() or 1)
    step = TrainingStep(arm)
    benchmark.pedantic(step, rounds=ROUNDS, warmup_rounds=2)
    shares = [step.scan_share() for _ in range(3)]
    share = statistics.median(shares)
    tokens_a_second = BATCH * LENGTH / benchmark.stats.stats.median
    figures = {
        "arm": arm,
        "tokens_per_s": round(tokens_a_second),
        "scan_share": round(share, 3),
        "kernels": step.backbone.kernels(),
        "parameters": count_parameters(step.backbone),
        "threads": torch.get_num_threads(),
    }
    benchmark.extra_info.update(figures)
    print(f"\n{figures}")
    assert (share > 0) == ("scan" in step.backbone.kernels())
    assert share < 0.5
