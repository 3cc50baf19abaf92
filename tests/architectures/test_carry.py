"""The state at the start of each chunk: a loop, and by doubling."""

from __future__ import annotations

import pytest
import torch

from architectures.carry import starts_by_doubling, states_at_starts

BOTH = [states_at_starts, starts_by_doubling]


@pytest.mark.parametrize("starts", BOTH)
def test_halving_states_fed_with_ones_start_at_two_less_a_power_of_a_half(starts) -> None:
    found = starts(torch.ones(1, 6, 2), torch.full((1, 6, 1), 0.5))
    assert found[0, :, 0].tolist() == found[0, :, 1].tolist() == [0, 1, 1.5, 1.75, 1.875, 1.9375]


@pytest.mark.parametrize("count", [2, 3, 8, 13])
def test_doubling_gives_the_states_and_gradients_of_the_loop(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    written = torch.randn(2, count, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    decay = torch.rand(2, count, 3, 1, generator=generator, dtype=torch.float64, requires_grad=True)
    (loop, loop_gradients), (doubled, gradients) = (
        (found, torch.autograd.grad(found.square().sum(), (written, decay)))
        for found in (starts(written, decay) for starts in BOTH)
    )
    torch.testing.assert_close(doubled, loop)
    for one, other in zip(gradients, loop_gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_doubling_takes_a_number_of_steps_that_grows_with_the_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    sum_of = torch.addcmul
    monkeypatch.setattr(torch, "addcmul", lambda *given: taken.append(1) or sum_of(*given))
    starts_by_doubling(torch.ones(1, 128, 1), torch.ones(1, 128, 1))
    assert len(taken) == 7
