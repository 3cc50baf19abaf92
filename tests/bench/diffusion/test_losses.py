"""Each loss's weight and gradient against its formula; what never counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from architectures.padding import known_padding
from bench.diffusion import AbsorbingDiffusion, DiffusionError, MultiScaleDiffusion, generator_for
from bench.diffusion.losses import loss_weight
from bench.diffusion.schedule import Schedule

MASK, PAD, VOCABULARY = 4, 5, 6


def weight_at(name: str, time: float, steps: int | None) -> float:
    return loss_weight(name, torch.tensor([time], dtype=torch.float64), Schedule(), steps).item()


@pytest.mark.parametrize(
    ("name", "time", "steps", "expected"),
    [
        ("elbo", 0.3, 10, 10 / 3),
        ("elbo", 1.0, 10, 1.0),
        ("elbo", 0.1, 10, 10.0),
        ("reweighted_elbo", 0.3, 10, 0.8),
        ("reweighted_elbo", 0.1, 10, 1.0),
        ("reweighted_elbo", 1.0, 10, 0.1),
        ("reweighted_elbo", 0.3, None, 0.7),
        ("reweighted_elbo_schmubert", 0.3, 10, 0.7),
        ("reweighted_elbo_schmubert", 1.0, 10, 0.0),
        ("mdlm", 0.25, None, 4.0),
        ("masked_cross_entropy", 0.3, 10, 1.0),
    ],
)
def test_weight(name: str, time: float, steps: int | None, expected: float) -> None:
    assert weight_at(name, time, steps) == pytest.approx(expected, rel=1e-9)


def test_elbo_weight_of_another_schedule() -> None:
    # cosine, T = 2, t = 1: 2 (1 - alpha) / (1 - alpha) = 2; t = 2: 2 alpha(1/2)
    time = torch.tensor([0.5, 1.0], dtype=torch.float64)
    weights = loss_weight("elbo", time, Schedule("cosine"), 2).tolist()
    assert weights == pytest.approx([2.0, 2 * (1 - math.sqrt(0.5))])


FORMULAS: dict[str, tuple[int | None, Callable[[float], float]]] = {
    "elbo": (20, lambda t: 1 / t),
    "reweighted_elbo": (20, lambda t: 1 - t + 1 / 20),
    "reweighted_elbo_schmubert": (20, lambda t: 1 - t),
    "mdlm": (None, lambda t: 1 / t),
    "masked_cross_entropy": (20, lambda t: 1.0),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_gradient_is_weight_times_softmax_minus_one_hot(name: str) -> None:
    steps, formula = FORMULAS[name]
    diffusion = AbsorbingDiffusion(MASK, PAD, steps=steps, loss=name)
    clean = torch.randint(0, 4, (3, 16), generator=generator_for("clean"))
    clean[0, 10:] = PAD
    logits = torch.randn(3, 16, VOCABULARY, generator=generator_for("logits"), requires_grad=True)
    noised = diffusion.noise(clean, generator_for("noise", name))
    diffusion.loss_of(lambda tokens: logits, noised).loss.backward()
    assert logits.grad is not None
    probability = logits.detach().clone()
    probability[..., [MASK, PAD]] = -math.inf  # SUBS: they have probability 0 before the rest is normalised
    probability = probability.softmax(dim=2)
    hidden = (noised.tokens_BL == MASK) & (clean != PAD)
    unit = hidden.sum() if name == "masked_cross_entropy" else (clean != PAD).sum()
    assert hidden.sum() > 10 and not hidden.all()
    for b in range(3):
        for i in range(16):
            expected = torch.zeros(VOCABULARY)
            if hidden[b, i]:
                expected = probability[b, i].clone()
                expected[clean[b, i]] -= 1
                expected *= formula(noised.time_B[b].item()) / unit
            assert torch.allclose(logits.grad[b, i], expected, atol=1e-7), (b, i)


def test_pad_is_never_hidden_and_never_counts() -> None:
    diffusion = AbsorbingDiffusion(MASK, PAD, steps=1)  # t = T = 1: everything that counts is hidden
    short, alone = torch.full((1, 8), PAD), torch.tensor([[0, 1, 2]])
    short[0, :3] = alone
    table = torch.randn(8, VOCABULARY, generator=generator_for("table"))
    noised = diffusion.noise(short, generator_for(0))
    assert noised.tokens_BL.tolist() == [[MASK] * 3 + [PAD] * 5] and noised.token_count == 3
    padded = diffusion.loss_of(lambda tokens: table.expand(1, 8, -1), noised)
    plain = diffusion.loss_of(lambda tokens: table[:3].expand(1, 3, -1), diffusion.noise(alone, generator_for(0)))
    assert padded.loss.item() == plain.loss.item() and padded.elbo_bits_per_token == plain.elbo_bits_per_token


def test_uniform_logits_cost_log2_of_the_tokens_that_can_be() -> None:
    diffusion = AbsorbingDiffusion(MASK, PAD, steps=1, loss="elbo")
    clean = torch.zeros(2, 8).long()
    loss = diffusion.loss(lambda tokens: torch.zeros(*tokens.shape, VOCABULARY), clean, generator_for(0))
    assert loss.elbo_bits_per_token.item() == pytest.approx(2.0)  # four tokens: MASK and PAD cannot be
    assert loss.loss.item() == pytest.approx(2 * math.log(2)) and loss.masked_count == 16
    assert loss.masked_cross_entropy.item() == pytest.approx(math.log(4))


def test_shares_of_a_batch_add_up() -> None:
    diffusion = AbsorbingDiffusion(MASK, PAD, steps=50)
    clean = torch.randint(0, 4, (6, 32), generator=generator_for("clean"))
    table = torch.randn(VOCABULARY, VOCABULARY, generator=generator_for("table"))
    noised = diffusion.noise(clean, generator_for("noise"))
    whole = diffusion.loss_of(lambda tokens: table[tokens], noised)
    shares = [diffusion.loss_of(lambda tokens: table[tokens], noised.rows(slice(i, i + 2))) for i in (0, 2, 4)]
    for name in ("loss", "elbo_bits_per_token", "masked_cross_entropy"):
        assert sum(getattr(share, name).item() for share in shares) == pytest.approx(getattr(whole, name).item())


@pytest.mark.parametrize("times", ["low_discrepancy", "uniform"])
@pytest.mark.parametrize("multi_scale", [False, True])
def test_rows_with_pad_weigh_by_their_tokens(times: str, multi_scale: bool) -> None:
    """The expectation of the ELBO's draw is the mean cost of the tokens that are not PAD, whatever row they are in."""
    settings = {"steps": 20, "loss": "elbo", "times": times}
    diffusion = AbsorbingDiffusion(MASK, PAD, **settings)
    if multi_scale:
        diffusion = MultiScaleDiffusion(MASK, PAD, [1.0] * VOCABULARY, **settings)
    table = torch.randn(8, VOCABULARY, generator=generator_for("table"))
    place, counts = torch.arange(8), torch.randint(1, 9, (8000, 1), generator=generator_for("counts"))
    clean = torch.where(place < counts, torch.randint(0, 4, (8000, 8), generator=generator_for("clean")), PAD)
    real, cost = clean != PAD, -table[:, :4].log_softmax(1)
    expected = cost[place.expand(8000, 8)[real], clean[real]].mean().item()
    noised = diffusion.noise(clean, generator_for("noise"))
    assert noised.padded and noised.token_count == int(counts.sum()) and not noised.masked_BL[~real].any()
    parts = [diffusion.loss_of(lambda t: table.expand(len(t), -1, -1), noised.rows(slice(i, i + 2000)))
             for i in range(0, 8000, 2000)]  # fmt: skip
    assert sum(part.loss.item() for part in parts) == pytest.approx(expected, rel=0.02)
    assert sum(part.elbo_bits_per_token.item() for part in parts) == pytest.approx(expected / math.log(2), rel=0.02)


