"""Batches made ahead are those that are made when asked for."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from bench.diffusion import AbsorbingDiffusion
from bench.diffusion.noised import Noised
from bench.training import TrainingError
from bench.training.batches import WindowBatches
from bench.training.preparation import Preparation

PARTS = [slice(0, 2), slice(2, 4)]
STEPS = (0, 0, 1, 2, 5, 6, 3)  # a step again (the untimed one), one after another, a jump ahead and back


def prepare(windows: np.ndarray, **options: Any) -> list[list[Noised]]:
    process = AbsorbingDiffusion(6, 7, steps=50)
    preparation = Preparation(WindowBatches(windows), process, seed=3, batch=4, parts=PARTS, **options)
    try:
        return [preparation.of(step) for step in STEPS]
    finally:
        preparation.close()


def assert_equal(first: list[list[Noised]], second: list[list[Noised]]) -> None:
    for one, other in zip(first, second, strict=True):
        assert one[0].token_count == other[0].token_count and len(one) == len(other) == 2
        for part, twin in zip(one, other, strict=True):
            assert torch.equal(part.tokens_BL, twin.tokens_BL) and torch.equal(part.time_B, twin.time_B)
            for name in ("index_N", "clean_N", "weight_N", "elbo_weight_N"):
                assert torch.equal(getattr(part.found_targets(), name), getattr(twin.found_targets(), name))


@pytest.fixture
def windows() -> np.ndarray:
    tokens = np.random.default_rng(0).integers(0, 6, (40, 24))
    tokens[0, 20:] = 7
    return tokens


def test_ahead_or_not_the_draws_are_the_same(windows: np.ndarray) -> None:
    plain = prepare(windows)
    assert_equal(plain, prepare(windows, ahead=True))
    assert torch.equal(plain[0][0].tokens_BL, plain[1][0].tokens_BL)
    assert not torch.equal(plain[1][0].tokens_BL, plain[2][0].tokens_BL)


def test_targets_are_the_masked_positions_with_their_weights(windows: np.ndarray) -> None:
    part = prepare(windows)[0][1]
    targets = part.found_targets()
    places = [(row, column) for row in range(2) for column in range(24) if part.masked_BL[row, column]]
    assert targets.index_N.tolist() == [24 * row + column for row, column in places]
    assert targets.clean_N.tolist() == [int(part.clean_BL[place]) for place in places]
    weights = [float(part.weight_B[row]) / part.normaliser for row, _ in places]
    assert targets.weight_N.tolist() == pytest.approx(weights, rel=1e-6)


def test_the_thread_ends_and_what_fails_in_it_is_told(windows: np.ndarray) -> None:
    before = set(threading.enumerate())  # of other tests' threads some may end meanwhile
    prepare(windows, ahead=True)
    assert set(threading.enumerate()) <= before
    with pytest.raises(TrainingError, match="3 windows for a batch of 4"):
        prepare(windows[:3], ahead=True)


@pytest.mark.parametrize(("device", "index"), [("cuda", 3), ("cuda:1", 1)])
def test_the_thread_works_for_the_gpu_of_the_run(
    windows: np.ndarray, monkeypatch: pytest.MonkeyPatch, device: str, index: int
) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    assert_equal(prepare(windows), prepare(windows, ahead=True, gpu=torch.device(device)))
    assert told == [index]


def test_a_run_with_batches_made_ahead_ends_with_the_same_bits(run, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"steps": 7, "accumulation": 2, "validations": 2}
    plain = run(folder="plain", **settings)[1].state_dict()
    prepare_ahead = lambda *given, ahead, **options: Preparation(*given, ahead=True, **options)  # noqa: E731
    monkeypatch.setattr("bench.training.trainer.Preparation", prepare_ahead)
    ahead = run(folder="ahead", **settings)[1].state_dict()
    assert all(torch.equal(plain[name], ahead[name]) for name in plain)


@pytest.mark.gpu
@pytest.mark.gpu_short
def test_batches_for_a_gpu_are_page_locked_and_equal(windows: np.ndarray) -> None:
    fetched = prepare(windows, ahead=True, gpu=torch.device("cuda"))
    assert all(part.tokens_BL.is_pinned() and part.found_targets().index_N.is_pinned() for part in fetched[3])
    assert_equal(prepare(windows), fetched)
