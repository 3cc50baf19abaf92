"""Samplers that follow no exact law: what they keep to all the same, and their bias on a known chain, printed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.diffusion import AbsorbingDiffusion, DiffusionError, generator_for
from bench.diffusion.samplers import (
    SampleRequest,
    cached,
    confidence,
    first_hitting,
    in_windows,
    remask,
    semi_autoregressive,
)
from bench.diffusion.samplers.confidence import counts_left
from bench.diffusion.samplers.semi_autoregressive import window_plan
from bench.diffusion.schedule import SCHEDULES, Schedule

COUNT = 20_000


def bias(chain, tokens: torch.Tensor) -> tuple[float, float]:
    """Total variation to the chain, and the share of neighbours that are equal beyond the chain's own."""
    law = chain.counts(tokens) / len(tokens)
    total_variation = 0.5 * np.abs(law - chain.probabilities.numpy()).sum()
    return float(total_variation), float((tokens[:, 1:] == tokens[:, :-1]).double().mean() - (1 - chain.flip))


def draw(chain, sampler, name: str, **options: object) -> torch.Tensor:
    start = torch.full((COUNT, chain.length), chain.mask_id)
    sample = sampler(
        chain.denoise_fast, start, mask_id=chain.mask_id, forbidden_ids=[chain.pad_id], generator=generator_for(name),
        **options,
    )  # fmt: skip
    assert not (sample.tokens_BL >= chain.states).any()
    return sample.tokens_BL


def test_the_surest_first_repeats_itself_and_remasking_stays_near(chain) -> None:
    model = chain(states=2, length=8, flip=0.3)
    found = {
        "cached": bias(model, draw(model, cached, "cached", steps=64)),
        "confidence": bias(model, draw(model, confidence, "confidence", steps=8)),
        "confidence, no noise": bias(model, draw(model, confidence, "sure", steps=8, choice_temperature=0.0)),
        "remask cap": bias(model, draw(model, remask, "cap", steps=64)),
        "remask rescale": bias(model, draw(model, remask, "rescale", steps=64, remasking="rescale")),
        "remask loop": bias(model, draw(model, remask, "loop", steps=64, remasking="loop")),
    }
    for name, (variation, repeats) in found.items():
        print(f"{name}: total variation {variation:.3f}, equal neighbours {repeats:+.3f}")
    noise = 0.05  # total variation of 20,000 draws over 256 states from their own law: 0.04
    assert found["confidence, no noise"][1] > 0.1 > found["confidence"][1] > 0.02
    assert abs(found["cached"][1]) < 0.01 and found["cached"][0] < noise
    assert found["remask cap"][0] < noise and found["remask rescale"][0] < noise


def test_a_step_a_position_keeps_one_at_a_time() -> None:
    left: list[int] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        left.append(int((tokens == 4).sum(dim=1)[0]))
        return torch.zeros(*tokens.shape, 5)

    sample = confidence(denoise, torch.full((1, 6), 4), mask_id=4, steps=6, generator=generator_for(0))
    assert left == [6, 5, 4, 3, 2, 1] and sample.nfe == [6]
    left.clear()
    # cosine: 10 cos(pi/2 i/4) = 9.2, 7.1, 3.8, 0
    confidence(denoise, torch.full((1, 10), 4), mask_id=4, steps=4, generator=generator_for(0))
    assert left == [10, 9, 7, 3]
    many = confidence(denoise, torch.full((1, 6), 4), mask_id=4, steps=50, generator=generator_for(0))
    assert many.nfe == [6]


