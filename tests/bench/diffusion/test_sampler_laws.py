"""Samplers with the exact posterior of a known chain: their laws, and that the checks see planted faults."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from bench.diffusion import generator_for
from bench.diffusion.samplers import ancestral, first_hitting, remask
from bench.diffusion.schedule import Schedule

DRAWS = 100_000
SAME, OTHER = 0.01, 1e-6  # p-values: a law that fits, a law that is seen not to


def start(chain, count: int = DRAWS) -> torch.Tensor:
    return torch.full((count, chain.length), chain.mask_id)


def p_value(chain, tokens: torch.Tensor, law: np.ndarray) -> float:
    return float(stats.chisquare(chain.counts(tokens), law * len(tokens)).pvalue)


def linear(steps: int) -> list[float]:
    return [step / steps for step in range(steps, -1, -1)]


def first_hitting_law_holds(chain, denoise: Callable[[torch.Tensor], torch.Tensor]) -> float:
    sample = first_hitting(
        denoise, start(chain), mask_id=chain.mask_id, forbidden_ids=[chain.pad_id], per_call=1,
        generator=generator_for("first-hitting law"),
    )  # fmt: skip
    assert set(sample.nfe) == {chain.length}
    return p_value(chain, sample.tokens_BL, chain.probabilities.numpy())


def test_first_hitting_one_by_one_is_the_chain(chain) -> None:
    model = chain(states=2, length=8, flip=0.3)  # 256 states, the rarest expected 11 times
    assert first_hitting_law_holds(model, model.denoise_fast) > SAME


@pytest.mark.parametrize(
    "fault", [lambda logits: logits.roll(1, dims=1), lambda logits: 1.1 * logits], ids=["shifted", "scaled by 1.1"]
)
def test_wrong_logits_are_seen(chain, fault: Callable[[torch.Tensor], torch.Tensor]) -> None:
    model = chain(states=2, length=8, flip=0.3)
    assert first_hitting_law_holds(model, lambda tokens: fault(model.denoise_fast(tokens))) < OTHER


def masked_counts(sampler, steps: int, length: int, count: int, **options: object) -> np.ndarray:
    """Number of masked tokens of each piece at the time of each call, (steps, count)."""
    seen: list[np.ndarray] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        seen.append((tokens == 2).sum(dim=1).numpy())
        return torch.zeros(*tokens.shape, 4)

    sampler(
        denoise, torch.full((count, length), 2), mask_id=2, forbidden_ids=[3], steps=steps,
        generator=generator_for("binomial"), **options,
    )  # fmt: skip
    return np.stack(seen)


def least_binomial_p(counts: np.ndarray, hidden: list[float], length: int) -> float:
    """The smallest p-value over the steps of a chi-square test of the counts against Binomial(length, hidden)."""
    found = []
    for row, share in zip(counts[1:], hidden[1:-1], strict=True):
        edges = stats.binom.ppf(np.linspace(0, 1, 11)[1:-1], length, share)  # about a tenth of the pieces in each bin
        edges = np.unique(edges[edges < length])
        law = np.diff(np.concatenate([[0], stats.binom.cdf(edges, length, share), [1]]))
        observed = np.bincount(np.searchsorted(edges, row), minlength=len(edges) + 1)
        found.append(stats.chisquare(observed, law * len(row)).pvalue)
    return float(min(found))


class Hasty(Schedule):
    """The planted fault: each step reveals 10 % more than it should."""

    def grid(self, steps: int) -> torch.Tensor:
        right = super().grid(steps)
        hidden = [1.0]
        for step in range(steps, 0, -1):
            rate = float((right[step - 1] - right[step]) / (1 - right[step]))
            hidden.append(hidden[-1] * max(1 - 1.1 * rate, 0.0))
        hidden[-1] = 0.0
        return 1 - torch.tensor(hidden[::-1], dtype=torch.float64)


STEPS, LENGTH, PIECES = 10, 200, 4000


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_number_still_masked_is_binomial(name: str) -> None:
    shares = linear(STEPS) if name == "linear" else [math.cos(math.pi / 2 * s / STEPS) for s in range(STEPS + 1)]
    counts = masked_counts(ancestral, STEPS, LENGTH, PIECES, schedule=Schedule(name))
    assert least_binomial_p(counts, shares, LENGTH) > SAME / STEPS


def test_a_reveal_rate_off_by_a_tenth_is_seen() -> None:
    counts = masked_counts(ancestral, STEPS, LENGTH, PIECES, schedule=Hasty())
    assert least_binomial_p(counts, linear(STEPS), LENGTH) < OTHER


@pytest.mark.parametrize(("remasking", "eta"), [("cap", 0.3), ("rescale", 0.5)])
def test_remasking_keeps_the_share_of_the_schedule(remasking: str, eta: float) -> None:
    counts = masked_counts(remask, STEPS, LENGTH, PIECES, remasking=remasking, eta=eta)
    assert least_binomial_p(counts, linear(STEPS), LENGTH) > SAME / STEPS
