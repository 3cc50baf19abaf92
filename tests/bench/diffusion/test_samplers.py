"""Samplers against enumerated laws, and the calls they count."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from bench.diffusion import SAMPLERS, AbsorbingDiffusion, DiffusionError, generator_for
from bench.diffusion.samplers import ancestral, cached
from bench.diffusion.samplers.sample import draw_tokens


def ancestral_law(chain, steps: int) -> np.ndarray:
    """Exact law of T ancestral steps with the exact posterior: over every order of reveals, those of a step alone."""
    law = np.zeros(len(chain.sequences))
    for when in itertools.product(range(steps), repeat=chain.length):  # linear: each position's step is uniform
        when = np.array(when)
        chance = np.full(len(chain.sequences), steps ** -float(chain.length))
        for step in range(steps):
            hidden = torch.from_numpy(when >= step)
            tokens = chain.sequences.masked_fill(hidden, chain.mask_id)
            posterior = chain.denoise(tokens).exp()
            now = np.flatnonzero(when == step)
            for position in now:
                token = chain.sequences[:, position]
                chance *= posterior[torch.arange(len(token)), position, token].numpy()
        law += chance
    return law


def counts_of(chain, tokens: torch.Tensor) -> np.ndarray:
    index = tokens.numpy() @ (chain.states ** np.arange(chain.length)[::-1])
    return np.bincount(index, minlength=len(chain.sequences))


@pytest.mark.parametrize("sampler", ["ancestral", "cached"])
@pytest.mark.parametrize("steps", [1, 3])
def test_law_is_the_enumerated_one(chain, sampler: str, steps: int) -> None:
    model = chain(states=2, length=4, flip=0.1)
    law = ancestral_law(model, steps)
    assert law.sum() == pytest.approx(1)
    process = AbsorbingDiffusion(model.mask_id, model.pad_id, steps=steps)
    sample = process.sample(
        model.denoise, length=4, count=30_000, generator=generator_for(sampler, steps), sampler=sampler
    )
    counts = counts_of(model, sample.tokens_BL)
    assert stats.chisquare(counts, law * 30_000).pvalue > 0.01
    # few steps are not the chain: the test would see the difference
    assert stats.chisquare(counts, model.probabilities.numpy() * 30_000).pvalue < 1e-6


def test_wrong_logits_are_seen(chain) -> None:
    model = chain(states=2, length=4, flip=0.1)
    process = AbsorbingDiffusion(model.mask_id, model.pad_id, steps=3)
    sample = process.sample(
        lambda tokens: model.denoise(tokens).clamp(min=-2), length=4, count=30_000, generator=generator_for("wrong")
    )
    assert stats.chisquare(counts_of(model, sample.tokens_BL), ancestral_law(model, 3) * 30_000).pvalue < 1e-6


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_number_still_masked_is_binomial(schedule: str) -> None:
    steps, length, count = 10, 64, 400
    masked: list[float] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        masked.append((tokens == 2).double().mean().item())
        return torch.zeros(*tokens.shape, 4)

    process = AbsorbingDiffusion(2, 3, steps=steps, schedule=schedule)
    process.sample(denoise, length=length, count=count, generator=generator_for("binomial", schedule))
    for step, share in zip(range(steps, 0, -1), masked, strict=True):
        hidden = step / steps if schedule == "linear" else math.cos(math.pi / 2 * (1 - step / steps))
        spread = math.sqrt(hidden * (1 - hidden) / (length * count))
        assert abs(share - hidden) <= 4 * spread + 1e-12, (step, share, hidden)


def test_cached_draws_what_ancestral_draws_with_fewer_calls() -> None:
    table = torch.randn(12, 12, generator=generator_for("table"))
    tokens = torch.full((6, 24), 10)
    calls: list[int] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        calls.append(len(tokens))
        shifted = torch.cat((tokens[:, 1:], tokens[:, :1]), dim=1)
        return table[tokens] + table[shifted]

    options = {"mask_id": 10, "steps": 100, "forbidden_ids": [11]}
    plain = ancestral(denoise, tokens, generator=generator_for("draw"), **options)
    assert plain.nfe == [100] * 6 and calls == [6] * 100
    calls.clear()
    saving = cached(denoise, tokens, generator=generator_for("draw"), **options)
    assert torch.equal(plain.tokens_BL, saving.tokens_BL)
    assert sum(saving.nfe) == sum(calls) < 600 and saving.nfe_mean == sum(calls) / 6


def test_cached_calls_are_as_few_as_the_formula_says() -> None:
    process = AbsorbingDiffusion(2, 3, steps=200)
    sample = process.sample(
        lambda x: torch.zeros(*x.shape, 4), length=64, count=300, generator=generator_for("nfe"), sampler="cached"
    )
    expected = 200 * (1 - (1 - 1 / 200) ** 64)  # 54.9
    assert sample.nfe_mean == pytest.approx(expected, abs=4 * np.std(sample.nfe) / math.sqrt(300))
    assert max(sample.nfe) <= 64


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_specials_are_never_drawn_and_no_mask_is_left(sampler: str) -> None:
    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*tokens.shape, 8)
        logits[..., 4:] = 50.0  # an untrained network may prefer MASK, PAD, BOS, EOS
        return logits

    process = AbsorbingDiffusion(4, 5, steps=7)
    sample = process.sample(
        denoise, length=40, count=5, generator=generator_for(0), sampler=sampler, forbidden_ids=(6, 7)
    )
    assert set(sample.tokens_BL.unique().tolist()) == {0, 1, 2, 3} and sample.tokens_BL.dtype == torch.int64


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_given_tokens_stay(sampler: str) -> None:
    tokens = torch.full((3, 10), 4)
    tokens[:, 2:5] = torch.tensor([1, 2, 3])
    fixed = torch.zeros(3, 10, dtype=torch.bool)
    fixed[:, 2:5] = True
    sample = SAMPLERS[sampler](
        lambda x: torch.zeros(*x.shape, 5), tokens, mask_id=4, steps=6, generator=generator_for(0), fixed=fixed
    )
    assert sample.tokens_BL[:, 2:5].tolist() == [[1, 2, 3]] * 3 and not (sample.tokens_BL == 4).any()
    assert tokens[0, 0] == 4  # the caller's tensor is untouched
    whole = SAMPLERS["cached"](
        lambda x: torch.zeros(*x.shape, 5), sample.tokens_BL, mask_id=4, steps=6, generator=generator_for(0)
    )
    assert whole.nfe == [0, 0, 0] and torch.equal(whole.tokens_BL, sample.tokens_BL)


def test_temperature_is_the_softmax_of_the_logits_divided() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 9.0])
    drawn = draw_tokens(logits.expand(60_000, 4), torch.tensor([3]), 0.5, generator_for("temperature"))
    law = torch.softmax(torch.tensor([0.0, 2.0, 4.0]), 0).numpy()
    counts = np.bincount(drawn.numpy(), minlength=4)
    assert counts[3] == 0 and stats.chisquare(counts[:3], law * 60_000).pvalue > 0.01
    assert draw_tokens(logits.expand(5, 4), torch.tensor([3]), 0.0, generator_for(0)).tolist() == [2] * 5


def test_sampling_leaves_the_module_as_it_was_and_uses_no_dropout() -> None:
    network = torch.nn.Sequential(torch.nn.Embedding(6, 6), torch.nn.Dropout(0.5)).train()
    modes: list[bool] = []
    network[1].register_forward_hook(lambda module, *_: modes.append(module.training))
    AbsorbingDiffusion(4, 5, steps=3).sample(network, length=4, count=2, generator=generator_for(0))
    assert modes == [False] * 3 and network.training


def test_progress_counts_the_steps_and_time_reaches_the_denoiser() -> None:
    seen, times = [], []

    def denoise(tokens: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        times.append(time.tolist())
        return torch.zeros(*tokens.shape, 6)

    process = AbsorbingDiffusion(4, 5, steps=4, time_input=True)
    process.sample(
        denoise, length=4, count=2, generator=generator_for(0), progress=lambda done, steps: seen.append((done, steps))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert times == [[1.0, 1.0], [0.75, 0.75], [0.5, 0.5], [0.25, 0.25]]


def test_errors_name_the_setting() -> None:
    process = AbsorbingDiffusion(4, 5)

    def sample(**options: object) -> None:
        call = {"length": 4, "count": 1, "generator": generator_for(0)} | options
        process.sample(lambda x: torch.zeros(*x.shape, 6), **call)

    for options, message in (
        ({"steps": 0}, "steps: 0 sampling steps are too few"),
        ({"temperature": -1.0}, "temperature: -1.0 is not allowed"),
        ({"sampler": "leap"}, "sampler: 'leap' is not known; allowed: ancestral, cached"),
        ({"length": 0}, "length, count: 0 tokens"),
        ({"fixed": torch.ones(1, 4, dtype=torch.bool)}, "fixed: a fixed position holds MASK"),
    ):
        with pytest.raises(DiffusionError, match=message):
            sample(**options)
