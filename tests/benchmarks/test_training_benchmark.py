"""What the trainer costs beside a plain loop, and whether its memory stays flat.

Run with `pytest tests/benchmarks/test_training_benchmark.py -s`; it prints, and asserts nothing about time.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from architectures import build
from bench.diffusion import AbsorbingDiffusion, generator_for
from bench.training import TrainSettings
from bench.training.optimiser import build_optimiser
from bench.training.trainer import train

VOCABULARY, MASK, PAD, LENGTH, BATCH = 290, 288, 289, 1024, 8
WARM_STEPS, TIMED_STEPS, ROUNDS = 2, 10, 5


def make_backbone() -> nn.Module:
    return build("AF*4", vocab_size=VOCABULARY, seed=0, width=192, stride=4)


def make_windows(count: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, MASK, (count, LENGTH)).astype(np.uint16)


def settings(steps: int) -> TrainSettings:
    return TrainSettings(steps=steps, batch=BATCH, device="cpu", validations=0, checkpoint_seconds=None)


class PlainLoop:
    """The least one would write: random rows, random masks, AdamW, clipping."""

    def __init__(self) -> None:
        self.backbone, self.windows = make_backbone().train(), torch.from_numpy(make_windows().astype(np.int64))
        self.optimiser = build_optimiser(self.backbone, settings(1))
        self.diffusion = AbsorbingDiffusion(MASK, PAD)

    def step(self) -> None:
        clean = self.windows[torch.randint(len(self.windows), (BATCH,))]
        loss = self.diffusion.loss(self.backbone, clean, torch.default_generator).loss
        loss.backward()
        nn.utils.clip_grad_norm_(self.backbone.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def trainer_seconds(folder: Path) -> list[float]:
    """Seconds a step of the trainer, warm steps left out; the clock is read where the trainer asks whether to stop."""
    marks: list[float] = []

    def mark() -> bool:
        marks.append(time.perf_counter())
        return False

    train(
        make_backbone(), make_windows(), None, AbsorbingDiffusion(MASK, PAD), settings(WARM_STEPS + TIMED_STEPS),
        seed=0, folder=folder, stop=mark,
    )  # fmt: skip
    return np.diff(marks)[WARM_STEPS - 1 :].tolist()


def plain_seconds() -> list[float]:
    loop, seconds = PlainLoop(), []
    for _ in range(WARM_STEPS + TIMED_STEPS):
        started = time.perf_counter()
        loop.step()
        seconds.append(time.perf_counter() - started)
    return seconds[WARM_STEPS:]


def test_beside_a_plain_loop(benchmark, tmp_path: Path) -> None:
    """Both in one run, taking turns, at L = 1024 and batch 8."""
    taken: dict[str, list[float]] = defaultdict(list)

    def rounds() -> None:
        for turn in range(ROUNDS):
            taken["plain"] += plain_seconds()
            taken["trainer"] += trainer_seconds(tmp_path / str(turn))

    benchmark.pedantic(rounds, rounds=1, iterations=1)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    least = {name: min(values) for name, values in taken.items()}
    for name, figures in (("median", medians), ("least", least)):
        slower = 100 * (figures["trainer"] / figures["plain"] - 1)
        print(
            f"\n{name}: plain loop {1e3 * figures['plain']:.1f} ms, trainer {1e3 * figures['trainer']:.1f} ms a step "
            f"({slower:+.1f} %), n = {len(taken['plain'])}"
        )


def test_time_outside_forward_backward_and_optimiser(
    benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Share of a step spent on data, noise, clipping, averaging, logging."""
    inside = [0.0]

    def timed(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: object, **options: object) -> object:
            started = time.perf_counter()
            result = original(*arguments, **options)
            inside[0] += time.perf_counter() - started
            return result

        monkeypatch.setattr(owner, name, call)

    from bench.training.devices import Devices

    timed(AbsorbingDiffusion, "loss_of")
    timed(Devices, "backward")
    timed(torch.optim.AdamW, "step")
    result = benchmark.pedantic(
        lambda: train(
            make_backbone(), make_windows(), None, AbsorbingDiffusion(MASK, PAD), settings(30), seed=0, folder=tmp_path,
        ),
        rounds=1, iterations=1,
    )  # fmt: skip
    outside = result.seconds - inside[0]
    print(f"\noutside forward, backward, optimiser: {100 * outside / result.seconds:.2f} % of {result.seconds:.1f} s")


def test_memory_stays_flat_over_a_thousand_steps(benchmark, tmp_path: Path) -> None:
    """Peak resident memory at step 100 and at step 1,000 (small, so that it ends)."""
    peaks: dict[int, int] = {}

    def report(progress: object) -> None:
        peaks[progress.step] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # type: ignore[attr-defined]

    backbone = build("MFA*1", vocab_size=VOCABULARY, seed=0, width=64, stride=4)
    windows = make_windows()[:, :128]
    chosen = TrainSettings(steps=1000, batch=4, device="cpu", validations=4, checkpoint_steps=100)
    process = AbsorbingDiffusion(MASK, PAD)
    benchmark.pedantic(
        lambda: train(backbone, windows, windows[:8], process, chosen, seed=0, folder=tmp_path, progress=report),
        rounds=1,
        iterations=1,
    )
    grown = (peaks[1000] - peaks[250]) / 1024
    print(f"\npeak memory {peaks[250] / 1024:.1f} MiB at step 250, {grown:+.1f} MiB more at step 1,000")
    assert grown < 0.05 * peaks[250] / 1024


def test_noise_and_batch_are_cheap(benchmark) -> None:
    """One batch and its noise at L = 1024, batch 8."""
    diffusion, windows = AbsorbingDiffusion(MASK, PAD), torch.from_numpy(make_windows(BATCH).astype(np.int64))
    benchmark(lambda: diffusion.noise(windows, generator_for(0, 1, "noise")))