def test_a_denoiser_is_told_whether_rows_hold_pad() -> None:
    seen: list[bool | None] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        seen.append(known_padding())
        return torch.zeros(*tokens.shape, VOCABULARY)

    diffusion, full = AbsorbingDiffusion(MASK, PAD, steps=1), torch.zeros(1, 4).long()
    ended = torch.tensor([[0, MASK, PAD, PAD]])
    diffusion.loss(denoise, full, generator_for(0))
    diffusion.loss(denoise, torch.tensor([[0, 1, PAD, PAD]]), generator_for(0))
    diffusion.sample(denoise, length=4, count=1, generator=generator_for(0))
    diffusion.fill(denoise, ended, generator=generator_for(0))
    assert seen == [False, True, False, True] and known_padding() is None


def test_a_row_without_masks_costs_nothing_and_backpropagates() -> None:
    diffusion = AbsorbingDiffusion(MASK, PAD, steps=10_000)
    table = torch.randn(VOCABULARY, VOCABULARY, requires_grad=True)
    noised = diffusion.noise(torch.zeros(1, 4).long(), generator_for(3))
    bare = noised.rows(slice(0, 0))
    loss = diffusion.loss_of(lambda tokens: table[tokens], bare).loss
    loss.backward()
    assert loss.item() == 0 and table.grad is not None and not table.grad.any()


