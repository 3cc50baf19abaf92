"""One token from its logits: temperature, nucleus, constraints, and the precision of the noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from bench.diffusion import DiffusionError, generator_for
from bench.diffusion.samplers import ancestral, confidence
from bench.diffusion.samplers import drawing as drawing_file
from bench.diffusion.samplers.constraint import JointConstraint
from bench.diffusion.samplers.drawing import Drawing, gumbel_noise, outside_nucleus

MASK = 3


def drawn(logits: list[float], count: int = 60_000, **options: object) -> np.ndarray:
    """How often each token is drawn at `count` positions that share these logits; token 3 is MASK."""
    rule = Drawing(generator_for("draw", count), [MASK], **options)
    tokens = torch.full((1, count), MASK)
    found = rule.draw(torch.tensor(logits).expand(1, count, 4), tokens, tokens == MASK)
    return np.bincount(found.numpy(), minlength=4)


def test_temperature_is_the_softmax_of_the_logits_divided() -> None:
    counts = drawn([0.0, 1.0, 2.0, 9.0], temperature=0.5)
    law = torch.softmax(torch.tensor([0.0, 2.0, 4.0]).double(), 0).numpy()
    assert counts[3] == 0 and stats.chisquare(counts[:3], law * 60_000).pvalue > 0.01
    assert drawn([0.0, 1.0, 2.0, 9.0], 5, temperature=0.0).tolist() == [0, 0, 5, 0]


def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p() -> None:
    logits = [math.log(0.5), math.log(0.3), math.log(0.2), 9.0]
    counts = drawn(logits, top_p=0.7)
    assert counts[2:].tolist() == [0, 0] and stats.chisquare(counts[:2], [37_500, 22_500]).pvalue > 0.01
    assert drawn(logits, top_p=0.5).tolist() == [60_000, 0, 0, 0]
    assert (drawn(logits, top_p=1.0)[:3] > 0).all()
    # temperature first: 0.25, 0.09, 0.04 of 0.38
    assert outside_nucleus(2 * torch.tensor(logits[:3]), 0.65).tolist() == [False, True, True]


@pytest.mark.parametrize(("options", "message"), [
    ({"temperature": -1.0}, "temperature: -1.0 is not allowed"), ({"temperature": math.nan}, "temperature: nan"),
    ({"top_p": 0.0}, "top_p: 0.0 is not allowed"), ({"top_p": 1.1}, "top_p: 1.1 is not allowed"),
])  # fmt: skip
def test_errors_name_the_setting(options: dict[str, float], message: str) -> None:
    with pytest.raises(DiffusionError, match=message):
        Drawing(generator_for(0), [MASK], **options)


def rare_share(noise: torch.Tensor, gap: float, rivals: int) -> float:
    """The chance that one of `rivals` tokens, `gap` nats below the best, is drawn, when noise is uniform over `noise`
    (sorted)."""
    below = torch.searchsorted(noise, noise.double().add(gap).to(noise.dtype), right=True).double() / len(noise)
    return float((1 - below**rivals).mean())


def test_float32_noise_lowers_the_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    uniform = torch.rand(1_000_000, generator=generator_for("grid"), dtype=torch.float32)
    assert torch.equal((uniform * 2**24).round(), uniform * 2**24)  # the generator knows 2^24 values
    grid = torch.arange(2**24, dtype=torch.float32) / 2**24
    monkeypatch.setattr(drawing_file.torch, "rand", lambda *_, **__: grid.clone())
    noise = gumbel_noise(grid.shape, generator_for(0), torch.float32)  # every value that float32 noise can have
    assert 16.6 < float(noise.max()) < 16.7
    rivals, gap = 2**20, 18.0
    exact = rivals * math.exp(-gap) / (1 + rivals * math.exp(-gap))  # 0.0157
    share = rare_share(noise, gap, rivals)
    assert share < 0.1 * exact
    # the same share without float32 takes a temperature of 0.87 of the one asked for
    assert gap / math.log(rivals / (share / (1 - share))) < 0.9


def test_noise_is_float64_whatever_the_network_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes = []
    real = drawing_file.gumbel_noise
    monkeypatch.setattr(
        drawing_file, "gumbel_noise", lambda *arguments: dtypes.append(arguments[2]) or real(*arguments)
    )
    for dtype in (torch.float32, torch.bfloat16):
        ancestral(
            lambda x, dtype=dtype: torch.zeros(*x.shape, 4, dtype=dtype), torch.full((1, 4), MASK), mask_id=MASK,
            steps=1, generator=generator_for(0),
        )  # fmt: skip
    assert dtypes == [torch.float64, torch.float64]
    draws = real((20_000,), generator_for("grid"), torch.float64)
    float32_values = torch.exp(-torch.exp(-draws)) * 2**24  # whole numbers where the uniform draws are float32
    assert ((float32_values - float32_values.round()).abs() > 1e-3).double().mean() > 0.99


def test_a_mask_of_tokens_is_kept_and_an_empty_one_is_named() -> None:
    def even_places_are_zero(logits_BLV: torch.Tensor, tokens_BL: torch.Tensor) -> torch.Tensor:
        logits_BLV[:, ::2, 1:] = -math.inf
        return logits_BLV

    call = {"mask_id": MASK, "steps": 4, "generator": generator_for(0)}
    sample = ancestral(
        lambda x: torch.zeros(*x.shape, 4), torch.full((50, 8), MASK), constrain=even_places_are_zero, **call
    )
    assert (sample.tokens_BL[:, ::2] == 0).all() and set(sample.tokens_BL[:, 1::2].unique().tolist()) == {0, 1, 2}

    def nothing(logits_BLV: torch.Tensor, tokens_BL: torch.Tensor) -> torch.Tensor:
        logits_BLV[1, 2] = -math.inf
        return logits_BLV

    with pytest.raises(DiffusionError, match="constrain: no token is allowed at position 2 of row 1"):
        ancestral(lambda x: torch.zeros(*x.shape, 4), torch.full((2, 4), MASK), constrain=nothing, **call)


class AllEqual:
    """A joint constraint: every token of a row is the same. Draws from the product of softmaxes under that."""

    def __init__(self) -> None:
        self.least_finite = 0.0

    def draw(
        self,
        logits_BLV: torch.Tensor,
        tokens_BL: torch.Tensor,
        reveal_BL: torch.Tensor,
        generator: torch.Generator,
        *,
        scale: float = 1.0,
    ) -> torch.Tensor:
        assert logits_BLV.dtype == torch.float64 and not reveal_BL[tokens_BL != MASK].any()
        assert reveal_BL.any(dim=1).all()
        self.least_finite = min(self.least_finite, float(logits_BLV[torch.isfinite(logits_BLV)].min()))
        visible_BL1 = (tokens_BL != MASK)[..., None]
        other_BLV = torch.arange(4) != tokens_BL[..., None]
        total_BV = logits_BLV.masked_fill(visible_BL1 & other_BLV, -math.inf).masked_fill(
            visible_BL1 & ~other_BLV, 0.0
        ).sum(dim=1)  # fmt: skip
        chosen_B = torch.multinomial(total_BV.softmax(dim=1), 1, generator=generator)
        return torch.where(reveal_BL, chosen_B, tokens_BL)


@pytest.mark.parametrize("sampler", [ancestral, confidence])
def test_a_joint_constraint_holds_over_all_calls(sampler) -> None:
    rule = AllEqual()
    assert isinstance(rule, JointConstraint)
    logits = torch.tensor([0.3, 0.2, 0.0, 5.0])
    sample = sampler(
        lambda x: logits.expand(*x.shape, 4).clone(), torch.full((4_000, 3), MASK), mask_id=MASK, steps=3,
        generator=generator_for("joint"), constrain=rule,
    )  # fmt: skip
    assert (sample.tokens_BL == sample.tokens_BL[:, :1]).all()
    law = torch.softmax(3 * logits[:3].double(), 0).numpy()
    assert stats.chisquare(np.bincount(sample.tokens_BL[:, 0], minlength=3), law * 4_000).pvalue > 0.01


def test_a_joint_constraint_leaves_the_nucleus_only_where_it_must() -> None:
    rule = AllEqual()
    logits = torch.tensor([[4.0, 0.0, -9.0, 0.0], [-9.0, 0.5, 4.0, 0.0]])  # nothing is in both nuclei

    def draw(**options: float) -> torch.Tensor:
        return ancestral(
            lambda x: logits.expand(len(x), 2, 4).clone(), torch.full((200, 2), MASK), mask_id=MASK, steps=1,
            generator=generator_for("nucleus"), constrain=rule, **options,
        ).tokens_BL  # fmt: skip

    draw(top_p=0.9)
    assert rule.least_finite < -9_000
    assert set(draw(temperature=0.0).unique().tolist()) == {1}  # 0 + 0.5 is more than 4 - 9


def test_a_temperature_near_zero_draws_the_best_token_and_none_that_is_forbidden() -> None:
    logits = torch.tensor([0.5, 1.0, 2.0, 0.0]).log_softmax(0).expand(1, 50, 4)
    row = torch.full((1, 50), MASK)
    for temperature in (1e-310, 1e-12, 0.0):
        drawing = Drawing(generator_for("cold"), (2, MASK), temperature=temperature)
        assert set(drawing.draw(logits, row, row == MASK).tolist()) == {1}