def floor_of_cosine(count: int, step: int, steps: int) -> int:
    """Floor of count x cos(pi/2 step/steps). The cosine of a rational angle is rational only at 0, 60 and 90 degrees
    (Niven), so only there is the product an integer."""
    if 3 * step == 2 * steps:
        return count // 2
    product = count * math.cos(math.pi / 2 * step / steps)
    assert step in (0, steps) or abs(product - round(product)) > 1e-7
    return round(product) if step in (0, steps) else math.floor(product)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_counts_of_confidence_are_exact(schedule: str) -> None:
    lengths = torch.arange(65)
    for steps in range(1, 65):
        left_TB = counts_left(lengths, steps, Schedule(schedule))
        assert (left_TB > 0).sum(dim=0).tolist() == lengths.clamp(max=steps).tolist()  # NFE is min(T, masked)
        if schedule == "geometric":
            continue
        for length in range(steps, 65):
            if schedule == "linear":
                exact = [length * later // steps for later in range(steps, -1, -1)]
            else:
                exact = [length]
                for step in range(1, steps + 1):  # one fewer in each step, at least
                    exact.append(min(floor_of_cosine(length, step, steps), exact[-1] - 1))
            assert left_TB[:, length].tolist() == exact


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, [512, 502, 473, 425, 362, 284, 195, 99]),  # 512 cos(pi/2 i/8): as published
        ({"schedule": "linear"}, [512, 448, 384, 320, 256, 192, 128, 64]),
    ],
)
@pytest.mark.parametrize("process", ["linear", "geometric"])
def test_confidence_has_its_own_schedule_whatever_the_process_is(
    settings: dict[str, str], counts: list[int], process: str
) -> None:
    left: list[int] = []
    times: list[float] = []

    def denoise(tokens: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        left.append(int((tokens == 4).sum()))
        times.append(float(time))
        return torch.zeros(*tokens.shape, 6)

    noise = AbsorbingDiffusion(4, 5, schedule=process, time_input=True)
    noise.sample(
        denoise, length=512, count=1, steps=8, sampler="confidence", generator=generator_for(0), **settings
    )  # fmt: skip
    assert left == counts
    hidden = 1 - Schedule(process).alpha(torch.tensor(times).double())
    shares = [1 - step / 8 if settings else math.cos(math.pi / 2 * step / 8) for step in range(8)]
    assert hidden.tolist() == pytest.approx(shares, abs=1e-5)
    with pytest.raises(DiffusionError, match="schedule: the sampler 'cached' has no such setting; allowed: with 'conf"):
        noise.sample(denoise, length=4, count=1, sampler="cached", generator=generator_for(0), schedule="linear")


def test_a_constraint_that_writes_into_its_logits_does_not_move_the_choice_of_confidence() -> None:
    table = torch.randn(6, 5, generator=generator_for("table"))

    def draw(constrain) -> torch.Tensor:
        return confidence(
            lambda x: table.expand(len(x), 6, 5).clone(), torch.full((40, 6), 4), mask_id=4, steps=3,
            generator=generator_for(0), constrain=constrain, choice_temperature=0.0,
        ).tokens_BL  # fmt: skip

    def writes(logits_BLV: torch.Tensor, tokens_BL: torch.Tensor) -> torch.Tensor:
        logits_BLV[..., 1:3] = -math.inf
        return logits_BLV

    assert torch.equal(draw(writes), draw(lambda logits, tokens: writes(logits.clone(), tokens)))


def test_the_surest_position_is_kept() -> None:
    logits = torch.zeros(1, 4, 5)
    logits[0, 2, 1] = 9.0
    kept: list[torch.Tensor] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        kept.append(tokens[0].clone())
        return logits

    confidence(
        denoise, torch.full((1, 4), 4), mask_id=4, steps=4, generator=generator_for(0), choice_temperature=0.0
    )  # fmt: skip
    assert kept[1].tolist() == [4, 4, 1, 4]


def test_the_loop_draws_again_and_leaves_what_was_given() -> None:
    changed = torch.zeros(1, 40, dtype=torch.int64)
    last: list[torch.Tensor] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        if last:
            changed.add_(((last[0] != 4) & (tokens == 4)).long())
        last[:] = [tokens.clone()]
        return torch.zeros(*tokens.shape, 5)

    tokens = torch.full((1, 40), 4)  # one row: it takes part in every call
    tokens[:, :5] = 2
    sample = remask(
        denoise, tokens, mask_id=4, steps=20, generator=generator_for(5), remasking="loop", eta=0.3, forbidden_ids=[2]
    )
    assert changed[:, 5:].sum() > 20 and changed[:, :5].sum() == 0
    assert (sample.tokens_BL[:, :5] == 2).all() and not (sample.tokens_BL[:, 5:] == 2).any()


def test_windows_reach_the_end_of_a_long_piece_and_see_no_more_than_they_should() -> None:
    seen: list[tuple[int, int]] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        seen.append((tokens.shape[1], int((tokens == 4).sum(dim=1).max())))
        return torch.zeros(*tokens.shape, 5)

    done: list[tuple[int, int]] = []
    sample = semi_autoregressive(
        denoise, torch.full((2, 50), 4), mask_id=4, steps=16, window=16, overlap=4, generator=generator_for(0),
        progress=lambda step, steps: done.append((step, steps)),
    )  # fmt: skip
    assert {length for length, _ in seen} == {16} and not (sample.tokens_BL == 4).any()
    # windows 0-16, 12-28, 24-40, 34-50 with 16, 12, 12 and 10 new tokens and as many steps
    assert done[-1] == (50, 50) and [step for step, _ in done] == list(range(1, 51))
    assert max(sample.nfe) <= 50
    assert max(hidden for _, hidden in seen[len(seen) // 2 :]) <= 12


def test_windows_share_the_steps_by_what_is_masked_in_them() -> None:
    masked = torch.zeros(2, 1280, dtype=torch.bool)
    masked[0, 256:1024], masked[1, 384:1024] = True, True  # a continuation: what is given, and nothing after 1,024
    plan = [(0, 512, 64), (256, 768, 64), (512, 1024, 64)]
    assert window_plan(masked, 512, 256, cached, 128) == plan
    assert window_plan(torch.ones(1, 300, dtype=torch.bool), 512, 256, cached, 128) == [(0, 300, 128)]
    tokens = torch.full((1, 1024), 4)
    request = {"mask_id": 4, "steps": 128, "generator": generator_for(0)}
    for sampler in (first_hitting, confidence):  # 128, 64 and 64 calls
        sample = in_windows(SampleRequest(lambda x: torch.zeros(*x.shape, 5), tokens, **request), sampler, 512, 256)
        assert sample.nfe == [256]


def test_windows_pass_on_the_options_of_their_sampler() -> None:
    left: list[int] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        left.append(int((tokens == 4).sum()))
        return torch.zeros(*tokens.shape, 5)

    request = SampleRequest(denoise, torch.full((1, 12), 4), mask_id=4, steps=4, generator=generator_for(0))
    in_windows(request, confidence, 8, 4, schedule="linear")
    assert left == [8, 6, 4, 2, 4, 2]


def test_windows_that_see_all_but_what_is_far_keep_the_law_of_a_chain(chain) -> None:
    model = chain(states=2, length=4, flip=0.1)
    start = torch.full((COUNT, 7), model.mask_id)
    sample = semi_autoregressive(
        model.denoise_fast, start, mask_id=model.mask_id, forbidden_ids=[model.pad_id], steps=400, window=4, overlap=1,
        generator=generator_for("long"),
    )  # fmt: skip
    stays = (sample.tokens_BL[:, 1:] == sample.tokens_BL[:, :-1]).double().mean(dim=0)
    assert stays.tolist() == pytest.approx([0.9] * 6, abs=5 * 0.3 / COUNT**0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d, t, **o: confidence(d, t, steps=3, choice_temperature=-1.0, **o), "choice_temperature: -1.0"),
        (lambda d, t, **o: remask(d, t, steps=3, remasking="hop", **o), "remasking: 'hop' is not known; allowed: cap"),
        (lambda d, t, **o: remask(d, t, steps=3, eta=1.5, **o), "eta: 1.5 is not allowed"),
        (lambda d, t, **o: semi_autoregressive(d, t, steps=3, window=2, overlap=2, **o), "window, overlap: 2 and 2"),
    ],
)
def test_errors_name_the_setting(call, message: str) -> None:
    with pytest.raises(DiffusionError, match=message):
        call(lambda x: torch.zeros(*x.shape, 6), torch.full((1, 4), 4), mask_id=4, generator=generator_for(0))