def test_low_discrepancy_times_put_one_in_each_stratum() -> None:
    diffusion = AbsorbingDiffusion(MASK, PAD, steps=None, times="low_discrepancy")
    time = diffusion.draw_times(16, generator_for("times"))
    assert sorted((time * 16).floor().clamp(max=15).int().tolist()) == list(range(16))
    discrete = AbsorbingDiffusion(MASK, PAD, steps=16, times="low_discrepancy").draw_times(16, generator_for("times"))
    assert sorted((discrete * 16).round().int().tolist()) == list(range(1, 17))


def test_uniform_times_cover_every_step_alike() -> None:
    time = AbsorbingDiffusion(MASK, PAD, steps=4, times="uniform").draw_times(40_000, generator_for("times"))
    counts = torch.bincount((time * 4).round().long(), minlength=5)
    assert counts[0] == 0 and all(abs(count - 10_000) < 4 * math.sqrt(7500) for count in counts[1:].tolist())


def test_time_reaches_a_denoiser_that_asks_for_it() -> None:
    seen: list[torch.Tensor] = []

    def denoise(tokens: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        seen.append(time)
        return torch.zeros(*tokens.shape, VOCABULARY)

    diffusion = AbsorbingDiffusion(MASK, PAD, steps=8, time_input=True)
    noised = diffusion.noise(torch.zeros(5, 4).long(), generator_for(0))
    diffusion.loss_of(denoise, noised)
    assert torch.equal(seen[0], noised.time_B.float())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps: 0 diffusion steps are too few"),
        ({"loss": "huber"}, "loss: 'huber' is not known; allowed: elbo, reweighted_elbo"),
        ({"loss": "mdlm"}, "loss: 'mdlm' needs continuous time, not 1000 steps"),
        ({"loss": "elbo", "steps": None}, "loss: 'elbo' needs a number of diffusion steps"),
        ({"times": "sorted"}, "times: 'sorted' is not known; allowed: low_discrepancy, uniform"),
        ({"schedule": "square"}, "schedule: 'square' is not known"),
    ],
)
def test_errors_name_the_setting(settings: dict, message: str) -> None:
    with pytest.raises(DiffusionError, match=message):
        AbsorbingDiffusion(MASK, PAD, **settings)


def test_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(DiffusionError, match="denoiser: logits of shape"):
        AbsorbingDiffusion(MASK, PAD).loss(
            lambda x: torch.zeros(2, 3, VOCABULARY), torch.zeros(2, 4).long(), generator_for(0)
        )
